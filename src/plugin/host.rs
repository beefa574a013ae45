//! What a guest may ask of the hub: its event, the log, and WASI as far as it was granted.
//!
//! Invariant: a host belongs to one store, and a store to one instance: what traps takes nothing else with it.
//! Invariant: without grants there are no files, arguments, variables, sockets or requests; there is only time,
//! chance, and the log.
//! Invariant: `event` is set for the length of one call, so a handle that outlives its call finds nothing.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::allowance::Allowance;
use super::guest_log::{GuestLog, Level, Output};
use super::http::Egress;
use super::kv::Granted;
use super::limits::Limiter;
use super::recorder::Recorder;
use super::sockets::{self, Names};
use super::tls::{Handshakes, WasiTlsCtx, WasiTlsCtxView, WasiTlsView};
use crate::event::{ATTRIBUTES, Event};

/// The data of one store.
pub(super) struct Host {
    pub(super) limiter: Limiter,
    pub(super) log: Arc<GuestLog>,
    /// What the guest is asked about now.
    event: Option<Arc<Event>>,
    table: ResourceTable,
    names: Names,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: Egress,
    tls: WasiTlsCtx,
    pub(super) kv: Granted,
    /// What this call may still ask of the network.
    pub(super) allowance: Arc<Allowance>,
    /// Writes down what the guest asks, if it is observed.
    recorder: Option<Arc<Recorder>>,
}

/// The ways out of one instance.
pub(super) struct WaysOut {
    pub(super) egress: Egress,
    pub(super) names: Names,
    pub(super) handshakes: Handshakes,
    pub(super) kv: Granted,
}

impl Host {
    /// A host with these ways out, which share an allowance.
    pub(super) fn new(limiter: Limiter, log: Arc<GuestLog>, allowance: Arc<Allowance>, ways: WaysOut) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.envs(ways.egress.allowed.env());
        wasi.stdout(Output {
            log: log.clone(),
            level: Level::Info,
        });
        wasi.stderr(Output {
            log: log.clone(),
            level: Level::Warn,
        });
        sockets::close_wasi(&mut wasi);
        let recorder = log.recorder().cloned();
        Self {
            recorder,
            limiter,
            log,
            event: None,
            table: ResourceTable::new(),
            names: ways.names,
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            egress: ways.egress,
            tls: ways.handshakes.into_wasi(),
            kv: ways.kv,
            allowance,
        }
    }

    /// A call begins: shows the guest its event, until [`Host::hide`].
    pub(super) fn show(&mut self, event: Arc<Event>) {
        self.event = Some(event);
        self.allowance.renew();
    }

    /// The call is over.
    pub(super) fn hide(&mut self) {
        self.event = None;
    }

    /// Notes that the guest called this function of the host.
    pub(super) fn count(&self, function: &'static str) {
        if let Some(recorder) = &self.recorder {
            recorder.count(function);
        }
    }

    /// What sockets need.
    pub(super) fn sockets(&mut self) -> (&Names, &mut ResourceTable) {
        (&self.names, &mut self.table)
    }

    /// The event that the guest is asked about.
    pub(super) fn event(&self) -> wasmtime::Result<&Event> {
        self.event
            .as_deref()
            .ok_or_else(|| wasmtime::format_err!("the event was used after the call that lent it"))
    }
}

/// The value at a JSON Pointer in the event's data, as JSON text.
pub(super) fn at(event: &Event, pointer: &str) -> Option<String> {
    serde_json::to_string(event.json()?.pointer(pointer)?).ok()
}

/// Every attribute in its canonical string form, the required ones first.
pub(super) fn attributes(event: &Event) -> Vec<(String, String)> {
    let known = ATTRIBUTES
        .iter()
        .filter_map(|&name| Some((name.to_owned(), event.attribute(name)?.into_owned())));
    let extensions = event
        .extensions()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into_owned()));
    known.chain(extensions).collect()
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.egress,
        }
    }
}

impl WasiTlsView for Host {
    fn tls(&mut self) -> WasiTlsCtxView<'_> {
        WasiTlsCtxView {
            ctx: &mut self.tls,
            table: &mut self.table,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Data, DataKind, Draft, Value};

    fn event(json: &'static str) -> Event {
        let data = Some(Data {
            kind: DataKind::Json,
            bytes: json.into(),
        });
        let extensions = vec![
            ("priority".to_owned(), Value::Integer(7)),
            ("urgent".to_owned(), Value::Boolean(true)),
        ];
        let draft = Draft {
            id: "1".to_owned(),
            source: "/s".to_owned(),
            ty: "t".to_owned(),
            data,
            extensions,
            ..Draft::default()
        };
        draft.check().unwrap()
    }

    #[test]
    fn a_pointer_finds_json_text() {
        let event = event(r#"{"a": {"b/c": [1, "two", null]}, "": 3}"#);
        let check =
            |pointer: &str, expected: Option<&str>| assert_eq!(at(&event, pointer).as_deref(), expected, "{pointer}");
        check("/a/b~1c/0", Some("1"));
        check("/a/b~1c/1", Some("\"two\""));
        check("/a/b~1c/2", Some("null"));
        check("/a/b~1c/3", None);
        check("/a", Some(r#"{"b/c":[1,"two",null]}"#));
        check("/", Some("3"));
        check("a", None);
        assert!(at(&event, "").unwrap().starts_with('{'));
    }

    #[test]
    fn attributes_come_required_first() {
        let names: Vec<_> = attributes(&event("{}"))
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            names,
            [
                "specversion=1.0",
                "id=1",
                "source=/s",
                "type=t",
                "priority=7",
                "urgent=true"
            ]
        );
    }
}
