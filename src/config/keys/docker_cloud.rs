//! The rows of Docker Cloud's events.

use super::Key;

pub(super) const KEYS: &[Key] = &[key! { "compat.docker_cloud", "compat-docker-cloud", "BOOL",
"Serve Docker Cloud's event stream: `/api/audit/v1/events`",
|s, v| { s.compat.docker_cloud.on = v.switch()?; Ok(()) },
|s| s.compat.docker_cloud.on.to_string() }];
