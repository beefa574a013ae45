//! The rows of Docker Cloud's events.

use super::{Key, count};

pub(super) const KEYS: &[Key] = &[
    key! { "compat.docker_cloud", "compat-docker-cloud", "BOOL",
    "Serve Docker Cloud's event stream: `/api/audit/v1/events`",
    |s, v| { s.compat.docker_cloud.on = v.switch()?; Ok(()) },
    |s| s.compat.docker_cloud.on.to_string() },
    key! { "compat.docker_cloud_listeners", "compat-docker-cloud-listeners", "COUNT",
    "Listeners on Docker Cloud's event stream at once; more are refused (503) before their handshake",
    |s, v| { s.compat.docker_cloud.listeners = count(v, 1, 1_000_000)?; Ok(()) },
    |s| s.compat.docker_cloud.listeners.to_string() },
];
