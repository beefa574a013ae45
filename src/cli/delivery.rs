//! The flags of `busway subscription create` that make its `config`: one for each of its fields.
//!
//! What a value may be is the hub's to say: here a word only becomes the JSON that the field wants.
//! Invariant: a flag that was not given changes nothing of what `--file` or `--config` says.

use clap::Args;
use serde_json::{Map, Value, json};

use super::exit::{Code, Failure};
use crate::subscription::Schedule;
use crate::units::{SIZE_RULE, parse_size};

#[derive(Debug, Args)]
#[command(next_help_heading = "Delivery")]
pub(super) struct DeliveryFlags {
    /// Where to begin: `latest`, `earliest`, an offset, or a time such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "WHERE")]
    start: Option<String>,
    /// Waits between attempts: `5s,30s,1m..2m`, or `exponential 5s x2 to 1h`.
    #[arg(long, value_name = "SCHEDULE")]
    schedule: Option<String>,
    /// Whether chance lengthens waits that are no range.
    #[arg(long, value_name = "BOOL")]
    jitter: Option<bool>,
    /// Attempts before the dead letters, or `unlimited`.
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<String>,
    /// No attempt but the first begins when the event is older, or `none`.
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
    /// One attempt.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Deliveries in flight at once.
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<String>,
    /// Calls in a time: `100/s`, `120/m`, `5000/h`, or `none`.
    #[arg(long, value_name = "RATE")]
    rate: Option<String>,
    /// Calls that may come at once after a quiet while, beside --rate.
    #[arg(long, value_name = "COUNT")]
    burst: Option<String>,
    /// A sink's `Retry-After` beyond this is cut.
    #[arg(long, value_name = "DURATION")]
    retry_after_most: Option<String>,
    /// `none`, `key` (by `partitionkey`, else `subject`) or `all`.
    #[arg(long, value_name = "WORD")]
    ordering: Option<String>,
    /// When a plugin fails: `retry`, `hold`, `pass` or `drop`.
    #[arg(long, value_name = "WORD")]
    on_error: Option<String>,
    /// Events of a batch, with the format `batch`.
    #[arg(long, value_name = "COUNT")]
    batch_count: Option<String>,
    /// Bytes of a batch.
    #[arg(long, value_name = "SIZE")]
    batch_bytes: Option<String>,
    /// How long a batch fills.
    #[arg(long, value_name = "DURATION")]
    batch_wait: Option<String>,
    /// A bus on which what is given up is published too.
    #[arg(long, value_name = "BUS")]
    dead_letter: Option<String>,
}

impl DeliveryFlags {
    /// Puts what was given into the `config` of a subscription.
    pub(super) fn overlay(&self, body: &mut Map<String, Value>) -> Result<(), Failure> {
        let schedule = self.schedule.as_deref().map(schedule).transpose()?;
        let bytes = self.batch_bytes.as_deref().map(bytes).transpose()?;
        let word = |word: &Option<String>| word.as_deref().map(Value::from);
        let count = |word: &Option<String>| word.as_deref().map(number);
        let fields = [
            ("start", count(&self.start)),
            ("schedule", schedule),
            ("jitter", self.jitter.map(Value::from)),
            ("max_attempts", count(&self.max_attempts)),
            ("max_age", word(&self.max_age)),
            ("timeout", word(&self.timeout)),
            ("concurrency", count(&self.concurrency)),
            ("rate", word(&self.rate)),
            ("burst", count(&self.burst)),
            ("retry_after_most", word(&self.retry_after_most)),
            ("ordering", word(&self.ordering)),
            ("on_error", word(&self.on_error)),
            ("dead_letter", self.dead_letter.as_ref().map(|bus| json!({"bus": bus}))),
        ];
        let batch = [
            ("count", count(&self.batch_count)),
            ("bytes", bytes),
            ("wait", word(&self.batch_wait)),
        ];
        put(body, "config", fields);
        if batch.iter().any(|(_, value)| value.is_some())
            && let Some(config) = body.entry("config").or_insert_with(|| json!({})).as_object_mut()
        {
            put(config, "batch", batch);
        }
        Ok(())
    }
}

/// Sets what is there of these fields in the object of that name.
fn put<const N: usize>(map: &mut Map<String, Value>, name: &str, fields: [(&str, Option<Value>); N]) {
    let given = fields
        .into_iter()
        .filter_map(|(field, value)| Some((field.to_owned(), value?)));
    let mut given = given.peekable();
    if given.peek().is_some()
        && let Some(object) = map.entry(name).or_insert_with(|| json!({})).as_object_mut()
    {
        object.extend(given);
    }
}

/// A number as one; the hub says what it thinks of another word.
fn number(word: &str) -> Value {
    word.parse::<u64>().map_or_else(|_| word.into(), Value::from)
}

fn schedule(text: &str) -> Result<Value, Failure> {
    let words: Vec<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
    let read = Schedule::parse(&words).map_err(|rule| Failure::new(Code::Usage, format!("--schedule {rule}")))?;
    Ok(read.to_json())
}

fn bytes(text: &str) -> Result<Value, Failure> {
    let read = parse_size(text).map(Value::from);
    read.ok_or_else(|| Failure::new(Code::Usage, format!("--batch-bytes must be {SIZE_RULE}, not `{text}`")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        delivery: DeliveryFlags,
    }

    fn overlaid(flags: &str, body: Value) -> Result<Value, String> {
        let line = Line::try_parse_from(std::iter::once("test").chain(flags.split('|'))).unwrap();
        let mut body = body.as_object().cloned().unwrap();
        line.delivery
            .overlay(&mut body)
            .map_err(|failure| failure.to_string())?;
        Ok(body.into())
    }

    #[test]
    fn flags_become_the_fields_of_config_and_leave_the_others() {
        let there = json!({"config": {"timeout": "1s", "batch": {"count": 7}}});
        let flags = "--schedule|5s, 30s|--rate|100/s|--burst|200|--batch-bytes|1KiB|--max-attempts|unlimited|--start|5";
        let want = json!({"config": {"timeout": "1s", "schedule": ["5s", "30s"], "rate": "100/s", "burst": 200,
            "batch": {"count": 7, "bytes": 1024}, "max_attempts": "unlimited", "start": 5}});
        assert_eq!(overlaid(flags, there.clone()).unwrap(), want);
        let flags = "--schedule|exponential 5s x2 to 1h|--jitter|false|--dead-letter|dead|--batch-wait|2s";
        let want = json!({"config": {
            "schedule": {"exponential": {"first": "5s", "factor": 2, "most": "1h"}},
            "jitter": false, "dead_letter": {"bus": "dead"}, "batch": {"wait": "2s"}}});
        assert_eq!(overlaid(flags, json!({})).unwrap(), want);
        assert_eq!(
            overlaid("--ordering|key", json!({})).unwrap(),
            json!({"config": {"ordering": "key"}})
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_here() {
        for (flags, says) in [
            ("--schedule|soon", "--schedule must be a duration"),
            ("--batch-bytes|many", "--batch-bytes must be a size"),
        ] {
            let refused = overlaid(flags, json!({})).unwrap_err();
            assert!(refused.contains(says), "{flags}: {refused}");
        }
    }
}
