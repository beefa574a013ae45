//! The rows of Marathon's event bus.

use super::Key;

pub(super) const KEYS: &[Key] = &[key! { "compat.marathon", "compat-marathon", "BOOL",
"Serve Marathon's event bus: `/v2/eventSubscriptions`, `/v2/events`",
|s, v| { s.compat.marathon.on = v.switch()?; Ok(()) },
|s| s.compat.marathon.on.to_string() }];
