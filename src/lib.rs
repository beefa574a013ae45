//! Busway: a durable event hub that WebAssembly plugins extend. THE MAP.
//!
//! # What it does
//! Producers publish CloudEvents over HTTP; the hub writes them to disk, answers 202, matches them against
//! subscriptions and delivers each at least once: as an HTTP callback, on a stream, or through a notifier plugin.
//! Filter plugins judge what passes. Plugins are components in a folder; what changes there is swapped in while
//! events flow.
//!
//! # The way of an event
//! ```text
//!  POST /v1/events ─► api ─► event ─► hub ─► log ─► deliver ──► net ─► HTTP callback
//!                           (decode)       (on disk,  │  ▲   └─► plugin ─► notifier
//!                                           then 202) │  └ subscription (cursors, retries, dead letters)
//!  GET /v1/stream  ◄─ api ◄───── hub ◄──── log        └─ filter (which subscriptions?), plugin (verdicts)
//! ```
//!
//! # Layout, in reading order (arrows of `use` go down only)
//! - `main`: arguments in, exit code out. [`cli`]: one file a command; [`cli`]'s demo shows all of it at work.
//! - [`server`]: the only place that builds things; the order of the start and of the stop stand in its header.
//!   [`config`]: every key in one table.
//! - [`api`]: `/v1`, the route table on one screen. [`compat`]: Marathon, Docker Cloud, EventBridge and Pulp, as their
//!   clients know them. [`devkit`]: from a plugin's source, in any language, to a component.
//! - [`hub`]: what every front door calls, and nothing below it; its `trial` shadows live traffic, its `explain` tells
//!   why an event arrived or did not.
//! - [`deliver`]: lanes, retry, hold, breaker, replays, webhooks, notifiers.
//! - [`subscription`]: what subscribers asked for, kept. [`filter`]: which subscriptions an event matches.
//!   [`transform`]: what an event becomes for one of them. [`log`]: the events, on disk. [`plugin`]: components, their
//!   limits, grants, schemas and key-value spaces; their swap and roll-back.
//! - [`net`]: the only way out. [`event`]: CloudEvents in every form.
//! - [`access`]: who may do what. [`error`], [`time`], [`chance`], [`units`], [`digest`], [`nearest`], [`rate`],
//!   [`tasks`], [`metrics`]: what everything uses.
//!
//! # Where does it happen?
//! | what | where |
//! |---|---|
//! | a config key | a row of `config/keys/`; what is risky about it in `config/risks` and `config/machine` |
//! | a route | `api/mod.rs`; who may call it `api/guard`; a path of an older system `compat/` |
//! | 202, and what a kill may cost | `log` (its header), `log/writer`; refused when it is too much: `log/queue`, `api/room` |
//! | when a delivery is tried, and given up | `deliver/retry`, `deliver/lane/settle`; order: `deliver/lane/keys`; a sink that is down: `deliver/breaker` |
//! | how a callback is called | `deliver/call`, `deliver/webhook`; OAuth2 `deliver/tokens`; TLS and proxies `net/` |
//! | dead letters, replays | `hub/dead_letters`, `deliver/revive`; `hub/replay`, `deliver/replay` |
//! | credentials | `access` (what one may), `hub/tokens` (made, kept, revoked), `api/gate` (asked for) |
//! | what may be dialled | `net/guard`, `net/rule`, `net/ranges` |
//! | TLS of the listeners | `server/tls` |
//! | a plugin's load, swap, limits, grants | `plugin` (its header names each step's file) |
//! | a figure of `/metrics`, a line of `/healthz` | `metrics`, `hub/measure`; `hub/status`, `hub/concern` |
//!
//! # Invariants, most of them about what is absent
//! - No event is acknowledged before it is on disk ([`log`]); no cursor passes a record that is not settled
//!   ([`subscription`]).
//! - [`filter`], [`log`] and [`plugin`] do not know each other; [`deliver`] makes them meet.
//! - Only [`plugin`] names wasmtime; only [`api`] and [`server`] name axum; only [`time`] reads the clock; only
//!   [`tasks`] spawns; only [`net`] dials out, for plugins too.
//! - No process globals: two hubs run in one test. No panic from a request: `unwrap`, `expect` and indexing are denied.
//! - A plugin holds no lock, file or socket of the hub's; it has its own memory, time, output and egress, all bounded.
//!
//! `tests/it/tidy.rs` checks these from the sources.

pub mod cli;

pub mod config;
pub mod server;

pub mod api;
pub mod compat;
pub mod devkit;

pub mod hub;

pub mod deliver;

pub mod filter;
pub mod log;
pub mod plugin;
pub mod subscription;
pub mod transform;

pub mod event;
pub mod net;

pub mod access;
pub mod chance;
pub mod digest;
pub mod error;
pub mod metrics;
pub mod nearest;
pub mod rate;
pub mod tasks;
pub mod time;
pub mod units;
