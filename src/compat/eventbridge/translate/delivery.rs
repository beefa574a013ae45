//! How often and how long a target is tried: the service's retry strategies with their numbers.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::rule::Target;
use super::super::{arn, buses};
use super::Part;
use crate::compat::Door;
use crate::units::show_duration;

/// The subscription's `config`.
pub(super) fn config(door: &Door, target: &Target) -> Result<Value, Fault> {
    let options = target.run_options.as_ref();
    let option = |name: &str| options.and_then(|options| options.get(name));
    let strategy = option("RetryStrategy");
    let named = strategy
        .and_then(|strategy| strategy.get("PushRetryStrategy"))
        .and_then(Value::as_str)
        .or(target.push_retry_strategy.as_deref());
    let mut config = retries(named);
    limits(target, strategy, &mut config)?;
    let tolerance = target
        .errors_tolerance
        .as_deref()
        .or(option("ErrorsTolerance").and_then(Value::as_str));
    match tolerance.map(str::to_ascii_uppercase).as_deref() {
        None | Some("" | "ALL") => {}
        Some("NONE") => {
            // Nothing is passed over: the failing event is tried for ever, and those behind it wait.
            config.insert("ordering".to_owned(), "all".into());
            config.insert("max_attempts".to_owned(), "unlimited".into());
        }
        Some(other) => {
            return Err(Fault::target(
                &target.id,
                format_args!("Its ErrorsTolerance must be ALL or NONE, not {other}."),
            ));
        }
    }
    for queue in [target.dead_letter_queue.as_ref(), option("DeadLetterQueue")]
        .into_iter()
        .flatten()
    {
        if let Some(bus) = dead_letters(door, target, queue)? {
            config.insert("dead_letter".to_owned(), json!({ "bus": bus }));
        }
    }
    if let Some(count) = concurrency(target)? {
        config.insert("concurrency".to_owned(), count.into());
    }
    if matches!(target.kind.as_str(), "http" | "https") {
        let timeout = show_duration(door.settings.eventbridge.timeout);
        config.insert("timeout".to_owned(), timeout.into());
    }
    Ok(Value::Object(config))
}

/// The waits of a strategy; what has no name here is the default, as the service has it. No breaker: the attempts and the
/// waits between them are the service's word, and a breaker would add its own.
fn retries(strategy: Option<&str>) -> Part {
    let mut config = Part::new();
    let exponential = strategy.is_some_and(|name| name.eq_ignore_ascii_case("EXPONENTIAL_DECAY_RETRY"));
    let (schedule, attempts) = match exponential {
        true => ((0..=9).map(|power| format!("{}s", 1 << power)).collect(), 177),
        false => (vec!["10s..20s".to_owned()], 4),
    };
    config.insert("schedule".to_owned(), schedule.into());
    config.insert("max_attempts".to_owned(), attempts.into());
    config.insert("jitter".to_owned(), false.into());
    config.insert("breaker".to_owned(), "off".into());
    config
}

fn limits(target: &Target, strategy: Option<&Value>, config: &mut Part) -> Result<(), Fault> {
    let number = |name: &str| match strategy.and_then(|strategy| strategy.get(name)) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .map(Some)
            .ok_or_else(|| Fault::target(&target.id, format_args!("Its {name} must be a whole number."))),
    };
    if let Some(seconds) = number("MaximumEventAgeInSeconds")? {
        config.insert("max_age".to_owned(), format!("{seconds}s").into());
    }
    if let Some(retries) = number("MaximumRetryAttempts")? {
        config.insert("max_attempts".to_owned(), retries.saturating_add(1).into());
    }
    Ok(())
}

fn dead_letters(door: &Door, target: &Target, queue: &Value) -> Result<Option<String>, Fault> {
    let text = |value: &Value| {
        ["Arn", "ARN", "EventBusArn"]
            .iter()
            .find_map(|name| value.get(*name)?.as_str().map(str::to_owned))
    };
    let arn = text(queue).or_else(|| text(queue.get("Config")?)).unwrap_or_default();
    if arn.is_empty() {
        let empty = queue.as_object().is_none_or(|queue| queue.values().all(Value::is_null));
        return match empty {
            true => Ok(None),
            false => Err(Fault::target(&target.id, "Its DeadLetterQueue must have an Arn.")),
        };
    }
    let name = arn::bus_of(&arn).ok_or_else(|| {
        Fault::target(
            &target.id,
            format_args!("Its DeadLetterQueue must be an event bus, not {arn}: this hub has no queues."),
        )
    })?;
    let bus = buses::resolve(door, name).ok_or_else(|| Fault::bus_missing(name))?;
    Ok(Some(bus.to_string()))
}

fn concurrency(target: &Target) -> Result<Option<u64>, Fault> {
    let given = target
        .concurrent_config
        .as_ref()
        .and_then(|config| config.get("Concurrency"));
    match given {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .filter(|count| (1..=1_000).contains(count))
            .map(Some)
            .ok_or_else(|| Fault::target(&target.id, "Its Concurrency must be a whole number from 1 to 1000.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_have_the_numbers_of_the_service() {
        let backoff = json!({"schedule": ["10s..20s"], "max_attempts": 4, "jitter": false, "breaker": "off"});
        let decay = json!({"schedule": ["1s", "2s", "4s", "8s", "16s", "32s", "64s", "128s", "256s", "512s"], "max_attempts": 177, "jitter": false, "breaker": "off"});
        for (name, expected) in [
            (None, &backoff),
            (Some("BACKOFF_RETRY"), &backoff),
            (Some("whatever"), &backoff),
            (Some("EXPONENTIAL_DECAY_RETRY"), &decay),
        ] {
            assert_eq!(Value::Object(retries(name)), *expected, "{name:?}");
        }
    }

    #[test]
    fn a_strategy_of_ones_own_wins() {
        let target = Target::read(&json!({"Id": "1", "Type": "http"})).unwrap();
        let mut config = retries(None);
        let strategy = json!({"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": "3"});
        limits(&target, Some(&strategy), &mut config).unwrap();
        assert_eq!(
            (&config["max_age"], &config["max_attempts"]),
            (&json!("60s"), &json!(4))
        );
        let wrong = json!({"MaximumRetryAttempts": "many"});
        assert_eq!(
            limits(&target, Some(&wrong), &mut config).unwrap_err().code,
            "EventTargetInvalid"
        );
    }
}
