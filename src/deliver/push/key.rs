//! The RSA key of signed pushes, and the certificate that goes with it: made once, kept in one file.
//!
//! One file for both, written aside and put in place in one step: a crash leaves both or none, and a certificate never
//! stands beside another's key. Only its owner may read it.
//! Why two crates on one key: ring signs, fast and in constant time, and does not encrypt; rsa does, with blinding.
//! Invariant: a key that receivers may have seen is never replaced by another.

use std::io::Write as _;
use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rsa::rand_core::OsRng;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};

use crate::error::{Error, Kind};

const FILE: &str = "push-signing.pem";
const BITS: usize = 2_048;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// The key and its certificate.
pub(super) struct Key {
    /// In PEM.
    pub(super) certificate: String,
    encrypting: RsaPrivateKey,
    signing: RsaKeyPair,
}

/// Reads the key in this folder, or makes it. Takes a second when it is made.
pub(super) fn open(folder: &Path) -> Result<Key, Error> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let made = make()?;
            keep(folder, &path, &made).map_err(|cause| unavailable("written", cause))?;
            made
        }
        Err(cause) => return Err(unavailable("read", cause)),
    };
    read(&text)
}

impl Key {
    /// PKCS#1 v1.5, SHA-256.
    pub(super) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.signing.public().modulus_len()];
        let signed = self
            .signing
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature);
        signed.map_err(|cause| Error::internal(anyhow::anyhow!("sign a push: {cause}")))?;
        Ok(signature)
    }

    /// With the private key, PKCS#1 v1.5: whoever has the certificate can read it.
    pub(super) fn encrypt(&self, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let padding = Pkcs1v15Sign::new_unprefixed();
        self.encrypting
            .sign_with_rng(&mut OsRng, padding, secret)
            .map_err(Error::internal)
    }
}

fn make() -> Result<String, Error> {
    let key = RsaPrivateKey::new(&mut OsRng, BITS).map_err(Error::internal)?;
    let private = key.to_pkcs8_pem(LineEnding::LF).map_err(Error::internal)?;
    let pair =
        rcgen::KeyPair::from_pkcs8_pem_and_sign_algo(&private, &rcgen::PKCS_RSA_SHA256).map_err(Error::internal)?;
    let mut about = rcgen::CertificateParams::new(Vec::new()).map_err(Error::internal)?;
    about.distinguished_name = rcgen::DistinguishedName::new();
    about
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Busway signed pushes");
    // Receivers look at the signature, not at the calendar; a certificate that runs out would only stop them.
    (about.not_before, about.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2099, 12, 31));
    let certificate = about.self_signed(&pair).map_err(Error::internal)?;
    Ok(format!("{}{}", private.as_str(), certificate.pem()))
}

fn keep(folder: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    // A temporary file is its owner's alone (mode 600), and stays so.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|refused| refused.error)?;
    std::fs::File::open(folder)?.sync_all()
}

fn read(text: &str) -> Result<Key, Error> {
    let broken = || {
        let text = format!(
            "the file {FILE} in the data folder does not hold a key and its certificate; restore it, or delete it for a new key"
        );
        Error::new(Kind::Unavailable, "signing_key_unavailable", text)
    };
    let (private, _) = text.split_once(BEGIN).ok_or_else(broken)?;
    let certificate = text.get(private.len()..).unwrap_or_default().to_owned();
    let encrypting = RsaPrivateKey::from_pkcs8_pem(private).map_err(|cause| broken().with_cause(cause))?;
    let der = encrypting.to_pkcs8_der().map_err(|cause| broken().with_cause(cause))?;
    let signing = RsaKeyPair::from_pkcs8(der.as_bytes()).map_err(|_| broken())?;
    Ok(Key {
        certificate,
        encrypting,
        signing,
    })
}

fn unavailable(verb: &str, cause: std::io::Error) -> Error {
    let text = format!("the file {FILE} in the data folder cannot be {verb}: {cause}");
    Error::new(Kind::Unavailable, "signing_key_unavailable", text).with_cause(cause)
}
