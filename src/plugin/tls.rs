//! TLS for guests that have none of their own: wasi:tls over the hub's own handshake.
//!
//! The guest opens a connection (`tcp` grants say where), and asks for TLS on it with a server's name. That name must
//! be granted (`tls`), and the server must prove it with a certificate from a trusted authority: the public ones, and
//! the operator's own (`grants.tls_ca`). Why a grant beside `tcp`: the name is what is proven, so the operator says
//! it, not the guest.
//!
//! Invariant: no handshake for a name that was not granted, and none without a check of the certificate.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime_wasi_tls::p2::LinkOptions;
use wasmtime_wasi_tls::{Error, TlsProvider, TlsStream, TlsTransport};

pub(super) use wasmtime_wasi_tls::{WasiTlsCtx, WasiTlsCtxBuilder, WasiTlsCtxView, WasiTlsView};

use super::grants::{self, Allowed};
use super::guest_log::GuestLog;
use super::host::Host;
use crate::net::{Secured, Trust};

/// The handshakes of one instance.
pub(super) struct Handshakes {
    pub(super) plugin: String,
    pub(super) allowed: Arc<Allowed>,
    /// The grants as the operator wrote them, for the line that would allow more.
    pub(super) granted: Vec<String>,
    pub(super) trust: Trust,
    pub(super) log: Arc<GuestLog>,
}

impl Handshakes {
    /// What WASI asks for handshakes.
    pub(super) fn into_wasi(self) -> WasiTlsCtx {
        WasiTlsCtxBuilder::new().provider(Box::new(self)).build()
    }
}

/// Adds wasi:tls to what a guest finds.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut options = LinkOptions::default();
    options.tls(true);
    wasmtime_wasi_tls::p2::add_to_linker(linker, &options)
}

type Shaken = Pin<Box<dyn Future<Output = Result<Box<dyn TlsStream>, Error>> + Send>>;

impl TlsProvider for Handshakes {
    fn connect(&self, server_name: String, transport: Box<dyn TlsTransport>) -> Shaken {
        let name = server_name.to_ascii_lowercase();
        if !self.allowed.tls(&name) {
            let line = grants::line(&self.plugin, "tls", &self.granted, &name);
            self.log.refused(&format!("tls {name}"), &line);
            return Box::pin(async move { Err(Error::msg(format!("TLS with {name} is not granted (grants.tls)"))) });
        }
        let trust = self.trust.clone();
        Box::pin(async move {
            let secured = trust.secure(&name, transport).await;
            secured
                .map(|stream| Box::new(stream) as Box<dyn TlsStream>)
                .map_err(Error::msg)
        })
    }
}

impl TlsStream for Secured<Box<dyn TlsTransport>> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::status::Figures;
    use crate::plugin::{Grants, Limits};
    use crate::time::{Clock, Timestamp};

    #[tokio::test]
    async fn only_granted_names_are_shaken_hands_with() {
        let granted = vec!["*.example.com".to_owned()];
        let grants = Grants {
            tls: granted.clone(),
            ..Grants::default()
        };
        let figures = Arc::new(Figures::default());
        let handshakes = Handshakes {
            plugin: "p".to_owned(),
            allowed: Arc::new(Allowed::parse(&grants).unwrap()),
            granted,
            trust: Trust::public(),
            log: GuestLog::new("p", &Limits::default(), figures, Clock::manual(Timestamp(0))),
        };
        let check = async |name: &str, says: &str| {
            let (ours, theirs) = tokio::io::duplex(64);
            drop(theirs);
            let error = handshakes.connect(name.to_owned(), Box::new(ours)).await.err().unwrap();
            assert!(error.to_string().contains(says), "{name}: {error}");
        };
        check("mail.example.org", "not granted").await;
        check("example.com", "not granted").await;
        check("MAIL.example.com", "TLS with mail.example.com").await;
    }
}
