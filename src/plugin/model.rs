//! The words in which the rest of the hub speaks with plugins: plain types, no behaviour.
//!
//! Invariant: none of them names wasmtime, and none is the WIT's own type: a new WIT version changes nothing here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a plugin exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum World {
    /// `filter-plugin`.
    Filter,
    /// `notifier-plugin`.
    Notifier,
}

/// What a filter decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The event goes on.
    Pass,
    /// It ends here, for this reason.
    Drop(String),
    /// It goes on with this data.
    Replace(bytes::Bytes),
}

/// Why a call gave no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// No plugin of this name is loaded (or not of the needed world): wait for one.
    NotLoaded(String),
    /// The guest trapped (panic, out of bounds, stack overflow, unreachable).
    Trap(String),
    /// The call took longer than its limit.
    Deadline(Duration),
    /// It computed longer than its limit.
    Cpu(Duration),
    /// The instance wanted more memory than its limit.
    Memory(String),
    /// It wanted more of the network than its limit, and did not take no for an answer.
    Egress(String),
    /// No instance came free in time.
    Busy,
    /// `init` refused the config, in these words.
    Config(String),
    /// The guest itself returned an error, in these words.
    Guest(String),
}

/// Why a notifier did not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyError {
    /// The plugin's own answer.
    Failure {
        /// In words.
        reason: String,
        /// Whether another try can help.
        retry: bool,
        /// The shortest wait before it.
        retry_after: Option<Duration>,
    },
    /// The call itself failed.
    Call(CallError),
}

/// What a notifier is told of the delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The subscription's id.
    pub subscription: String,
    /// From 1.
    pub attempt: u32,
    /// Stable over attempts.
    pub id: String,
}

/// Bounds of one plugin. Defaults apply where the config is silent; the table of them is in `limits.rs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// All memories and tables of one instance, in bytes.
    pub memory: usize,
    /// The same of all its instances together.
    pub total_memory: usize,
    /// One call, wall clock. None: 250 ms for a filter, 10 s for a notifier.
    pub timeout: Option<Duration>,
    /// Computing in one call, not counting what it waits for. None: 250 ms for a filter, 2 s for a notifier.
    pub cpu: Option<Duration>,
    /// Instances of one (plugin, config).
    pub instances: usize,
    /// Instances in all.
    pub total_instances: usize,
    /// What a call may return, or hand to the hub in one piece, in bytes.
    pub output: usize,
    /// HTTP requests, connections and look-ups of names in one call.
    pub requests: usize,
    /// Bytes that one call moves over the network, both ways.
    pub egress: usize,
    /// Lines a second in the hub's log; five seconds' worth may come at once.
    pub log_lines: usize,
    /// Bytes a second in the hub's log; five seconds' worth may come at once.
    pub log_bytes: usize,
}

/// Which load of a plugin answered a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct By {
    /// The nth load of this name; 0 if none is loaded.
    pub generation: u64,
    /// Whether it is so young that it may yet be rolled back.
    pub on_probation: bool,
}

/// When a new generation that fails is taken back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rollback {
    /// Never.
    Off,
    /// When it fails more than it may, and the generation before it did not.
    On {
        /// For so long after its swap.
        window: Duration,
        /// Not before it has been called so often.
        calls: u64,
        /// The share of failed calls, from above 0 to 1.
        failures: f64,
    },
}

impl Default for Rollback {
    fn default() -> Self {
        Self::On {
            window: Duration::from_secs(60),
            calls: 20,
            failures: 0.5,
        }
    }
}

/// What the operator's config says of one plugin.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PluginSettings {
    /// Its config, overlaid by each subscription's own.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// What it may do.
    pub grants: Grants,
    /// Its bounds.
    pub limits: Limits,
    /// When a new generation of it is taken back.
    pub rollback: Rollback,
}

/// What a plugin may do beyond computing and logging.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Origins for outgoing HTTP: `https://hooks.example.com`, `http://*.internal:8080`.
    pub http: Vec<String>,
    /// `host:port` for outgoing TCP.
    pub tcp: Vec<String>,
    /// Names of servers that TLS by the host (wasi:tls) may be asked for: `smtp.example.com`, `*.example.com`.
    pub tls: Vec<String>,
    /// Authorities that are trusted in it beside the public ones: PEM, or `file:PATH`, or `env:NAME`.
    pub tls_ca: Option<String>,
    /// Environment variables: the value, or `file:PATH`, or `env:NAME`.
    pub env: BTreeMap<String, String>,
    /// Size of its durable key-value space, in bytes.
    pub kv: Option<usize>,
}

/// Options of the host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The plugin directory.
    pub dir: PathBuf,
    /// Where precompiled code is kept (only this process writes there).
    pub cache: PathBuf,
    /// Where plugins' key-value spaces are kept. None: in memory.
    pub kv: Option<PathBuf>,
    /// What the operator's config says, by plugin name.
    pub plugins: BTreeMap<String, PluginSettings>,
}

/// Something that happened to a plugin, for self-events and the log.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A generation went live.
    Loaded {
        /// Plugin name.
        name: String,
        /// Its digest, hex SHA-256.
        digest: String,
        /// The nth load of this name since the start.
        generation: u64,
        /// From the file's change to the swap.
        took: Duration,
    },
    /// A file was refused; the last good generation, if any, stays live.
    Rejected {
        /// Plugin name.
        name: String,
        /// Why, and what to do.
        reason: String,
        /// Whether an older generation goes on serving.
        serving: bool,
    },
    /// A generation that failed was taken back: the one before it serves again, as a new generation (which a
    /// [`Notice::Loaded`] tells as well).
    RolledBack {
        /// Plugin name.
        name: String,
        /// Digest of what was taken back.
        digest: String,
        /// Its generation.
        generation: u64,
        /// The generation that serves now.
        serving: u64,
        /// How it failed, and what helps.
        reason: String,
    },
    /// A file went away.
    Removed {
        /// Plugin name.
        name: String,
    },
}

/// Figures and state of one plugin.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PluginStatus {
    /// Its name: the file's, without `.wasm`.
    pub name: String,
    /// `filter` or `notifier`; none if nothing is loaded.
    pub kind: Option<&'static str>,
    /// `active`, `rejected`, or `rolled_back`.
    pub state: &'static str,
    /// Why the newest file was refused, if it was.
    pub reason: Option<String>,
    /// Calls that wait for an instance.
    pub waiting: usize,
    /// Live generation.
    pub generation: u64,
    /// Hex SHA-256 of the live component.
    pub digest: Option<String>,
    /// Its own one-line summary.
    pub summary: Option<String>,
    /// Its config schema, if it has one.
    pub config_schema: Option<serde_json::Value>,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it was granted (values of env not shown).
    pub grants: Vec<String>,
    /// Calls since the start.
    pub calls: u64,
    /// Failed calls since the start.
    pub errors: u64,
    /// Median call, microseconds.
    pub p50_us: u64,
    /// 99th percentile, microseconds.
    pub p99_us: u64,
    /// Instances now.
    pub instances: usize,
    /// Bytes held by its instances now.
    pub memory: usize,
    /// Failed calls since the start, by kind.
    pub errors_by_kind: BTreeMap<&'static str, u64>,
    /// Time spent computing since the start, milliseconds.
    pub cpu_ms: u64,
    /// Requests, connections and look-ups since the start.
    pub requests: u64,
    /// Bytes moved over the network since the start, both ways.
    pub egress: u64,
    /// Times since the start that it wanted what it was not granted.
    pub refused: u64,
    /// Lines that did not get into the log since the start.
    pub log_suppressed: u64,
    /// What its key-value space holds now, in bytes.
    pub kv: u64,
    /// Its limits, in the config's words.
    pub limits: BTreeMap<&'static str, String>,
}
