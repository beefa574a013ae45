//! Who the hub is to a server that asks: a certificate chain and its private key.
//!
//! Everything is checked when it is read (both parse, the key is the certificate's), so that a subscription with the
//! wrong key is refused when it is made, and not by each delivery.
//! Invariant: the key leaves only for the store ([`Identity::key`]) and into the handshake; `Debug` does not show it.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, InconsistentKeys};

use super::tls::pem;

/// A certificate chain and its private key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKeyPair>);

struct CertifiedKeyPair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Which of the two is wrong, and how: the end of a sentence that begins with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityFault {
    /// The chain.
    Certificate(String),
    /// The key.
    Key(String),
}

impl Identity {
    /// Reads both, in PEM form: the chain with our own certificate first; the key as PKCS #8, PKCS #1 or SEC 1.
    ///
    /// # Errors
    /// Which of the two is wrong, and how.
    pub fn read(certificate: &[u8], key: &[u8]) -> Result<Self, IdentityFault> {
        use IdentityFault::{Certificate, Key};
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| Certificate(format!("is no PEM: {error:?}")))?;
        if chain.is_empty() {
            let why = "holds no certificate (-----BEGIN CERTIFICATE-----)";
            return Err(Certificate(why.to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            let why = "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----, RSA or EC); one under a passphrase cannot be used";
            Key(why.to_owned())
        })?;
        let provider = rustls::crypto::ring::default_provider();
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider) {
            Ok(_) => Ok(Self(Arc::new(CertifiedKeyPair { chain, key }))),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let why = "does not belong to the first certificate of `certificate`";
                Err(Key(why.to_owned()))
            }
            Err(error @ rustls::Error::InvalidCertificate(_)) => Err(Certificate(format!("cannot be used: {error}"))),
            Err(error) => Err(Key(format!("cannot be used: {error}"))),
        }
    }

    /// The chain, in PEM form.
    pub fn certificate(&self) -> String {
        let all = self.0.chain.iter();
        all.map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    /// The private key, in PEM form. For the store alone.
    pub fn key(&self) -> String {
        let label = match &self.0.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem(label, self.0.key.secret_der())
    }

    /// Both, as the handshake takes them.
    pub(super) fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.0.chain.clone(), self.0.key.clone_key())
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.0.chain == other.0.chain && self.0.key == other.0.key
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &[u8] = include_bytes!("../../tests/fixtures/tls/server.pem");
    const KEY: &[u8] = include_bytes!("../../tests/fixtures/tls/server.key");
    const CA: &[u8] = include_bytes!("../../tests/fixtures/tls/ca.pem");

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        let check = |certificate: &[u8], key: &[u8], field: fn(String) -> IdentityFault, says: &str| {
            let fault = Identity::read(certificate, key).unwrap_err();
            let (IdentityFault::Certificate(why) | IdentityFault::Key(why)) = &fault;
            assert_eq!(fault, field(why.clone()));
            assert!(why.contains(says), "{why}");
        };
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let broken = "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n";
        let nonsense = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        check(b"", KEY, IdentityFault::Certificate, "no certificate");
        check(KEY, KEY, IdentityFault::Certificate, "no certificate");
        check(nonsense.as_bytes(), KEY, IdentityFault::Certificate, "cannot be used");
        check(SERVER, b"", IdentityFault::Key, "no private key");
        check(SERVER, locked.as_bytes(), IdentityFault::Key, "passphrase");
        check(SERVER, broken.as_bytes(), IdentityFault::Key, "cannot be used");
        check(SERVER, other.as_bytes(), IdentityFault::Key, "does not belong");
        check(CA, KEY, IdentityFault::Key, "does not belong");
    }

    #[test]
    fn what_is_shown_for_the_store_reads_back() {
        let read = Identity::read(SERVER, KEY).unwrap();
        let again = Identity::read(read.certificate().as_bytes(), read.key().as_bytes()).unwrap();
        assert_eq!(read, again);
        assert!(!format!("{read:?}").contains("KEY"));
    }
}
