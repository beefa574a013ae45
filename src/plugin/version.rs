//! What every WIT version must be able to do: the small trait behind which `v0.rs` and its successors stand.
//!
//! A new version is a folder `wit/vN`, a file `vN.rs`, and a line in [`VERSIONS`]; nothing else changes.
//! Invariant: nothing past these traits knows which version a plugin was built against.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime::{Engine, Store};

use super::host::Host;
use super::{Delivery, NotifyError, Verdict, World, v0};
use crate::event::Event;

/// A future behind a pointer, so that the traits can be objects.
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Links a component; the last argument says whether its calls may wait in the host.
type Link = fn(&Engine, &Component, World, bool) -> wasmtime::Result<Box<dyn Linked>>;

/// One version: what its package is called and how to link a component of it.
pub(super) struct Version {
    pub(super) package: &'static str,
    pub(super) link: Link,
}

/// The versions that are served, newest first.
pub(super) const VERSIONS: &[Version] = &[Version {
    package: v0::VERSION,
    link: v0::link,
}];

/// A component whose imports are all there and whose exports are found.
pub(super) trait Linked: Send + Sync {
    fn world(&self) -> World;
    /// Whether a call may wait in the host: then only the asynchronous calls may be used.
    fn waits(&self) -> bool;
    fn instantiate<'a>(&'a self, store: &'a mut Store<Host>) -> Boxed<'a, wasmtime::Result<Box<dyn Guest>>>;
}

/// What a plugin says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) summary: String,
    /// JSON text, as the plugin gave it.
    pub(super) config_schema: Option<String>,
}

/// The exports of one instance.
///
/// An outer error means that the instance is spent; an inner one is the guest's own word, and it lives on. Of a guest
/// that does not wait, every future is ready at its first poll.
pub(super) trait Guest: Send + Sync {
    fn describe<'a>(&'a self, store: &'a mut Store<Host>) -> Boxed<'a, wasmtime::Result<About>>;
    fn init<'a>(
        &'a self,
        store: &'a mut Store<Host>,
        config: &'a str,
    ) -> Boxed<'a, wasmtime::Result<Result<(), String>>>;
    /// For a guest that does not wait.
    fn evaluate(&self, store: &mut Store<Host>, event: &Arc<Event>) -> wasmtime::Result<Result<Verdict, String>>;
    /// For a guest that may.
    fn evaluate_waiting<'a>(
        &'a self,
        store: &'a mut Store<Host>,
        event: &'a Arc<Event>,
    ) -> Boxed<'a, wasmtime::Result<Result<Verdict, String>>>;
    fn notify<'a>(
        &'a self,
        store: &'a mut Store<Host>,
        event: &'a Arc<Event>,
        delivery: Delivery,
    ) -> Boxed<'a, wasmtime::Result<Result<(), NotifyError>>>;
}
