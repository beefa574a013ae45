//! What the demo publishes: the recorded events, then the same ones again and again as load, under new ids.

use serde_json::Value;

use crate::cli::exit::{Code, Failure};

const RECORDED: &str = include_str!("../../../tests/fixtures/events/seeds.jsonl");

/// The recorded events, in their order.
pub(super) fn recorded() -> Result<Vec<Value>, Failure> {
    let events: Result<Vec<Value>, _> = RECORDED
        .lines()
        .filter(|line| !line.is_empty())
        .map(serde_json::from_str)
        .collect();
    events.map_err(|cause| Failure::new(Code::Software, format!("a recorded event is not JSON: {cause}")))
}

/// `count` events of load: the recorded ones in turn, each under an id of its own.
pub(super) fn load(recorded: &[Value], count: usize) -> Vec<Value> {
    let renamed = |(number, event): (usize, &Value)| {
        let mut event = event.clone();
        if let Some(entries) = event.as_object_mut() {
            entries.insert("id".to_owned(), format!("load-{number:05}").into());
        }
        event
    };
    recorded.iter().cycle().take(count).enumerate().map(renamed).collect()
}

/// An attribute as text.
pub(super) fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the chat room asked for this event: `deployment_*`, of the recorded ones only (a room is no firehose).
pub(super) fn for_chat(event: &Value) -> bool {
    text(event, "type").starts_with("deployment_") && !text(event, "id").starts_with("load-")
}

/// Whether the threshold plugin keeps this event: a number at `/timestamp` of at least this.
pub(super) fn above_threshold(event: &Value) -> bool {
    event
        .pointer("/data/timestamp")
        .and_then(Value::as_f64)
        .is_some_and(|number| number >= THRESHOLD)
}

/// September 2020 in Unix milliseconds: between the recorded MSE events.
pub(super) const THRESHOLD: f64 = 1_600_000_000_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_recorded_events_give_every_subscriber_something() {
        let recorded = recorded().unwrap();
        let chosen = |wanted: fn(&Value) -> bool| recorded.iter().filter(|event| wanted(event)).count();
        assert!(recorded.len() > 70);
        assert!((1..recorded.len()).contains(&chosen(for_chat)));
        assert!((1..recorded.len()).contains(&chosen(above_threshold)));
        assert!((1..recorded.len()).contains(&chosen(|event| super::super::judge::second_drops(text(event, "type")))));
    }

    #[test]
    fn load_has_ids_of_its_own() {
        let load = load(&recorded().unwrap(), 500);
        let ids: BTreeSet<&str> = load.iter().map(|event| text(event, "id")).collect();
        assert_eq!((load.len(), ids.len()), (500, 500));
    }
}
