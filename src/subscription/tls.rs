//! TLS to a callback (`protocolsettings.tls`): the authority that its certificate may be from, besides the public ones,
//! and the certificate that the hub shows if it is asked for one.
//!
//! An authority adds, and takes nothing away: a sink that moves to a public certificate goes on.
//! Invariant: of `ca` and `certificate` only certificates are kept; a private key that stood beside them is gone.
//! Invariant: the private key is never shown: `secret` knows it by its form.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::fields::{Fields, refuse};
use super::secret::{MASK, NOT_KEPT};
use crate::error::Error;
use crate::net::{Identity, IdentityFault, Trust};

/// Bytes of PEM.
const LONGEST: usize = 32 << 10;

/// Checked, and ready for handshakes.
#[derive(Clone)]
pub struct Tls {
    ca: Option<Arc<str>>,
    identity: Option<Identity>,
    trust: Trust,
}

impl Tls {
    /// Reads `tls`.
    pub(super) fn read(settings: &Fields<'_>, scheme: &str) -> Result<Option<Self>, Error> {
        let Some(tls) = settings.object("tls", &["ca", "certificate", "key"])? else {
            return Ok(None);
        };
        let Some(given) = ["ca", "certificate", "key"]
            .iter()
            .find(|name| tls.value(name).is_some())
        else {
            return Ok(None);
        };
        if scheme != "https" {
            return Err(refuse(&tls.path(given), "goes along with a sink of scheme https"));
        }
        let (ca, identity) = (tls.text("ca", LONGEST)?, identity(&tls)?);
        let at_ca = |why: String| refuse(&tls.path("ca"), why);
        let trust = Trust::public_and_as(ca.map(str::as_bytes), identity.as_ref()).map_err(at_ca)?;
        let ca = ca.map(|ca| Trust::certificates(ca.as_bytes())).transpose();
        Ok(Some(Self {
            ca: ca.map_err(at_ca)?.map(Arc::from),
            identity,
            trust,
        }))
    }

    /// As it is read; the key too, for the store.
    pub(super) fn to_json(&self) -> Value {
        let mut json = Map::new();
        if let Some(ca) = &self.ca {
            json.insert("ca".into(), ca.as_ref().into());
        }
        if let Some(identity) = &self.identity {
            json.insert("certificate".into(), identity.certificate().into());
            json.insert("key".into(), identity.key().into());
        }
        Value::Object(json)
    }

    /// Whom to trust, then, and who we are.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }
}

fn identity(tls: &Fields<'_>) -> Result<Option<Identity>, Error> {
    let alone = |given: &str, missing: &str| {
        let rule = format!("goes along with `{}`, which is not given", tls.path(missing));
        Err(refuse(&tls.path(given), rule))
    };
    match (tls.text("certificate", LONGEST)?, tls.text("key", LONGEST)?) {
        (None, None) => Ok(None),
        (Some(_), None) => alone("certificate", "key"),
        (None, Some(_)) => alone("key", "certificate"),
        (Some(_), Some(MASK)) => Err(refuse(&tls.path("key"), NOT_KEPT)),
        (Some(certificate), Some(key)) => {
            let read = Identity::read(certificate.as_bytes(), key.as_bytes());
            read.map(Some).map_err(|fault| match fault {
                IdentityFault::Certificate(why) => refuse(&tls.path("certificate"), why),
                IdentityFault::Key(why) => refuse(&tls.path("key"), why),
            })
        }
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.ca == other.ca && self.identity == other.identity
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{DeliveryConfig, Subscription, SubscriptionId};
    use crate::log::BusName;
    use crate::time::Timestamp;

    const CA: &str = include_str!("../../tests/fixtures/tls/ca.pem");
    const CERTIFICATE: &str = include_str!("../../tests/fixtures/tls/server.pem");
    const KEY: &str = include_str!("../../tests/fixtures/tls/server.key");

    fn made(sink: &str, tls: Value) -> Result<Subscription, String> {
        let json = json!({"sink": sink, "protocolsettings": {"tls": tls}});
        let (id, bus) = (SubscriptionId("s".into()), BusName::default_bus());
        let made = Subscription::from_json(id, bus, &json, &DeliveryConfig::default(), Timestamp(5));
        made.map_err(|error| error.message().to_owned())
    }

    #[test]
    fn only_certificates_are_kept_of_an_authority() {
        let kept = made("https://a.example/", json!({"ca": format!("{KEY}\n{CA}")})).unwrap();
        let shown = kept.to_json()["protocolsettings"]["tls"]["ca"].clone();
        let text = shown.as_str().unwrap();
        assert_eq!((text.matches("BEGIN").count(), text.matches("PRIVATE").count()), (1, 0));
        assert_eq!(Subscription::from_stored(kept.to_stored()).unwrap(), kept);
        assert_eq!(made("https://a.example/", json!({"ca": CA})).unwrap().sink, kept.sink);
    }

    #[test]
    fn a_key_is_kept_and_never_shown() {
        let tls = json!({"ca": CA, "certificate": format!("{CERTIFICATE}{KEY}"), "key": KEY});
        let kept = made("https://a.example/", tls).unwrap();
        let shown = kept.to_json();
        assert_eq!(shown["protocolsettings"]["tls"]["key"], "***");
        assert!(!shown.to_string().contains("PRIVATE") && !format!("{kept:?}").contains("PRIVATE"));
        assert_eq!(Subscription::from_stored(kept.to_stored()).unwrap(), kept);
        let again = kept.replaced(&shown, &DeliveryConfig::default(), Timestamp(5)).unwrap();
        assert_eq!(again.sink, kept.sink, "what is shown can be sent back");
        let moved = json!({"sink": "https://b.example/"});
        let error = kept
            .patched(&moved, &DeliveryConfig::default(), Timestamp(5))
            .unwrap_err();
        assert_eq!(error.code(), "credentials_required");
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_field() {
        let check = |sink: &str, tls: Value, field: &str, says: &str| {
            let why = made(sink, tls).unwrap_err();
            let field = format!("protocolsettings.tls.{field}: ");
            assert!(why.starts_with(&field) && why.contains(says), "{why}");
        };
        let (plain, secure) = ("http://a.example/", "https://a.example/");
        check(secure, json!({"ca": ""}), "ca", "no certificate");
        check(secure, json!({"ca": "x".repeat(40_000)}), "ca", "longer than");
        check(plain, json!({"ca": ""}), "ca", "scheme https");
        check(
            plain,
            json!({"certificate": CERTIFICATE, "key": KEY}),
            "certificate",
            "scheme https",
        );
        check(
            secure,
            json!({"certificate": CERTIFICATE}),
            "certificate",
            "`protocolsettings.tls.key`",
        );
        check(secure, json!({"key": KEY}), "key", "`protocolsettings.tls.certificate`");
        check(secure, json!({"certificate": CA, "key": KEY}), "key", "does not belong");
        check(
            secure,
            json!({"certificate": "x", "key": KEY}),
            "certificate",
            "no certificate",
        );
        check(
            secure,
            json!({"certificate": CERTIFICATE, "key": "***"}),
            "key",
            "stands for a secret",
        );
    }
}
