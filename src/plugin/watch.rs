//! Watching the plugin directory: which files are there, and when a change has come to rest.
//!
//! The file system's events only say when to look; what counts is the look: a stamp of each file, and a change counts
//! once its stamp has stood still for [`SETTLE`]. So a copy in progress is not loaded half way, a rename over the old
//! file and a symlink swapped under it (Kubernetes) look alike, and an event that was missed costs a few seconds,
//! since the directory is looked at that often anyway. The directory may also vanish, come back, or come later.
//! (Rejected: trusting events for what happened: they differ by system, get lost, and do not follow symlinks.)
//!
//! Invariant: [`Settling`] is pure: it is given the stamps and the time.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tracing::debug;

/// How long a file must stand still.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// How often the directory is looked at when nothing is heard.
pub(super) const POLL: Duration = Duration::from_secs(3);

/// What of a file changes when its content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) inode: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file, through symlinks; none if it is not there.
    pub(super) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path)
            .ok()
            .filter(Metadata::is_file)
            .map(|found| Self::read(&found))
    }

    fn read(found: &Metadata) -> Self {
        Self {
            inode: (found.dev(), found.ino()),
            len: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// The plugin files that are there now, by plugin name.
pub(super) fn look(folder: &Path) -> BTreeMap<String, Stamp> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let plugins = paths.filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    plugins
        .filter_map(|path| Some((path.file_stem()?.to_string_lossy().into_owned(), Stamp::of(&path)?)))
        .collect()
}

/// The file of a plugin.
pub(super) fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.wasm"))
}

/// A name as the API and the config can carry it.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let first = name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let rest = name
        .chars()
        .all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '-');
    match first && rest && name.len() <= 64 {
        true => Ok(()),
        false => Err("its file name must be 1 to 64 of a-z, 0-9 and `-`, not beginning with `-`; rename it".to_owned()),
    }
}

/// Which files have changed, and for how long they have stood still since.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// As last taken up, whatever came of it.
    taken: BTreeMap<String, Stamp>,
    /// What is seen to differ, and since when.
    moving: BTreeMap<String, (Option<Stamp>, Instant)>,
}

/// A change that has come to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: String,
    /// None: the file is gone.
    pub(super) stamp: Option<Stamp>,
    /// When it was first seen as it is.
    pub(super) since: Instant,
}

impl Settling {
    /// Compares what is there with what was taken up; the changes that have stood still long enough.
    pub(super) fn settled(&mut self, found: &BTreeMap<String, Stamp>, now: Instant) -> Vec<Change> {
        let names: std::collections::BTreeSet<&String> = found
            .keys()
            .chain(self.taken.keys())
            .chain(self.moving.keys())
            .collect();
        let mut moving = BTreeMap::new();
        for name in names {
            let stamp = found.get(name).copied();
            if stamp == self.taken.get(name).copied() {
                continue;
            }
            let since = self
                .moving
                .get(name)
                .filter(|(seen, _)| *seen == stamp)
                .map_or(now, |(_, since)| *since);
            moving.insert(name.clone(), (stamp, since));
        }
        self.moving = moving;
        let rested = self
            .moving
            .iter()
            .filter(|(_, (_, since))| now.saturating_duration_since(*since) >= SETTLE);
        rested
            .map(|(name, &(stamp, since))| Change {
                name: name.clone(),
                stamp,
                since,
            })
            .collect()
    }

    /// A change is being acted on.
    pub(super) fn take(&mut self, change: &Change) {
        self.moving.remove(&change.name);
        match change.stamp {
            Some(stamp) => drop(self.taken.insert(change.name.clone(), stamp)),
            None => drop(self.taken.remove(&change.name)),
        }
    }

    /// The inode of the file that was taken up last.
    pub(super) fn inode(&self, name: &str) -> Option<(u64, u64)> {
        self.taken.get(name).map(|stamp| stamp.inode)
    }

    /// Acting on it found that it had not come to rest: it counts as unseen.
    pub(super) fn put_back(&mut self, name: &str) {
        self.taken.remove(name);
    }

    /// How soon it is worth another look.
    pub(super) fn next_look(&self) -> Duration {
        if self.moving.is_empty() { POLL } else { SETTLE }
    }
}

/// Ears on the directory.
pub(super) struct Watcher {
    folder: PathBuf,
    heard: mpsc::Receiver<()>,
    tell: mpsc::Sender<()>,
    /// The watcher, and the inode of the directory it is on.
    on: Option<(RecommendedWatcher, (u64, u64))>,
}

impl Watcher {
    pub(super) fn new(folder: &Path) -> Self {
        let (tell, heard) = mpsc::channel(1);
        let mut this = Self {
            folder: folder.to_owned(),
            heard,
            tell,
            on: None,
        };
        this.follow();
        this
    }

    /// Resolves when something may have changed.
    pub(super) async fn heard(&mut self) {
        // The sender is ours: the channel never closes.
        let _ = self.heard.recv().await;
    }

    /// Watches the directory that is there now, if it is another than before, or none was.
    pub(super) fn follow(&mut self) {
        let inode = std::fs::metadata(&self.folder)
            .ok()
            .map(|found| (found.dev(), found.ino()));
        if self.on.as_ref().map(|(_, inode)| *inode) == inode {
            return;
        }
        self.on = inode.and_then(|inode| Some((self.watch()?, inode)));
    }

    fn watch(&self) -> Option<RecommendedWatcher> {
        let tell = self.tell.clone();
        let listen = move |event: notify::Result<notify::Event>| {
            // Looking at the directory is itself an access: hearing those would never end.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                let _ = tell.try_send(());
            }
        };
        let watched = notify::recommended_watcher(listen).and_then(|mut watcher| {
            watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        watched
            .inspect_err(|error| debug!(cause = %error, "plugin directory cannot be watched, it is polled"))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_api_can_carry() {
        let check = |name: &str, good: bool| assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        check("a", true);
        check("0-a-9", true);
        check(&"x".repeat(64), true);
        check(&"x".repeat(65), false);
        check("", false);
        check("-a", false);
        check("A", false);
        check("a_b", false);
        check("a.b", false);
        check("ü", false);
    }

    fn stamp(len: u64) -> Stamp {
        Stamp {
            inode: (1, 1),
            len,
            modified: (0, 0),
            changed: (0, 0),
        }
    }

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "any reading will do as the zero of this test's time"
    )]
    fn a_change_counts_once_it_stands_still() {
        let mut settling = Settling::default();
        let start = Instant::now();
        let mut check = |millis: u64, files: &[(&str, u64)], expected: &[(&str, Option<u64>)]| {
            let found = files.iter().map(|&(name, len)| (name.to_owned(), stamp(len))).collect();
            let changes = settling.settled(&found, start + Duration::from_millis(millis));
            let told: Vec<_> = changes
                .iter()
                .map(|change| (change.name.as_str(), change.stamp.map(|stamp| stamp.len)))
                .collect();
            assert_eq!(told, expected, "at {millis} ms");
            changes.iter().for_each(|change| settling.take(change));
        };
        check(0, &[("a", 1)], &[]);
        check(60, &[("a", 2)], &[]); // still being written
        check(120, &[("a", 2)], &[]);
        check(160, &[("a", 2), ("b", 1)], &[("a", Some(2))]);
        check(200, &[("a", 2), ("b", 1)], &[]);
        check(260, &[("a", 2), ("b", 1)], &[("b", Some(1))]);
        check(300, &[("b", 1)], &[]); // gone for the length of a replacement
        check(350, &[("a", 2), ("b", 1)], &[]);
        check(900, &[("a", 2)], &[]);
        check(1_000, &[("a", 2)], &[("b", None)]);
        check(1_100, &[("a", 2)], &[]);
    }
}
