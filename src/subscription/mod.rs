//! What subscribers asked for, and how far each has come; kept across restarts.
//!
//! `model` is the resource, `read` its JSON as callers send it (field by field: `fields`), `show` its JSON as they get it
//! back and as the store keeps it, `patch` a change of it, `store` the file on disk.
//! `config`, when and how often, is `delivery` with its `schedule` of `step`s and its `breaker`. `protocolsettings`, how, is
//! `webhook` with `auth`, `tls`, `proxy` and `signing`; `secret` keeps what of it is never shown, `rotation` the signing
//! secrets that are on their way out, and `consent` what the target said when it was asked.
//! Invariant: a [`Subscription`] has been checked; nothing that delivery cannot act on can be held in one.
//! Invariant: a secret leaves this module only for the store and for the sink itself.

mod auth;
mod breaker;
mod consent;
mod delivery;
mod fields;
mod id;
mod model;
mod patch;
mod proxy;
mod read;
mod rotation;
mod schedule;
mod secret;
mod show;
mod signing;
mod step;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod webhook;

pub use crate::rate::Rate;
pub use auth::{Auth, ClientStyle, OAuth2};
pub use breaker::BreakerConfig;
pub use consent::{Consent, ConsentKey, Given};
pub use model::*;
pub use rotation::{Rotated, Rotation};
pub use schedule::{Exponential, Schedule};
pub use secret::{is_secret, secrets_by_name};
pub use signing::{PrivateKey, Secret, SigningSecret};
pub use step::Step;
pub use store::{
    Attempt, Checkpoint, DeadLetter, DeadQuery, ENDED_KEPT, Kept, KeptReplay, Replay, ReplayId, ReplayProgress,
    ReplayState, ReplayStep, Retry, Store, check as check_store,
};
pub use tls::Tls;
