//! The authority that a callback's certificate may be from, besides the public ones (`protocolsettings.tls.ca`).
//!
//! It adds, and takes nothing away: a sink that moves to a public certificate goes on.
//! Invariant: only certificates are kept of what was sent; a private key that stood beside them is gone.

use std::fmt;
use std::sync::Arc;

use super::fields::{Fields, refuse};
use crate::error::Error;
use crate::net::Trust;

/// Bytes of PEM.
const LONGEST: usize = 32 << 10;

/// Certificates, ready to hold others against.
#[derive(Clone)]
pub struct Authority {
    pem: Arc<str>,
    trust: Trust,
}

impl Authority {
    /// Reads `tls`.
    pub(super) fn read(settings: &Fields<'_>, scheme: &str) -> Result<Option<Self>, Error> {
        let Some(tls) = settings.object("tls", &["ca"])? else {
            return Ok(None);
        };
        let (path, Some(sent)) = (tls.path("ca"), tls.text("ca", LONGEST)?) else {
            return Ok(None);
        };
        if scheme != "https" {
            return Err(refuse(&path, "goes along with a sink of scheme https"));
        }
        let made = Trust::public_and(sent.as_bytes()).and_then(|trust| {
            let pem = Trust::certificates(sent.as_bytes())?.into();
            Ok(Self { pem, trust })
        });
        made.map(Some).map_err(|why| refuse(&path, why))
    }

    /// The certificates, in PEM form.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Whom to trust, then.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }
}

impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{DeliveryConfig, Subscription, SubscriptionId};
    use crate::log::BusName;
    use crate::time::Timestamp;

    fn made(sink: &str, ca: &str) -> Result<Subscription, String> {
        let json = json!({"sink": sink, "protocolsettings": {"tls": {"ca": ca}}});
        let (id, bus) = (SubscriptionId("s".into()), BusName::default_bus());
        let made = Subscription::from_json(id, bus, &json, &DeliveryConfig::default(), Timestamp(5));
        made.map_err(|error| error.message().to_owned())
    }

    #[test]
    fn only_certificates_are_kept() {
        let ca = include_str!("../../tests/fixtures/tls/ca.pem");
        let key = include_str!("../../tests/fixtures/tls/server.key");
        let kept = made("https://a.example/", &format!("{key}\n{ca}")).unwrap();
        let shown = kept.to_json()["protocolsettings"]["tls"]["ca"].clone();
        let text = shown.as_str().unwrap();
        assert_eq!((text.matches("BEGIN").count(), text.matches("PRIVATE").count()), (1, 0));
        assert_eq!(Subscription::from_stored(&kept.to_stored()).unwrap(), kept);
        assert_eq!(made("https://a.example/", ca).unwrap().sink, kept.sink);
    }

    #[test]
    fn what_is_none_is_refused() {
        let check = |sink: &str, ca: &str, says: &str| {
            let why = made(sink, ca).unwrap_err();
            assert!(why.contains("protocolsettings.tls.ca") && why.contains(says), "{why}");
        };
        check("https://a.example/", "", "no certificate");
        check("https://a.example/", &"x".repeat(40_000), "longer than");
        check("http://a.example/", "", "scheme https");
    }
}
