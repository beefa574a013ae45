//! The rows of delivery: what a subscription's `config` says where its owner says nothing.
//!
//! Read by the reader of that `config`, so that an operator's bounds and words are a subscriber's.
//! Invariant: every field of `config` but `start` and `dead_letter`, which are no hub's to say, has a row.

use serde_json::{Value, json};

use super::{Key, none};
use crate::config::settings::Settings;
use crate::config::value::Given;
use crate::subscription::{Schedule, UNLIMITED};
use crate::units::{show_duration, show_size};

pub(super) const KEYS: &[Key] = &[
    key! { "delivery.schedule", "delivery-schedule", "SCHEDULE",
    "Waits before the second, third, … attempt; the last one repeats. A wait may be a range (`10s..20s`); or `exponential 5s x2 to 1h`",
    |s, v| { s.delivery.schedule = Schedule::parse(&v.list())?; Ok(()) },
    |s| s.delivery.schedule.to_string() },
    key! { "delivery.jitter", "delivery-jitter", "BOOL",
    "Chance lengthens a wait that is no range by up to a fifth, so that what failed together comes back apart",
    |s, v| { s.delivery.jitter = v.switch()?; Ok(()) },
    |s| s.delivery.jitter.to_string() },
    key! { "delivery.max_attempts", "delivery-max-attempts", "COUNT",
    "Attempts before an event goes to the dead letters; `unlimited`: as many as it takes",
    |s, v| set(s, "max_attempts", number(v)?, v),
    |s| match s.delivery.max_attempts { UNLIMITED => "unlimited".to_owned(), most => most.to_string() } },
    key! { "delivery.max_age", "delivery-max-age", "DURATION",
    "No attempt but the first begins when the hub has had the event for longer; `none`: no limit",
    |s, v| set(s, "max_age", word(v)?, v),
    |s| s.delivery.max_age.map_or_else(none, show_duration) },
    key! { "delivery.timeout", "delivery-timeout", "DURATION",
    "One attempt",
    |s, v| set(s, "timeout", word(v)?, v),
    |s| show_duration(s.delivery.timeout) },
    key! { "delivery.concurrency", "delivery-concurrency", "COUNT",
    "Deliveries in flight at once, a subscription",
    |s, v| set(s, "concurrency", number(v)?, v),
    |s| s.delivery.concurrency.to_string() },
    key! { "delivery.rate", "delivery-rate", "RATE",
    "Calls of a sink in a time: `100/s`, `120/m`, `5000/h`; `none`: no limit",
    |s, v| set(s, "rate", word(v)?, v),
    |s| s.delivery.rate.map_or_else(none, |rate| rate.to_string()) },
    key! { "delivery.burst", "delivery-burst", "COUNT",
    "Calls that may come at once after a quiet while, where there is a rate; `none`: a tenth of a second's worth",
    |s, v| { s.delivery.burst = burst(v)?; Ok(()) },
    |s| s.delivery.burst.map_or_else(none, |burst| burst.to_string()) },
    key! { "delivery.retry_after_most", "delivery-retry-after-most", "DURATION",
    "A sink's `Retry-After` beyond this is cut; `0s`: it is not heeded",
    |s, v| set(s, "retry_after_most", word(v)?, v),
    |s| show_duration(s.delivery.retry_after_most) },
    key! { "delivery.ordering", "delivery-ordering", "WORD",
    "`none`; `key`: events of one `partitionkey`, else `subject`, one at a time and in order; `all`: every event so",
    |s, v| set(s, "ordering", word(v)?, v),
    |s| s.delivery.ordering.word().to_owned() },
    key! { "delivery.on_error", "delivery-on-error", "WORD",
    "When a plugin fails on an event: `retry`, `hold` (until the plugin is loaded anew), and of a filter `pass` or `drop`",
    |s, v| set(s, "on_error", word(v)?, v),
    |s| s.delivery.on_error.word().to_owned() },
    key! { "delivery.batch_count", "delivery-batch-count", "COUNT",
    "A batch goes at this many events, for subscriptions with the format `batch`",
    |s, v| set(s, "batch", json!({"count": number(v)?}), v),
    |s| s.delivery.batch.count.to_string() },
    key! { "delivery.batch_bytes", "delivery-batch-bytes", "SIZE",
    "Or at this many bytes of events; one that is larger goes alone",
    |s, v| set(s, "batch", json!({"bytes": v.size()?}), v),
    |s| show_size(s.delivery.batch.bytes as u64) },
    key! { "delivery.batch_wait", "delivery-batch-wait", "DURATION",
    "Or when its first event has waited for so long",
    |s, v| set(s, "batch", json!({"wait": word(v)?}), v),
    |s| show_duration(s.delivery.batch.wait) },
];

/// Sets a field as a subscription would.
fn set(settings: &mut Settings, field: &str, value: Value, given: &Given) -> Result<(), String> {
    let with = settings.delivery.with(&json!({ field: value }));
    settings.delivery = with.map_err(|error| {
        // Its path is the subscriber's.
        let rule = error
            .message()
            .split_once(": ")
            .map_or(error.message(), |(_, rule)| rule);
        match rule.contains(", not ") {
            true => rule.to_owned(),
            false => format!("{rule}, not `{}`", given.list().join(", ")),
        }
    })?;
    Ok(())
}

fn word(given: &Given) -> Result<Value, String> {
    given.word().map(Value::from)
}

/// A number as one; what is none stays a word, and the reader says what may be.
fn number(given: &Given) -> Result<Value, String> {
    let word = given.word()?;
    let number: Result<u64, _> = word.replace('_', "").parse();
    Ok(number.map_or_else(|_| word.into(), Value::from))
}

/// By itself, since the rate that it stands beside may be given later, or by each subscription.
fn burst(given: &Given) -> Result<Option<u32>, String> {
    match given.word()? {
        "none" => Ok(None),
        _ => given.count(1, 1_000_000).map(|count| u32::try_from(count).ok()),
    }
}
