//! The rows of Alibaba EventBridge.

use super::Key;

pub(super) const KEYS: &[Key] = &[key! { "compat.eventbridge", "compat-eventbridge", "BOOL",
"Serve Alibaba EventBridge: `/openapi`, its RPC calls, `/webhook/putEvents`",
|s, v| { s.compat.eventbridge.on = v.switch()?; Ok(()) },
|s| s.compat.eventbridge.on.to_string() }];
