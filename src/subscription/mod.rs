//! What subscribers asked for, and how far each has come; kept across restarts.
//!
//! `model` is the resource, `read` its JSON as callers send it, `show` its JSON as they get it back and as the store
//! keeps it, `patch` a change of it, `store` the file on disk.
//! Invariant: a [`Subscription`] has been checked; nothing that delivery cannot act on can be held in one.
//! Invariant: a secret leaves this module only for the store and for the sink itself.

mod authority;
mod consent;
mod fields;
mod id;
mod model;
mod patch;
mod rate;
mod read;
mod secret;
mod show;
mod signing;
mod step;
mod store;
#[cfg(test)]
mod tests;
mod webhook;

pub use authority::Authority;
pub use consent::{Consent, ConsentKey, Given};
pub use model::*;
pub use rate::Rate;
pub use secret::{is_secret, secrets_by_name};
pub use signing::{PrivateKey, Secret};
pub use step::Step;
pub use store::{Attempt, Checkpoint, DeadLetter, DeadQuery, Kept, Retry, Store, check as check_store};
