//! Risks that settings have on this machine: its disk, its memory, its limits.
//!
//! Why apart from [`super::risks`]: a config is often checked elsewhere than where it runs, and these sentences are true
//! only here. `serve` logs them, `config check` says them of the machine that it runs on.
//! What cannot be found out (another system, a container without `df`) is left unsaid.
//! Invariant: what is read of the machine is read in one place (`Machine::here`); the rules are pure.

use std::path::Path;
use std::process::Command;

use super::Settings;
use crate::hub::{filesystem_of, weakness};
use crate::units::show_size;

/// File handles that a hub needs beside its connections: its files, sinks, plugins.
const OWN_FILES: u64 = 2_048;

/// What is known of a machine.
#[derive(Debug, Default)]
struct Machine {
    filesystem: Option<String>,
    /// Bytes that are free where the store is.
    free: Option<u64>,
    /// Bytes of memory that a process may have.
    memory: Option<u64>,
    /// Files that a process may have open, once it has raised its limit as far as it may.
    files: Option<u64>,
}

/// What the operator should know of this machine, one sentence each.
pub fn risks(settings: &Settings) -> Vec<String> {
    risks_on(settings, &Machine::here(&settings.data.dir))
}

fn risks_on(settings: &Settings, machine: &Machine) -> Vec<String> {
    let dir = settings.data.dir.display();
    let filesystem = machine.filesystem.as_deref().and_then(weakness);
    let filesystem = filesystem.map(|weak| format!("the data folder {dir} (`data.dir`) is on {weak}"));
    let size = settings.log.retention.size.zip(machine.free);
    let disk = size.filter(|(size, free)| size > free).map(|(size, free)| {
        format!(
            "one bus may take {} (`log.retention_size`), and {} are free where {dir} is: the disk may be full before \
             retention begins, and then publishing stops; lower it",
            show_size(size),
            show_size(free >> 20 << 20)
        )
    });
    let wanted = (settings.listen.connections as u64).saturating_add(OWN_FILES);
    let files = machine.files.filter(|files| *files < wanted).map(|files| {
        format!(
            "{} connections are allowed (`listen.connections`), and this process may have {files} files open: at that \
             number connections, deliveries and the store fail together; raise it (`ulimit -Hn`, `LimitNOFILE=`) or \
             lower `listen.connections`",
            settings.listen.connections
        )
    });
    let plugins = machine.memory.and_then(|memory| too_much_memory(settings, memory));
    [filesystem, disk, files, plugins].into_iter().flatten().collect()
}

fn too_much_memory(settings: &Settings, memory: u64) -> Option<String> {
    let plugins = settings
        .plugins
        .values()
        .map(|plugin| plugin.limits.total_memory as u64);
    let all = plugins.fold(0, u64::saturating_add);
    (all > memory).then(|| {
        format!(
            "plugins may take {} together (`plugins.NAME.limits.total_memory`), and this process may have {}: they could \
             take the hub's own; lower them",
            show_size(all),
            show_size(memory)
        )
    })
}

impl Machine {
    /// This one, with the store in this folder.
    fn here(data: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        Self {
            filesystem: filesystem_of(data),
            free: free(data),
            memory: memory(
                read("/proc/meminfo").as_deref(),
                read("/sys/fs/cgroup/memory.max").as_deref(),
            ),
            files: read("/proc/self/limits").and_then(|limits| open_files(&limits)),
        }
    }
}

/// What `df` says, since the library has no word for it.
fn free(data: &Path) -> Option<u64> {
    let whole = std::path::absolute(data).ok()?;
    let there = whole.ancestors().find(|folder| folder.exists())?;
    let told = Command::new("df").arg("-Pk").arg(there).output().ok()?;
    available(&String::from_utf8(told.stdout).ok()?)
}

/// The fourth column of the second line, in KiB.
fn available(told: &str) -> Option<u64> {
    let column = told.lines().nth(1)?.split_whitespace().nth(3)?;
    column.parse::<u64>().ok()?.checked_mul(1_024)
}

/// The machine's memory, or what the container may have of it.
fn memory(machine: Option<&str>, container: Option<&str>) -> Option<u64> {
    let total = machine.and_then(|text| text.lines().find_map(|line| line.strip_prefix("MemTotal:")));
    let total = total.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let container = container.and_then(|text| text.trim().parse::<u64>().ok());
    [total.and_then(|total| total.checked_mul(1_024)), container]
        .into_iter()
        .flatten()
        .min()
}

fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_tells_is_read() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 100 40 60 40% /\n";
        assert_eq!(available(df), Some(60 << 10));
        assert_eq!(available(""), None);
        let meminfo = "MemTotal:       16 kB\nMemFree: 1 kB\n";
        assert_eq!(memory(Some(meminfo), Some("max\n")), Some(16 << 10));
        assert_eq!(memory(Some(meminfo), Some("4096\n")), Some(4_096));
        assert_eq!(memory(None, None), None);
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024     524288    files\n";
        assert_eq!(open_files(limits), Some(524_288));
        assert_eq!(open_files("Max open files unlimited unlimited files\n"), None);
    }

    #[test]
    fn a_small_machine_is_told() {
        let settings = Settings::default();
        let check = |machine: Machine, says: &[&str]| {
            let found = risks_on(&settings, &machine);
            assert_eq!(found.len(), says.len(), "{found:#?}");
            for (found, says) in found.iter().zip(says) {
                assert!(found.contains(says), "{found}");
            }
        };
        check(Machine::default(), &[]);
        let small = Machine {
            filesystem: Some("tmpfs".to_owned()),
            free: Some(1 << 30),
            memory: Some(1 << 20),
            files: Some(1_024),
        };
        check(small, &["is on tmpfs", "`log.retention_size`", "`ulimit -Hn`"]);
        let large = Machine {
            filesystem: Some("ext4".to_owned()),
            free: Some(1 << 40),
            memory: Some(1 << 40),
            files: Some(1 << 20),
        };
        check(large, &[]);
    }
}
