//! A load that is overtaken while it compiles, step by step.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::metrics::Metrics;
use crate::net::{Client, Guard, GuardSettings};
use crate::plugin::cache::Cache;
use crate::plugin::engine::Engines;
use crate::plugin::tests::dropping;
use crate::time::{Clock, Timestamp};

fn reload(folder: &Path) -> (Reload, mpsc::UnboundedReceiver<Notice>) {
    let (notices, heard) = mpsc::unbounded_channel();
    let loader = Loader {
        engines: Engines::new().unwrap(),
        cache: Cache::none(),
        client: Client::new(Guard::new(GuardSettings::default())),
        clock: Clock::manual(Timestamp(0)),
        metrics: Arc::new(Metrics::new()),
        crowded: Arc::default(),
        failing: Arc::default(),
    };
    let parts = Parts {
        folder: folder.to_owned(),
        loader: Arc::new(loader),
        live: Arc::new(Live::new()),
        tasks: Tasks::new(),
        notices,
        plugins: BTreeMap::new(),
    };
    (Reload::new(parts), heard)
}

impl Reload {
    /// Begins to load the file as it is, and compiles it to its end; nothing is live of it yet.
    async fn compile(&mut self) -> Result<Loaded, tokio::task::JoinError> {
        let stamp = Stamp::of(&self.folder.join("p.wasm"));
        self.act(Change {
            name: "p".to_owned(),
            stamp,
            since: self.loader.clock.instant(),
        });
        self.loads.next().await.expect("a load")
    }

    /// Looks, waits for the changes to settle, and loads them.
    async fn catch_up(&mut self) {
        self.look();
        self.loader.clock.advance(watch::SETTLE);
        self.look();
        while let Some(loaded) = self.loads.next().await {
            self.publish(loaded);
        }
    }

    fn summary(&self) -> Option<(u64, String)> {
        let live = self.live.generation("p")?;
        Some((live.number, live.about.summary.clone()))
    }
}

#[tokio::test]
async fn what_is_replaced_while_it_compiles_never_serves() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("p.wasm");
    let (mut reload, _heard) = reload(folder.path());
    std::fs::write(&file, dropping("a")).unwrap();
    reload.catch_up().await;
    assert_eq!(reload.summary(), Some((1, "a".to_owned())));

    std::fs::write(&file, dropping("bb")).unwrap();
    let overtaken = reload.compile().await;
    std::fs::write(&file, dropping("c")).unwrap();
    reload.look();
    reload.publish(overtaken);
    assert_eq!(
        reload.summary(),
        Some((1, "a".to_owned())),
        "the old one serves until the newest can"
    );
    reload.catch_up().await;
    assert_eq!(reload.summary(), Some((2, "c".to_owned())));

    // Gone while it compiled.
    std::fs::write(&file, dropping("dd")).unwrap();
    let overtaken = reload.compile().await;
    std::fs::remove_file(&file).unwrap();
    reload.publish(overtaken);
    assert_eq!(reload.summary(), Some((2, "c".to_owned())));
    reload.catch_up().await;
    assert_eq!(reload.summary(), None);

    // The directory vanishes under a load, and comes back with another file.
    std::fs::write(&file, dropping("e")).unwrap();
    let overtaken = reload.compile().await;
    std::fs::remove_dir_all(folder.path()).unwrap();
    reload.publish(overtaken);
    assert_eq!(reload.summary(), None);
    std::fs::create_dir(folder.path()).unwrap();
    std::fs::write(&file, dropping("ff")).unwrap();
    reload.catch_up().await;
    assert_eq!(reload.summary(), Some((3, "ff".to_owned())));
}
