//! Recorded events, from a file or from a hub's log, and what is expected of each.
//!
//! A file holds CloudEvents: one, a list, or one a line; also what a hub's log answers. Each may be wrapped to say what
//! is expected: `{"event": {…}, "expect": "drop"}`, or with more to it `{"expect": {"drop": "below 10"}}`.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use serde_json::Value;

use super::outcome::Expected;
use crate::cli::client::{HubClient, escape, query};
use crate::cli::exit::{Code, Failure};
use crate::cli::publish::{self, Line};
use crate::cli::tls::Tls;
use crate::event::{self, Event};

/// The most that a hub gives in one answer.
const PAGE: u64 = 1_000;

/// Where the events come from.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// A file of CloudEvents: one, a list, or one a line (`-` is stdin). Without it, a folder's own `events.jsonl`.
    #[arg(long, value_name = "FILE", conflicts_with = "from_hub")]
    events: Option<PathBuf>,
    /// The log of a hub, at this address; without one, at BUSWAY_URL or http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    from_hub: Option<Option<String>>,
    /// How many events at the end of the hub's log.
    #[arg(long, value_name = "N", default_value_t = 1_000, conflicts_with = "events")]
    last: u64,
    /// The hub's bus; the default one if none is named.
    #[arg(long, value_name = "NAME", conflicts_with = "events")]
    bus: Option<String>,
    /// Of these, only events of this type; `*` and `**` stand for parts. May be given several times.
    #[arg(long = "type", value_name = "PATTERN", conflicts_with = "events")]
    types: Vec<String>,
}

/// One recorded event.
#[derive(Debug)]
pub(super) struct Recorded {
    /// `offset 17` or `line 3`.
    pub(super) place: String,
    pub(super) event: Arc<Event>,
    pub(super) expected: Option<Expected>,
}

impl Source {
    /// Reads them; `own` is where a plugin's folder has some.
    pub(super) async fn read(&self, own: Option<PathBuf>) -> Result<Vec<Recorded>, Failure> {
        let events = match (&self.events, &self.from_hub, own) {
            (Some(file), _, _) => of_text(&publish::read(file)?)?,
            (None, Some(url), _) => self.of_hub(&url.clone().unwrap_or_else(usual_hub)).await?,
            (None, None, Some(own)) => of_text(&publish::read(&own)?)?,
            (None, None, None) => {
                let text = "say on which events: --events FILE, or --from-hub [URL]";
                return Err(Failure::new(Code::Usage, text));
            }
        };
        match events.is_empty() {
            true => Err(Failure::new(Code::NoInput, "there are no such events")),
            false => Ok(events),
        }
    }

    async fn of_hub(&self, url: &str) -> Result<Vec<Recorded>, Failure> {
        let client = HubClient::new(url, &Tls::default().or_environment())?;
        let base = match &self.bus {
            Some(bus) => format!("/v1/buses/{}/events", escape(bus)),
            None => "/v1/events".to_owned(),
        };
        let number = |page: &Value, key: &str| page.get(key).and_then(Value::as_u64).unwrap_or_default();
        let newest = [("from", "latest".to_owned()), ("limit", "1".to_owned())];
        let end = number(&client.get(&format!("{base}{}", query(&newest))).await?, "next");
        let mut from = end.saturating_sub(self.last);
        let mut found = Vec::new();
        while from < end {
            let mut asked = vec![("from", from.to_string()), ("limit", PAGE.min(end - from).to_string())];
            asked.extend(self.types.iter().map(|pattern| ("type", pattern.clone())));
            let page = client.get(&format!("{base}{}", query(&asked))).await?;
            for record in page.get("events").and_then(Value::as_array).into_iter().flatten() {
                // What was published while this was read is not of the last ones any more.
                if number(record, "offset") < end {
                    found.push(recorded(record, String::new())?);
                }
            }
            match number(&page, "next") {
                next if next > from => from = next,
                _ => break,
            }
        }
        Ok(found)
    }
}

/// Where every other command looks for a hub.
fn usual_hub() -> String {
    std::env::var("BUSWAY_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned())
}

fn of_text(text: &str) -> Result<Vec<Recorded>, Failure> {
    let mut found = Vec::new();
    for Line { number, event } in publish::parse(text)? {
        let place = format!("line {number}");
        match event.get("events").and_then(Value::as_array) {
            // A page of a hub's log.
            Some(page) if event.get("specversion").is_none() => {
                for record in page {
                    found.push(recorded(record, place.clone())?);
                }
            }
            _ => found.push(recorded(&event, place)?),
        }
    }
    Ok(found)
}

/// One event, bare or wrapped; the place of one that has an offset is that.
fn recorded(json: &Value, place: String) -> Result<Recorded, Failure> {
    let place = match json.get("offset").and_then(Value::as_u64) {
        Some(offset) => format!("offset {offset}"),
        None => place,
    };
    let wrapped = json
        .get("event")
        .filter(|event| event.is_object() && json.get("specversion").is_none());
    let event = wrapped.unwrap_or(json);
    let wrong = |why: String| Failure::new(Code::Data, format!("{place}: {why}"));
    let expected = match json.get("expect").filter(|_| wrapped.is_some()) {
        Some(expect) => Some(Expected::read(expect).map_err(wrong)?),
        None => None,
    };
    let event = event::json::decode(Bytes::from(event.to_string())).map_err(|error| wrong(error.to_string()))?;
    Ok(Recorded {
        event: Arc::new(event),
        expected,
        place,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str =
        r#"{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"event": {"a": 1}}}"#;

    #[test]
    fn every_form_is_read() {
        let check = |text: String, places: &[&str]| {
            let found = of_text(&text).unwrap();
            let seen: Vec<&str> = found.iter().map(|one| one.place.as_str()).collect();
            assert_eq!(seen, places, "{text}");
        };
        check(EVENT.to_owned(), &["line 1"]);
        check(format!("[{EVENT}, {EVENT}]"), &["line 1", "line 1"]);
        check(
            format!("{EVENT}\n{{\"event\": {EVENT}, \"expect\": \"drop\"}}"),
            &["line 1", "line 2"],
        );
        check(format!("{{\"offset\": 17, \"event\": {EVENT}}}"), &["offset 17"]);
        check(
            format!("{{\"events\": [{{\"offset\": 3, \"event\": {EVENT}}}], \"next\": 4}}"),
            &["offset 3"],
        );
    }

    #[test]
    fn faults_name_their_place() {
        let check = |text: &str, says: &[&str]| {
            let failure = of_text(text).unwrap_err();
            assert!(
                says.iter().all(|part| failure.message.contains(part)),
                "{text}: {}",
                failure.message
            );
        };
        check(&format!("{EVENT}\n{{\"id\": \"1\"}}"), &["line 2", "specversion"]);
        check(
            &format!("{{\"event\": {EVENT}, \"expect\": \"dorp\"}}"),
            &["line 1", "did you mean `drop`?"],
        );
    }
}
