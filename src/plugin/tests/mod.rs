//! Tests of the plugin host from the outside: real components, written as core modules in text and wrapped as
//! `wasm-tools component new` would, so that every instruction of a bad guest is in sight.

mod containment;
mod loading;
mod notifiers;
mod observing;
mod pooling;
mod rollback;
mod settings;
mod swap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::mpsc;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::{CallError, Notice, PluginSettings, PluginStatus, Plugins, Settings, Verdict};
use crate::event::{Data, DataKind, Draft, Event};
use crate::metrics::Metrics;
use crate::net::{Client, Guard, GuardSettings};
use crate::tasks::Tasks;
use crate::time::Clock;

/// A filter by the bodies of its functions. Empty bodies answer well: `evaluate` passes everything.
#[derive(Clone, Copy)]
struct Filter {
    summary: &'static str,
    describe: &'static str,
    init: &'static str,
    /// Runs first, while the event may still be asked.
    reads: &'static str,
    evaluate: &'static str,
    /// More of the module: memories, functions, data.
    module: &'static str,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            summary: "a test",
            describe: "",
            init: "",
            reads: "",
            evaluate: "",
            module: "",
        }
    }
}

/// Answers live at fixed places: 64 for `describe`, 128 for `init`, 192 for `evaluate`; texts from 1024, arguments
/// from 65536 up, anew for every call.
const PRELUDE: &str = r#"
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (if (i32.gt_u (global.get $next) (i32.const 131072)) (then unreachable))
        (local.get $at))
    (func $answer (param $at i32) (param $kind i32) (param $text i32) (param $len i32) (result i32)
        (i32.store (local.get $at) (local.get $kind))
        (i32.store (i32.add (local.get $at) (i32.const 4)) (local.get $text))
        (i32.store (i32.add (local.get $at) (i32.const 8)) (local.get $len))
        (local.get $at))
    (func $verdict (param $kind i32) (param $at i32) (param $len i32) (result i32)
        (i32.store (i32.const 192) (i32.const 0))
        (drop (call $answer (i32.const 196) (local.get $kind) (local.get $at) (local.get $len)))
        (i32.const 192))
"#;

impl Filter {
    /// The component of it.
    fn build(&self) -> Vec<u8> {
        self.build_in("filter-plugin", "")
    }

    /// The component of it, in a world that imports more.
    fn build_in(&self, world: &str, imports: &str) -> Vec<u8> {
        let Self {
            summary,
            describe,
            init,
            reads,
            evaluate,
            module,
        } = self;
        let text = format!(
            r#"(module
    (import "busway:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
    (import "busway:plugin/events@0.1.0" "[method]event.at" (func $at (param i32 i32 i32 i32)))
    (import "busway:plugin/events@0.1.0" "[resource-drop]event" (func $drop_event (param i32)))
    {imports}
    {PRELUDE}
    {module}
    (data (i32.const 1024) "{summary}")
    (func (export "busway:plugin/filter@0.1.0#describe") (result i32)
        {describe}
        (i32.store (i32.const 64) (i32.const 1024))
        (i32.store (i32.const 68) (i32.const {length}))
        (i32.const 64))
    (func (export "busway:plugin/filter@0.1.0#init") (param $config i32) (param $config_len i32) (result i32)
        {init}
        (call $answer (i32.const 128) (i32.const 0) (i32.const 0) (i32.const 0)))
    (func (export "busway:plugin/filter@0.1.0#evaluate")
        (param $id i32) (param $id_len i32) (param i32 i32 i32 i32 i32 i32 i32) (param $event i32) (result i32)
        (local $n i32)
        (global.set $next (i32.const 65536))
        {reads}
        (call $drop_event (local.get $event))
        {evaluate}
        (call $verdict (i32.const 0) (i32.const 0) (i32.const 0))))"#,
            length = summary.len(),
        );
        notifiers::component_of(&text, world)
    }
}

/// Wraps a core module as a component of this world; `more` are packages beside ours.
fn component_with(text: &str, world: &str, more: &[&str]) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (ours, _) = resolve
        .push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit/v0"))
        .unwrap();
    let others = more
        .iter()
        .map(|package| resolve.push_str("test.wit", package).unwrap())
        .last();
    let packages: Vec<_> = [Some(ours), others].into_iter().flatten().collect();
    let found = packages
        .iter()
        .find_map(|package| resolve.select_world(&[*package], Some(world)).ok())
        .unwrap();
    embed_component_metadata(&mut module, &resolve, found, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
}

/// A filter that drops every event, giving these words.
pub(super) fn dropping(words: &'static str) -> Vec<u8> {
    let evaluate = match words.len() {
        1 => "(return (call $verdict (i32.const 1) (i32.const 1024) (i32.const 1)))",
        2 => "(return (call $verdict (i32.const 1) (i32.const 1024) (i32.const 2)))",
        _ => panic!("one or two letters"),
    };
    Filter {
        summary: words,
        evaluate,
        ..Filter::default()
    }
    .build()
}

/// A host with folders of its own.
struct Bench {
    plugins: Plugins,
    notices: mpsc::UnboundedReceiver<Notice>,
    tasks: Tasks,
    metrics: Arc<Metrics>,
    home: TempDir,
}

impl Bench {
    /// A host whose directory holds these files, under these settings.
    async fn open(files: &[(&str, Vec<u8>)], settings: &[(&str, PluginSettings)]) -> Self {
        let home = TempDir::new().unwrap();
        std::fs::create_dir(home.path().join("plugins")).unwrap();
        for (name, bytes) in files {
            std::fs::write(home.path().join("plugins").join(format!("{name}.wasm")), bytes).unwrap();
        }
        Self::open_in(home, settings).await
    }

    /// A host in a home that is there already.
    async fn open_in(home: TempDir, settings: &[(&str, PluginSettings)]) -> Self {
        let (tell, notices) = mpsc::unbounded_channel();
        let (tasks, metrics) = (Tasks::new(), Arc::new(Metrics::new()));
        let settings = Settings {
            dir: home.path().join("plugins"),
            cache: home.path().join("cache"),
            kv: Some(home.path().join("kv")),
            plugins: by_name(settings),
        };
        let client = Client::new(Guard::new(GuardSettings::default()));
        let plugins = Plugins::open(settings, client, Clock::system(), tasks.clone(), metrics.clone(), tell)
            .await
            .unwrap();
        Self {
            plugins,
            notices,
            tasks,
            metrics,
            home,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join("plugins").join(format!("{name}.wasm"))
    }

    /// Replaces a file as a careful copy does: by another name, then a rename.
    fn replace(&self, name: &str, bytes: &[u8]) {
        let aside = self.home.path().join(format!("{name}.aside"));
        std::fs::write(&aside, bytes).unwrap();
        std::fs::rename(&aside, self.file(name)).unwrap();
    }

    /// The next thing that happened.
    async fn notice(&mut self) -> Notice {
        tokio::time::timeout(std::time::Duration::from_secs(30), self.notices.recv())
            .await
            .expect("a notice")
            .expect("a sender")
    }

    async fn loaded(&mut self) -> (String, u64) {
        match self.notice().await {
            Notice::Loaded { name, generation, .. } => (name, generation),
            other => panic!("not loaded: {other:?}"),
        }
    }

    async fn rejected(&mut self) -> (String, bool) {
        match self.notice().await {
            Notice::Rejected { reason, serving, .. } => (reason, serving),
            other => panic!("not rejected: {other:?}"),
        }
    }

    async fn evaluate(&self, name: &str, events: &[Arc<Event>]) -> Vec<Result<Verdict, CallError>> {
        self.plugins.evaluate(name, &"".into(), events.to_vec()).await
    }

    /// One event's answer.
    async fn ask(&self, name: &str) -> Result<Verdict, CallError> {
        self.evaluate(name, &[event("1", "{}")]).await.remove(0)
    }

    fn status(&self, name: &str) -> PluginStatus {
        self.plugins
            .status()
            .into_iter()
            .find(|status| status.name == name)
            .expect("a plugin of this name")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

fn by_name(settings: &[(&str, PluginSettings)]) -> BTreeMap<String, PluginSettings> {
    settings
        .iter()
        .map(|(name, settings)| ((*name).to_owned(), settings.clone()))
        .collect()
}

fn event(id: &str, json: &str) -> Arc<Event> {
    let data = Some(Data {
        kind: DataKind::Json,
        bytes: json.to_owned().into(),
    });
    let draft = Draft {
        id: id.to_owned(),
        source: "/test".to_owned(),
        ty: "test".to_owned(),
        data,
        ..Draft::default()
    };
    Arc::new(draft.check().unwrap())
}

fn dropped(words: &str) -> Result<Verdict, CallError> {
    Ok(Verdict::Drop(words.to_owned()))
}
