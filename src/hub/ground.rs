//! The ground that the store stands on: which file system, what a sync costs there, and what can be lost.
//!
//! Why so: "on disk" is worth what the disk is worth. A folder in memory keeps every promise until the power goes, and
//! a network file system may break those that SQLite rests on. So it is looked at, measured once at the start, and told.
//! Invariant: the sentences follow from what was found, never from what was hoped for.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::log::InForce;
use crate::time::Clock;

/// What a measured sync writes: a commit of usual size.
const PROBE: usize = 4_096;
/// How often; the middle one counts.
const TRIES: usize = 3;

/// What was found when the hub was opened.
#[derive(Debug, Clone, Default)]
pub(super) struct Ground {
    filesystem: Option<String>,
    sync: Option<Duration>,
}

/// What an operator is told of the store.
#[derive(Debug, Clone, Serialize)]
pub struct Promise {
    /// The engine, and how it is set, as it says itself.
    pub engine: String,
    /// The file system that the data folder is on; none where it cannot be known.
    pub filesystem: Option<String>,
    /// What writing and syncing 4 KiB there took at the start, in milliseconds.
    pub sync_ms: Option<f64>,
    /// What is lost if the process is killed.
    pub lost_in_a_kill: &'static str,
    /// What is lost if the machine stops.
    pub lost_in_a_power_cut: &'static str,
    /// What plugins wrote into their key-value spaces is kept less strictly.
    pub plugin_kv: &'static str,
    /// What an operator should change, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

const NOTHING: &str = "nothing that was acknowledged";
const PLUGIN_KV: &str = "a kill loses nothing; a power cut may lose what plugins wrote in the last moments \
    (synchronous=NORMAL)";

impl Ground {
    /// Looks at the folder of the store, and measures.
    pub(super) fn of(data: &Path, clock: &Clock) -> Self {
        Self {
            filesystem: filesystem_of(data),
            sync: measure(data, clock),
        }
    }

    /// What can be promised on it.
    pub(super) fn promise(&self, log: Option<&InForce>) -> Promise {
        let synced = log.is_some_and(InForce::is_synced);
        let weak = self.filesystem.as_deref().and_then(weakness);
        let in_memory = matches!(self.filesystem.as_deref(), Some("tmpfs" | "ramfs"));
        let engine = log.map_or_else(
            || "SQLite; nothing was written yet".to_owned(),
            |log| {
                let (journal, synchronous) = (log.journal.to_uppercase(), log.synchronous_name());
                format!("SQLite, journal_mode={journal}, synchronous={synchronous}")
            },
        );
        Promise {
            engine,
            filesystem: self.filesystem.clone(),
            sync_ms: self.sync.map(|sync| (sync.as_secs_f64() * 100_000.0).round() / 100.0),
            lost_in_a_kill: match log.is_none_or(InForce::survives_a_kill) {
                true => NOTHING,
                false => "what was being written, and perhaps the whole file",
            },
            lost_in_a_power_cut: match (in_memory, synced) {
                (true, _) => "everything: the file system is in memory",
                (false, true) => {
                    "nothing that was acknowledged, if the disk keeps its word; some deliveries may be made again"
                }
                (false, false) => "what was acknowledged in the last moments before it",
            },
            plugin_kv: PLUGIN_KV,
            warning: weak.map(|weak| format!("the data folder is on {weak}")),
        }
    }
}

/// Why a file system is no good place for a store, and what is.
pub fn weakness(filesystem: &str) -> Option<String> {
    let why = match filesystem {
        "tmpfs" | "ramfs" => "is in memory: all of it is gone when the machine restarts; use a disk",
        "overlay" | "aufs" => "is a container's own layer: it goes with the container; mount a volume there",
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "ceph" | "glusterfs" | "lustre" | "afs" => {
            "comes over a network, where SQLite's locks and its shared memory cannot be relied on; use a disk of this \
             machine"
        }
        other if other.starts_with("fuse") => {
            "is served by a program, which may say that data is on disk before it is; use a disk of this machine"
        }
        _ => return None,
    };
    Some(format!("{filesystem}, which {why}"))
}

/// The type of the file system that a folder is on, or will be; none where the system does not tell.
pub fn filesystem_of(folder: &Path) -> Option<String> {
    let whole = std::path::absolute(folder).ok()?;
    let there = whole.ancestors().find_map(|folder| folder.canonicalize().ok())?;
    find(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, &there)
}

/// The mount with the longest path above this one; of several at one place, the last, which covers the others.
fn find(mounts: &str, path: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let (mount, rest) = line.split_once(" - ")?;
        let place = unescaped(mount.split(' ').nth(4)?);
        let length = place.len();
        if path.starts_with(&place) && best.is_none_or(|(longest, _)| length >= longest) {
            best = Some((length, rest.split(' ').next()?));
        }
    }
    best.map(|(_, filesystem)| filesystem.to_owned())
}

/// Spaces and their like are written as three octal digits.
fn unescaped(place: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(place.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

fn measure(data: &Path, clock: &Clock) -> Option<Duration> {
    let path = data.join("sync-probe");
    let once = || -> std::io::Result<Duration> {
        let began = clock.instant();
        let mut file = File::create(&path)?;
        file.write_all(&[0; PROBE])?;
        file.sync_all()?;
        Ok(began.elapsed())
    };
    let tried: std::io::Result<Vec<Duration>> = (0..TRIES).map(|_| once()).collect();
    // Not there if it could not be made.
    let _ = std::fs::remove_file(&path);
    let mut tried = tried.ok()?;
    tried.sort_unstable();
    tried.get(TRIES / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
25 22 0:22 / /tmp rw,nosuid - tmpfs tmpfs rw
31 22 0:40 / /mnt/my\\040disk rw master:2 propagate_from:1 - xfs /dev/sdb rw
32 22 0:41 / /mnt/my\\040disk/deep rw - nfs4 server:/x rw
33 25 0:42 / /tmp rw - overlay overlay rw
";

    #[test]
    fn the_nearest_mount_counts() {
        for (path, filesystem) in [
            ("/", "ext4"),
            ("/tmpx", "ext4"),
            ("/var/lib/busway", "ext4"),
            ("/tmp/data", "overlay"),
            ("/mnt/my disk/data", "xfs"),
            ("/mnt/my disk/deep/er", "nfs4"),
        ] {
            assert_eq!(find(MOUNTS, Path::new(path)).as_deref(), Some(filesystem), "{path}");
        }
        assert_eq!(find("nonsense", Path::new("/")), None);
    }

    #[test]
    fn what_is_promised_follows_from_what_is_there() {
        let log = |journal: &str, synchronous| InForce {
            journal: journal.to_owned(),
            synchronous,
        };
        for (filesystem, log, kill, power, warned) in [
            (
                "ext4",
                log("wal", 2),
                NOTHING,
                "nothing that was acknowledged, if",
                false,
            ),
            (
                "ext4",
                log("wal", 1),
                NOTHING,
                "what was acknowledged in the last",
                false,
            ),
            (
                "ext4",
                log("memory", 2),
                "what was being written",
                "what was acknowledged in the last",
                false,
            ),
            ("tmpfs", log("wal", 2), NOTHING, "everything", true),
            (
                "overlay",
                log("wal", 2),
                NOTHING,
                "nothing that was acknowledged, if",
                true,
            ),
            (
                "nfs4",
                log("wal", 2),
                NOTHING,
                "nothing that was acknowledged, if",
                true,
            ),
            (
                "fuse.sshfs",
                log("wal", 2),
                NOTHING,
                "nothing that was acknowledged, if",
                true,
            ),
        ] {
            let ground = Ground {
                filesystem: Some(filesystem.to_owned()),
                sync: Some(Duration::from_micros(1_234)),
            };
            let promise = ground.promise(Some(&log));
            assert!(promise.lost_in_a_kill.starts_with(kill), "{promise:?}");
            assert!(promise.lost_in_a_power_cut.starts_with(power), "{promise:?}");
            assert_eq!(promise.warning.is_some(), warned, "{promise:?}");
            assert_eq!(promise.sync_ms, Some(1.23));
        }
    }

    #[test]
    fn a_sync_is_measured_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ground = Ground::of(folder.path(), &Clock::system());
        assert!(ground.sync.is_some_and(|sync| !sync.is_zero()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let nowhere = Ground::of(&folder.path().join("not/there"), &Clock::system());
        assert_eq!(nowhere.sync, None);
        assert_eq!(nowhere.filesystem, ground.filesystem);
    }
}
