//! Certificate, key and the authority of clients, read from their files and held against each other.
//!
//! Invariant: what is accepted here can shake hands: the key is the certificate's, and both can be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::expiry::expiry;
use crate::time::Timestamp;

/// Which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Files {
    /// The certificate, and those between it and its authority (PEM).
    pub(in crate::server) certificate: PathBuf,
    /// Its private key (PEM: PKCS#8, PKCS#1 or SEC1).
    pub(in crate::server) key: PathBuf,
    /// Whose certificates clients must show, if they must (PEM).
    pub(in crate::server) client_ca: Option<PathBuf>,
}

/// What was read, as it came.
pub(super) struct Texts {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What a listener can show.
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    /// When the certificate ends, if it says so in a way that is understood.
    pub(super) expires: Option<Timestamp>,
}

impl Files {
    /// Reads them; they may be large only by mistake, so nobody waits for them.
    ///
    /// # Errors
    /// In words: which key of the config, which file, and why.
    pub(super) fn read(&self) -> Result<Texts, String> {
        Ok(Texts {
            certificate: text("listen.tls_certificate", &self.certificate)?,
            key: text("listen.tls_key", &self.key)?,
            client_ca: self
                .client_ca
                .as_deref()
                .map(|path| text("listen.tls_client_ca", path))
                .transpose()?,
        })
    }
}

fn text(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|cause| format!("`{key}`: {} cannot be read: {cause}", path.display()))
}

impl Texts {
    /// By which a change is seen; the key itself is not kept.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let parts = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        let parts = parts.map(|part| part.map_or(&[][..], Vec::as_slice));
        let hashes: Vec<u8> = parts
            .iter()
            .flat_map(|part| digest(&SHA256, part).as_ref().to_vec())
            .collect();
        let mut all = [0; 32];
        all.copy_from_slice(digest(&SHA256, &hashes).as_ref());
        all
    }

    /// What they say, if they fit together.
    ///
    /// # Errors
    /// In words: which key of the config, and what is wrong.
    pub(super) fn identity(&self) -> Result<Identity, String> {
        let chain = certificates("listen.tls_certificate", &self.certificate)?;
        let expires = chain.first().and_then(|first| expiry(first));
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            "`listen.tls_key` holds no private key in PEM form (-----BEGIN PRIVATE KEY-----), or one under a passphrase"
                .to_owned()
        })?;
        let provider = Arc::new(default_provider());
        let verifier = match &self.client_ca {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(roots(certificates("listen.tls_client_ca", pem)?)?);
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .map_err(|cause| format!("`listen.tls_client_ca` cannot be used: {cause}"))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| cause.to_string())?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|cause| unfit(&cause))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Identity {
            config: Arc::new(config),
            expires,
        })
    }
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(format!(
            "`{key}` holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
        )),
        Ok(found) => Ok(found),
        Err(cause) => Err(format!("`{key}` is no PEM: {cause:?}")),
    }
}

fn roots(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|cause| format!("`listen.tls_client_ca` has a certificate that cannot be used: {cause}"))?;
    }
    Ok(roots)
}

fn unfit(cause: &rustls::Error) -> String {
    match cause {
        rustls::Error::InconsistentKeys(_) => {
            "`listen.tls_key` is not the key of the certificate in `listen.tls_certificate`".to_owned()
        }
        other => format!("`listen.tls_certificate` and `listen.tls_key` cannot be used: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (Vec<u8>, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let about = rcgen::CertificateParams::new(vec!["hub.test".to_owned()]).unwrap();
        let certificate = about.self_signed(&key).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let ((certificate, key), (other, other_key)) = (made(), made());
        let check = |certificate: &[u8], key: &[u8], client_ca: Option<&[u8]>, says: &str| {
            let texts = Texts {
                certificate: certificate.to_vec(),
                key: key.to_vec(),
                client_ca: client_ca.map(<[u8]>::to_vec),
            };
            match texts.identity() {
                Ok(identity) => assert!(says.is_empty() && identity.expires.is_some(), "taken, not: {says}"),
                Err(why) => assert!(!says.is_empty() && why.contains(says), "{why}"),
            }
        };
        check(&certificate, &key, None, "");
        check(&other, &other_key, Some(&certificate), "");
        check(&certificate, &other_key, None, "is not the key of the certificate");
        check(b"hello", &key, None, "`listen.tls_certificate` holds no certificate");
        check(&certificate, b"", None, "`listen.tls_key` holds no private key");
        check(
            &certificate,
            &certificate,
            None,
            "`listen.tls_key` holds no private key",
        );
        check(
            &certificate,
            &key,
            Some(b""),
            "`listen.tls_client_ca` holds no certificate",
        );
    }
}
