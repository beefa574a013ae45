//! The rows of Marathon's event bus. Flags that Marathon had are spelt as it spelt them.

use std::time::Duration;

use super::{Key, join, none};
use crate::compat::marathon::Endpoint;
use crate::config::value::Given;
use crate::event::Draft;
use crate::log::BusName;
use crate::units::show_duration;

pub(super) const KEYS: &[Key] = &[
    key! { "compat.marathon", "compat-marathon", "BOOL",
    "Serve Marathon's event bus: `/v2/eventSubscriptions`, `/v2/events`, `/ping`",
    |s, v| { s.compat.marathon.on = v.switch()?; Ok(()) },
    |s| s.compat.marathon.on.to_string() },
    key! { "marathon.bus", "marathon-bus", "NAME",
    "The bus that Marathon's clients see, and on which its events are published",
    |s, v| { s.compat.marathon.bus = bus(v)?; Ok(()) },
    |s| s.compat.marathon.bus.to_string() },
    key! { "marathon.source", "marathon-source", "URI",
    "The `source` of events that come in by `POST /v2/events` without saying whose they are",
    |s, v| { s.compat.marathon.source = source(v)?; Ok(()) },
    |s| s.compat.marathon.source.clone() },
    key! { "marathon.event_subscriber", "event_subscriber", "NAME",
    "`http_callback`: serve callbacks; `none`: answer 400 to `/v2/eventSubscriptions`, as Marathon does without the flag",
    |s, v| { s.compat.marathon.callbacks = subscriber(v)?; Ok(()) },
    |s| if s.compat.marathon.callbacks { "http_callback".to_owned() } else { none() } },
    key! { "marathon.http_endpoints", "http_endpoints", "URLS",
    "Callbacks to subscribe at the start; they stay when they are taken from the list, until they are deleted",
    |s, v| { s.compat.marathon.endpoints = endpoints(v)?; Ok(()) },
    |s| join(&s.compat.marathon.endpoints.iter().map(Endpoint::as_str).collect::<Vec<_>>()) },
    key! { "marathon.slow_consumer_timeout", "http_event_callback_slow_consumer_timeout", "DURATION",
    "A callback that answers later than this has failed, and is tried again; a bare number is milliseconds",
    |s, v| { s.compat.marathon.slow_consumer = wait(v)?; Ok(()) },
    |s| show_duration(s.compat.marathon.slow_consumer) },
    key! { "marathon.realm", "http_realm", "NAME",
    "The realm in the challenge to a Marathon client without credentials",
    |s, v| { s.compat.marathon.realm = word(v)?; Ok(()) },
    |s| s.compat.marathon.realm.clone() },
    key! { "marathon.allow_origin", "access_control_allow_origin", "ORIGIN",
    "Web pages of this origin may read Marathon's paths (CORS); `none`: no other site's",
    |s, v| { s.compat.marathon.allow_origin = Some(word(v)?).filter(|origin| origin != "none"); Ok(()) },
    |s| s.compat.marathon.allow_origin.clone().unwrap_or_else(none) },
];

fn bus(given: &Given) -> Result<BusName, String> {
    let name = BusName::parse(given.word()?).map_err(|error| error.message().to_owned())?;
    match name == BusName::own() {
        true => Err("cannot be `busway`: the hub reports its own life there".to_owned()),
        false => Ok(name),
    }
}

fn source(given: &Given) -> Result<String, String> {
    let draft = Draft {
        id: "1".to_owned(),
        source: given.word()?.to_owned(),
        ty: "t".to_owned(),
        ..Draft::default()
    };
    match draft.check() {
        Ok(event) => Ok(event.source().to_owned()),
        Err(invalid) => Err(invalid.rule),
    }
}

/// Text that can stand in a header.
fn word(given: &Given) -> Result<String, String> {
    let word = given.word()?;
    let plain = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\');
    match !word.is_empty() && word.chars().all(|letter| plain(letter) || letter == ' ') {
        true => Ok(word.to_owned()),
        false => Err("must be visible ASCII without quotes".to_owned()),
    }
}

fn subscriber(given: &Given) -> Result<bool, String> {
    match given.word()? {
        "http_callback" => Ok(true),
        "none" => Ok(false),
        other => Err(format!("must be `http_callback` or `none`, not `{other}`")),
    }
}

fn endpoints(given: &Given) -> Result<Vec<Endpoint>, String> {
    let read = |url: &String| Endpoint::parse(url).map_err(|why| format!("must hold http or https URLs: {why}"));
    given.list().iter().map(read).collect()
}

fn wait(given: &Given) -> Result<Duration, String> {
    let word = given.word()?;
    let wait = match word.parse() {
        Ok(milliseconds) => Duration::from_millis(milliseconds),
        Err(_) => given.duration()?,
    };
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(300));
    match (least..=most).contains(&wait) {
        true => Ok(wait),
        false => Err(format!(
            "must be from {} to {}",
            show_duration(least),
            show_duration(most)
        )),
    }
}
