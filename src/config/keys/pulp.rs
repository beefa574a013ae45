//! The rows of Pulp's event listeners.

use super::Key;

pub(super) const KEYS: &[Key] = &[key! { "compat.pulp", "compat-pulp", "BOOL",
"Serve Pulp 2's event listeners: `/pulp/api/v2/events/`",
|s, v| { s.compat.pulp.on = v.switch()?; Ok(()) },
|s| s.compat.pulp.on.to_string() }];
