//! Pushes signed as Alibaba's EventBridge signs them: the first form and the second, side by side.
//!
//! First: HMAC-SHA1 with a secret of the moment, which goes along encrypted with the private key (so that who has the
//! certificate can read it, and knows who sent it). Second: an RSA signature with SHA-256. Both sign the URL, the headers
//! that say how it is signed, and the body, each followed by a line end.
//! Published verifiers disagree whether the second ends with one; this does, as the first does for all of them.
//!
//! The key and its certificate are made when the first push needs them (`key`). A secret of the moment serves for a
//! minute: encrypting it is what costs.
//! Invariant: nothing is signed but what is sent.

mod key;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Request};
use ring::hmac;
use tokio::sync::OnceCell;

use self::key::{Key, open};
use crate::error::Error;
use crate::tasks::Tasks;
use crate::time::Timestamp;

/// Where the certificate is found, unless somebody says otherwise.
pub const CERTIFICATE_PATH: &str = "/openapi/certificate.pem";
/// How long one secret serves. Receivers take pushes for a minute.
const SECRET_MS: i64 = 60_000;

/// Signs pushes. Cheap to clone.
#[derive(Clone)]
pub struct Signer(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    tasks: Tasks,
    key: OnceCell<Key>,
    url: RwLock<CertificateUrl>,
    secret: Mutex<Option<Secret>>,
}

/// Where the certificate is.
#[derive(Default)]
struct CertificateUrl {
    /// As the operator says.
    given: Option<String>,
    /// At the hub.
    own: String,
}

/// A secret of the moment.
#[derive(Clone)]
struct Secret {
    since: Timestamp,
    plain: String,
    encrypted: String,
}

impl Signer {
    /// A signer whose key is in this folder, or will be; made on a thread of `tasks`.
    pub fn new(folder: PathBuf, tasks: Tasks) -> Self {
        Self(Arc::new(Inner {
            folder,
            tasks,
            key: OnceCell::new(),
            url: RwLock::default(),
            secret: Mutex::default(),
        }))
    }

    /// Says where receivers find the certificate, whatever the hub's own address is.
    pub fn set_certificate_url(&self, url: String) {
        self.0.url.write().unwrap_or_else(PoisonError::into_inner).given = Some(url);
    }

    /// Says where the hub itself serves the certificate: `http://host:port`.
    pub fn set_address(&self, address: &str) {
        let own = format!("{address}{CERTIFICATE_PATH}");
        self.0.url.write().unwrap_or_else(PoisonError::into_inner).own = own;
    }

    /// Where receivers find the certificate.
    pub fn certificate_url(&self) -> String {
        let url = self.0.url.read().unwrap_or_else(PoisonError::into_inner);
        url.given.as_ref().unwrap_or(&url.own).clone()
    }

    /// The certificate in PEM.
    ///
    /// # Errors
    /// `signing_key_unavailable`: the key's file can be neither read nor written.
    pub async fn certificate(&self) -> Result<String, Error> {
        self.key().await.map(|key| key.certificate.clone())
    }

    /// Adds the headers of both forms to a request for `url`.
    ///
    /// # Errors
    /// As [`Signer::certificate`].
    pub(super) async fn sign<B: AsRef<[u8]>>(
        &self,
        request: &mut Request<B>,
        url: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let key = self.key().await?;
        let secret = self.secret(key, now)?;
        let certificate = self.certificate_url();
        let time = now.0.to_string();
        let lines = |method: (&'static str, &'static str)| {
            let mut lines = vec![
                ("x-eventbridge-signature-timestamp", time.as_str()),
                method,
                ("x-eventbridge-signature-version", "1.0"),
                ("x-eventbridge-signature-url", certificate.as_str()),
            ];
            lines.extend(token.map(|token| ("x-eventbridge-signature-token", token)));
            lines
        };
        let first = lines(("x-eventbridge-signature-method", "HMAC-SHA1"));
        let second = lines(("x-eventbridge-hash-method", "SHA256"));
        let body = request.body().as_ref();
        let hmac_key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.plain.as_bytes());
        let v1 = STANDARD.encode(hmac::sign(&hmac_key, &to_sign(url, &first, body)));
        let v2 = STANDARD.encode(key.sign(&to_sign(url, &second, body))?);
        let own = [
            ("x-eventbridge-signature-secret", secret.encrypted.as_str()),
            ("x-eventbridge-signature", v1.as_str()),
            ("x-eventbridge-signature-v2", v2.as_str()),
        ];
        let all = first
            .iter()
            .chain(second.iter().filter(|line| !first.contains(line)))
            .chain(&own);
        let headers: Result<Vec<_>, _> = all
            .map(|(name, value)| Ok::<_, http::Error>((HeaderName::try_from(*name)?, HeaderValue::try_from(*value)?)))
            .collect();
        request.headers_mut().extend(headers.map_err(Error::internal)?);
        Ok(())
    }

    async fn key(&self) -> Result<&Key, Error> {
        let make = || async {
            let folder = self.0.folder.clone();
            self.0
                .tasks
                .blocking(move || open(&folder))
                .await
                .map_err(Error::internal)?
        };
        self.0.key.get_or_try_init(make).await
    }

    fn secret(&self, key: &Key, now: Timestamp) -> Result<Secret, Error> {
        let mut known = self.0.secret.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secret) = known
            .as_ref()
            .filter(|secret| (0..SECRET_MS).contains(&(now.0 - secret.since.0)))
        {
            return Ok(secret.clone());
        }
        let plain = format!("{:032x}", crate::chance::bits());
        let encrypted = STANDARD.encode(key.encrypt(plain.as_bytes())?);
        let secret = Secret {
            since: now,
            plain,
            encrypted,
        };
        *known = Some(secret.clone());
        Ok(secret)
    }
}

/// What is signed.
fn to_sign(url: &str, lines: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{url}\n").into_bytes();
    for (name, value) in lines {
        text.extend_from_slice(format!("{name}: {value}\n").as_bytes());
    }
    text.extend_from_slice(body);
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests;
