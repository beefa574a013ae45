//! The process's limit on open files, raised as far as it may be.
//!
//! Every connection is a file. Shells and service managers give a process about a thousand, from a time when `select`
//! could take no more, and let it raise that itself: who does not refuses the thousandth stream.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that are open besides connections of clients: the store, plugins, deliveries.
const BESIDES: u64 = 2_048;

/// Raises the limit to all that the process may have; warns if that is too few for so many connections.
pub(super) fn raise_limit(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    // A kernel that refuses leaves what there was.
    let raised = setrlimit(Resource::Nofile, limit).is_ok();
    let files = if raised { limit.maximum } else { before };
    let wanted = BESIDES.saturating_add(u64::try_from(connections).unwrap_or(u64::MAX));
    match files {
        Some(files) if files < wanted => tracing::warn!(
            files,
            connections,
            "the process may open fewer files than `listen.connections` needs; raise its limit (`ulimit -Hn`, LimitNOFILE=)"
        ),
        files => tracing::debug!(files, "limit on open files"),
    }
}
