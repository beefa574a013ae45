//! Start to ready with an empty store, and resident memory: idle, and with five plugins.
#![allow(missing_docs, reason = "a bench")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints and may stop"
)]

mod support;

use std::path::Path;

use support::{median, now, process};

const ROUNDS: usize = 5;

fn main() {
    process::serve_role();
    let folder = tempfile::tempdir().expect("a folder");
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins).expect("plugin folder");
    let (cold, idle) = starts(&folder.path().join("none"), None);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/filter-threshold");
    let component = busway::devkit::build(&source, Some(folder.path()), &mut |_| {}).expect("build the filter");
    for n in 1..=5 {
        std::fs::copy(&component, plugins.join(format!("filter-{n}.wasm"))).expect("copy");
    }
    let (first, _) = starts(&plugins, None);
    let kept = tempfile::tempdir().expect("a folder");
    drop(process::hub(kept.path(), &plugins, &[]));
    let (cached, loaded) = starts(&plugins, Some(kept.path()));
    println!("start to ready: medians of {ROUNDS}; memory resident once ready\n");
    println!("{:<36} {:>10} {:>10}", "", "ready, ms", "RSS, MiB");
    println!("{:<36} {cold:>10.0} {idle:>10.1}", "empty store, no plugins");
    println!("{:<36} {first:>10.0} {:>10}", "empty store, 5 plugins, compiling", "");
    println!("{:<36} {cached:>10.0} {loaded:>10.1}", "5 plugins from the cache");
}

/// Median time to ready in milliseconds, and resident memory in MiB; each start with `kept` data or none.
fn starts(plugins: &Path, kept: Option<&Path>) -> (f64, f64) {
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let fresh = tempfile::tempdir().expect("a folder");
        let begin = now();
        let hub = process::hub(kept.unwrap_or(fresh.path()), plugins, &[]);
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        memory.push(hub.resident() as f64 / (1 << 20) as f64);
    }
    (median(times), median(memory))
}
