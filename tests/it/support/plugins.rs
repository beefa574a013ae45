//! Real components for the plugin directory of a hub: ours from `plugins/`, and the bad ones from `tests/guests/`.
//!
//! They are built once a test process, by the same code as `busway plugin build`, and kept as bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

static BUILT: OnceLock<BTreeMap<&'static str, Vec<u8>>> = OnceLock::new();

/// Every plugin that the tests load, by the name of its folder.
const FOLDERS: &[&str] = &[
    "plugins/email",
    "plugins/filter-threshold",
    "plugins/notifier-chat",
    "tests/guests/misbehave",
    "tests/guests/misbehave-notifier",
    "tests/guests/reach",
];

/// The component of this name. Blocks while the first caller builds.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let built = BUILT.get_or_init(|| {
        let out = tempfile::tempdir().expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let build = |folder: &&'static str| {
            let path = busway::devkit::build(&root.join(folder), Some(out.path()), &mut |_| {})
                .unwrap_or_else(|error| panic!("{folder}: {error}"));
            let name = folder.rsplit('/').next().expect("a name");
            (name, std::fs::read(path).expect("the plugin"))
        };
        FOLDERS.iter().map(build).collect()
    });
    built.get(name).unwrap_or_else(|| panic!("{name} is not built")).clone()
}

/// `misbehave`, with another digit in what its deed `mark` says: the same plugin, another generation.
pub(crate) fn generation(digit: u8) -> Vec<u8> {
    let mut wasm = component("misbehave");
    let mark = b"generation 0";
    let at = wasm
        .windows(mark.len())
        .position(|window| window == mark)
        .expect("the mark");
    wasm[at + mark.len() - 1] = b'0' + digit;
    wasm
}

/// Puts a component into the plugin directory of the hub in `folder`, whole: written beside, then renamed.
pub(crate) fn place(folder: &Path, name: &str, wasm: &[u8]) {
    let plugins = folder.join("plugins");
    std::fs::create_dir_all(&plugins).expect("the plugin directory");
    let beside = plugins.join(format!("{name}.next"));
    std::fs::write(&beside, wasm).expect("write");
    std::fs::rename(&beside, plugins.join(format!("{name}.wasm"))).expect("rename");
}

/// Takes it out again.
pub(crate) fn take_away(folder: &Path, name: &str) {
    std::fs::remove_file(folder.join("plugins").join(format!("{name}.wasm"))).expect("remove");
}
