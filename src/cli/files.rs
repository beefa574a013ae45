//! The process's limit on open files, raised as far as it may be.
//!
//! Every connection is a file. Shells and service managers give a process about a thousand, from a time when `select`
//! could take no more, and let it raise that itself: who does not refuses the thousandth stream.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit to all that the process may have; whether that is enough, `config::machine` says.
pub(super) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A kernel that refuses leaves what there was.
    let raised = setrlimit(Resource::Nofile, limit).is_ok();
    tracing::debug!(raised, files = limit.maximum, "limit on open files");
}
