//! The rows of Alibaba EventBridge.

use super::{Key, bytes, count, positive};
use crate::compat::eventbridge::{PublishTime, Webhook};
use crate::config::value::Given;
use crate::units::{show_duration, show_size};

pub(super) const KEYS: &[Key] = &[
    key! { "compat.eventbridge", "compat-eventbridge", "BOOL",
    "Serve Alibaba EventBridge: `/openapi`, its RPC calls, `/webhook/putEvents`",
    |s, v| { s.compat.eventbridge.on = v.switch()?; Ok(()) },
    |s| s.compat.eventbridge.on.to_string() },
    key! { "eventbridge.account", "eventbridge-account", "DIGITS",
    "The Alibaba account that everything belongs to: in ARNs, and on every event",
    |s, v| { s.compat.eventbridge.account = plain(v, |c| c.is_ascii_digit())?; Ok(()) },
    |s| s.compat.eventbridge.account.clone() },
    key! { "eventbridge.region", "eventbridge-region", "REGION",
    "The Alibaba region that the hub stands for: in ARNs, and on every event",
    |s, v| { s.compat.eventbridge.region = plain(v, |c| c.is_ascii_alphanumeric() || c == '-')?; Ok(()) },
    |s| s.compat.eventbridge.region.clone() },
    key! { "eventbridge.publish_time", "eventbridge-publish-time", "FORM",
    "How `aliyunpublishtime` is written: `prc` (`2020-11-19T21:04:42.179PRC`) or `utc` (`2020-11-19T13:04:42.179Z`)",
    |s, v| { s.compat.eventbridge.publish_time = publish_time(v)?; Ok(()) },
    |s| shown(s.compat.eventbridge.publish_time).to_owned() },
    key! { "eventbridge.webhooks", "eventbridge-webhooks", "SOURCES",
    "Webhook sources as `NAME@BUS=TOKEN`: whoever knows the token may post to `/webhook/putEvents?token=…`; it may be `file:PATH` or `env:NAME`",
    |s, v| { s.compat.eventbridge.webhooks = v.list().iter().map(|word| Webhook::parse(word)).collect::<Result<_, _>>()?; Ok(()) },
    |s| s.compat.eventbridge.webhooks.iter().map(|one| format!("{}@{}=***", one.name, one.bus)).collect::<Vec<_>>().join(", ") },
    key! { "eventbridge.sign", "eventbridge-sign", "BOOL",
    "Sign pushes to HTTP targets",
    |s, v| { s.compat.eventbridge.sign = v.switch()?; Ok(()) },
    |s| s.compat.eventbridge.sign.to_string() },
    key! { "eventbridge.timeout", "eventbridge-timeout", "DURATION",
    "One push to an HTTP target",
    |s, v| { s.compat.eventbridge.timeout = positive(v)?; Ok(()) },
    |s| show_duration(s.compat.eventbridge.timeout) },
    key! { "eventbridge.max_buses", "eventbridge-max-buses", "COUNT",
    "Custom buses",
    |s, v| { s.compat.eventbridge.limits.buses = count(v, 1, 100_000)?; Ok(()) },
    |s| s.compat.eventbridge.limits.buses.to_string() },
    key! { "eventbridge.max_rules", "eventbridge-max-rules", "COUNT",
    "Rules of one bus",
    |s, v| { s.compat.eventbridge.limits.rules = count(v, 1, 1_000_000)?; Ok(()) },
    |s| s.compat.eventbridge.limits.rules.to_string() },
    key! { "eventbridge.max_targets", "eventbridge-max-targets", "COUNT",
    "Targets of one rule",
    |s, v| { s.compat.eventbridge.limits.targets = count(v, 1, 10_000)?; Ok(()) },
    |s| s.compat.eventbridge.limits.targets.to_string() },
    key! { "eventbridge.batch_events", "eventbridge-batch-events", "COUNT",
    "Events of one PutEvents",
    |s, v| { s.compat.eventbridge.limits.batch_events = count(v, 1, 100_000)?; Ok(()) },
    |s| s.compat.eventbridge.limits.batch_events.to_string() },
    key! { "eventbridge.event_size", "eventbridge-event-size", "SIZE",
    "One event of a PutEvents",
    |s, v| { s.compat.eventbridge.limits.event_bytes = bytes(v, 1 << 10)?; Ok(()) },
    |s| show_size(s.compat.eventbridge.limits.event_bytes as u64) },
    key! { "eventbridge.batch_size", "eventbridge-batch-size", "SIZE",
    "One PutEvents",
    |s, v| { s.compat.eventbridge.limits.batch_bytes = bytes(v, 1 << 10)?; Ok(()) },
    |s| show_size(s.compat.eventbridge.limits.batch_bytes as u64) },
];

fn plain(given: &Given, allowed: fn(char) -> bool) -> Result<String, String> {
    let word = given.word()?;
    match !word.is_empty() && word.len() <= 64 && word.chars().all(allowed) {
        true => Ok(word.to_owned()),
        false => Err(format!("must be such as Alibaba has them, not `{word}`")),
    }
}

fn publish_time(given: &Given) -> Result<PublishTime, String> {
    match given.word()? {
        "prc" => Ok(PublishTime::Prc),
        "utc" => Ok(PublishTime::Utc),
        other => Err(format!("must be `prc` or `utc`, not `{other}`")),
    }
}

fn shown(form: PublishTime) -> &'static str {
    match form {
        PublishTime::Prc => "prc",
        PublishTime::Utc => "utc",
    }
}
