//! Takes up certificates that change on disk, and tells in time that one will expire.
//!
//! The files are read now and then, and what counts is their content. So a rename, a copy over the old file and
//! Kubernetes' swap of a symlink two folders up look alike, on any file system.
//! (Rejected: the file system's events. They watch inodes, miss swaps further up, and do not come over a network.)
//! A certificate and its key that are replaced one after the other do not fit for a moment: the old pair goes on, one
//! line says so, and the next change is tried again.
//! Invariant: a pair that is refused changes nothing; the hub never stops to serve for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::Tls;
pub(in crate::server) use super::files::Files;
use super::files::{Identity, Texts};
use crate::error::Error;
use crate::hub::Hub;
use crate::tasks::Tasks;
use crate::time::Timestamp;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// An end that is nearer than this is told, once a day.
const SOON: Duration = Duration::from_secs(14 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);
/// Under which the hub tells of it at `/healthz`.
const TOPIC: &str = "tls";

/// Who looks after what listeners show.
pub(in crate::server) struct Renewal {
    /// What they show.
    pub(in crate::server) tls: Arc<Tls>,
    files: Files,
    hub: Hub,
    seen: [u8; 32],
    refused: Option<String>,
    expires: Option<Timestamp>,
    told: Option<Timestamp>,
}

impl Renewal {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// `tls_unusable`, and why: there is nothing older to go on with.
    pub(in crate::server) fn begin(files: Files, hub: &Hub) -> Result<Self, Error> {
        let refused = |why: String| Error::invalid("tls_unusable", why);
        let texts = files.read().map_err(refused)?;
        let Identity { config, expires } = texts.identity().map_err(refused)?;
        let mut renewal = Self {
            tls: Arc::new(Tls::new(config, hub.metrics().doors.clone())),
            seen: texts.fingerprint(),
            hub: hub.clone(),
            files,
            refused: None,
            expires,
            told: None,
        };
        renewal.tell(expires);
        Ok(renewal)
    }

    /// Looks now and then, and whenever `asked`, until `tasks` are asked to stop.
    pub(in crate::server) async fn keep(mut self, asked: Arc<Notify>, tasks: Tasks) {
        let clock = self.hub.clock().clone();
        loop {
            tokio::select! {
                () = tasks.stopping() => return,
                () = asked.notified() => {}
                () = clock.sleep(LOOK) => {}
            }
            let files = self.files.clone();
            // A file system that hangs holds up nobody else.
            if let Ok(read) = Tasks::expendable(move || files.read()).await {
                self.look(read);
            }
            self.remind();
        }
    }

    fn look(&mut self, read: Result<Texts, String>) {
        let texts = match read {
            Ok(texts) => texts,
            // Half-way through a swap, or gone; the next look tells.
            Err(why) => return self.refuse(why),
        };
        let fingerprint = texts.fingerprint();
        if fingerprint == self.seen {
            return self.forgive();
        }
        match texts.identity() {
            Err(why) => self.refuse(why),
            Ok(identity) => {
                self.seen = fingerprint;
                self.tls.show(identity.config);
                self.hub.metrics().doors.count_renewal("ok");
                self.forgive();
                self.tell(identity.expires);
            }
        }
    }

    /// The same words once.
    fn refuse(&mut self, why: String) {
        if self.refused.as_ref() == Some(&why) {
            return;
        }
        tracing::warn!(reason = why, "the changed certificate is refused, the old one stays");
        self.hub.metrics().doors.count_renewal("refused");
        let concern = format!("TLS: the certificate on disk is not taken, the one before it serves: {why}");
        self.hub.concern(TOPIC, Some(concern));
        self.refused = Some(why);
    }

    fn forgive(&mut self) {
        if self.refused.take().is_some() {
            self.hub.concern(TOPIC, None);
        }
    }

    fn tell(&mut self, expires: Option<Timestamp>) {
        let seconds = expires.map_or(0, |expires| expires.0 / 1_000);
        self.hub.metrics().doors.certificate_expiry.set(seconds);
        let shown = expires.map_or_else(|| "unknown".to_owned(), |expires| expires.to_string());
        let clients = if self.files.client_ca.is_some() {
            "must show a certificate"
        } else {
            "need no certificate"
        };
        tracing::info!(
            certificate = %self.files.certificate.display(),
            expires = shown,
            clients,
            "TLS certificate loaded"
        );
        (self.expires, self.told) = (expires, None);
        self.remind();
    }

    /// Once a day, when the end is near.
    fn remind(&mut self) {
        let now = self.hub.clock().now();
        let Some(expires) = self.expires.filter(|expires| expires.since(now) < SOON) else {
            return;
        };
        if self.told.is_some_and(|told| now.since(told) < DAY) {
            return;
        }
        self.told = Some(now);
        match expires.since(now) {
            Duration::ZERO => {
                tracing::error!(%expires, "the TLS certificate has expired: clients will refuse it; replace its files")
            }
            left => {
                tracing::warn!(%expires, days = left.as_secs() / 86_400, "the TLS certificate expires soon: replace its files")
            }
        }
    }
}
