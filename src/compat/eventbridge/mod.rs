//! Alibaba Cloud EventBridge, as its clients know it: buses, rules, targets, events, under their own paths.
//!
//! Two surfaces reach the same actions: `data_plane` (`/openapi/…`) and `rpc` (`POST /`, 2020-04-01), each with its own
//! signatures (`signature`), envelopes and words for a refusal (`fault`). `call` knows every action. Buses, rules and
//! sources are documents (`buses`, `rules` and `targets` of `rule`, `sources`); `translate` makes a subscription of a
//! rule and a target, `subscribed` keeps the hub's in line with the documents. Events come in by `put_events` and
//! `webhook`, `stamp` puts on them what the service does; they are read back by `events` and `traces`.
//!
//! Invariant: a rule's subscriptions are ordinary ones, and are made of nothing but its document.
//! Invariant: without accounts in the config nobody is asked, whatever they send; with them every call proves itself.

mod arn;
mod buses;
mod call;
mod data_plane;
mod events;
mod fault;
mod official;
mod params;
mod pattern;
mod put_events;
mod request;
mod rpc;
mod rule;
mod rules;
mod settings;
mod signature;
mod sources;
mod stamp;
mod subscribed;
mod targets;
mod traces;
mod translate;
mod webhook;

use std::sync::Arc;

use axum::routing::{any, get, post};
use axum::{Extension, Router};
use ring::hmac;
use serde_json::{Value, json};

pub use settings::{Limits, PublishTime, Settings, Webhook};

use super::Door;
use crate::deliver::push::CERTIFICATE_PATH;
use crate::digest::short_sha256;
use crate::error::Error;
use fault::Fault;

/// Where a `GET /?Action=…` is handed over to: `GET /` alone is the hub's own.
pub const RPC_BY_GET: &str = "/openapi/rpc";

/// Its routes.
pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/openapi/{action}", post(data_plane::answer))
        .route("/openapi/v2/{action}", post(data_plane::answer))
        .route(CERTIFICATE_PATH, get(data_plane::certificate))
        .route("/webhook/putEvents", any(data_plane::webhook))
        .route("/", post(rpc::answer))
        .route(RPC_BY_GET, get(rpc::answer_get))
        .layer(Extension(Arc::<call::Memory>::default()))
}

/// Brings subscriptions in line with what is kept.
///
/// # Errors
/// What is kept cannot be read or written.
pub(super) async fn start(door: &Door) -> Result<(), Error> {
    if let Some(url) = &door.settings.eventbridge.certificate_url {
        door.hub.signer().set_certificate_url(url.clone());
    }
    subscribed::start(door).await
}

/// What became of each event of a request, in its order.
fn entry_list(results: Vec<(String, Option<Fault>)>) -> Value {
    let failed = results.iter().filter(|(_, fault)| fault.is_some()).count();
    let entries: Vec<Value> = results
        .into_iter()
        .map(|(id, fault)| match fault {
            None => json!({ "EventId": id, "TraceId": request_id() }),
            Some(fault) => {
                json!({ "EventId": id, "TraceId": request_id(), "ErrorCode": fault.code, "ErrorMessage": fault.message })
            }
        })
        .collect();
    json!({ "FailedEntryCount": failed, "EntryList": entries })
}

/// A new id of a request: a UUID in capitals.
fn request_id() -> String {
    // Version 4, variant 1.
    let bits = crate::chance::bits() & !(0xF << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032X}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

/// Twelve hex digits of the SHA-256 of these names.
fn hash(names: &[&str]) -> String {
    short_sha256(names.join("\n"), 12)
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"compare");
    hmac::verify(&key, one, hmac::sign(&key, other).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_requests_are_uuids() {
        let id = request_id();
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12]
        );
        assert!(parts[2].starts_with('4') && "89AB".contains(&parts[3][..1]), "{id}");
        assert_ne!(id, request_id());
    }

    #[test]
    fn names_do_not_run_together() {
        assert_eq!(hash(&["a"]).len(), 12);
        assert_ne!(hash(&["a", "bc"]), hash(&["ab", "c"]));
        assert!(same(b"x", b"x") && !same(b"x", b"y") && !same(b"", b"y"));
    }
}
