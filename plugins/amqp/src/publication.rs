//! What is published of one event: pure, and the same for both dialects.

use crate::body::{self, Form};
use crate::config::Settings;
use crate::error::Error;
use crate::short::Short;

/// One event, ready for a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Where the exchange routes it.
    pub routing_key: Short,
    /// None for Pulp's body: Pulp names none.
    pub content_type: Option<Short>,
    /// Application headers, in order.
    pub headers: Vec<(Short, String)>,
    /// The same for every try: consumers drop repeats by it.
    pub id: Option<Short>,
    /// The event's time in seconds since 1970, if it has one.
    pub timestamp: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// The event as the hub shows it.
pub struct Seen {
    /// Every attribute and extension as text.
    pub attributes: Vec<(String, String)>,
    /// The data, byte for byte.
    pub data: Vec<u8>,
}

impl Seen {
    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Publication {
    /// Makes it: `delivery` is the delivery's id, `routing_key` the filled template.
    pub fn of(seen: Seen, settings: &Settings, delivery: &str, routing_key: String) -> Result<Self, Error> {
        let event = |error: String| Error::Event(error);
        let mut headers = settings.headers.clone();
        if settings.body == Form::Data {
            headers.extend(attribute_headers(&seen, settings.header_prefix.as_str()).map_err(event)?);
        }
        let content_type = match settings.body {
            Form::Data => seen.attribute("datacontenttype").map(str::to_owned).or_else(|| {
                let is_json = !seen.data.is_empty() && body::is_json(None, &seen.data);
                is_json.then(|| "application/json".to_owned())
            }),
            Form::CloudEvent => Some("application/cloudevents+json; charset=utf-8".to_owned()),
            Form::Pulp => None,
        };
        Ok(Self {
            routing_key: Short::new("the routing key", routing_key).map_err(event)?,
            content_type: content_type
                .map(|text| Short::new("the content type", text))
                .transpose()
                .map_err(event)?,
            headers,
            id: Short::new("the delivery's id", delivery).ok(),
            timestamp: seen.attribute("time").and_then(seconds),
            body: match settings.body {
                Form::Data => seen.data,
                Form::CloudEvent => body::cloudevent(&seen.attributes, &seen.data).into_bytes(),
                Form::Pulp => {
                    let ty = seen.attribute("type").unwrap_or_default();
                    let body = body::pulp(ty, &seen.attributes, &seen.data).map_err(event)?;
                    body.into_bytes()
                }
            },
        })
    }
}

/// CloudEvents' AMQP binding, binary mode: the content type has a place of its own, the rest are headers.
fn attribute_headers(seen: &Seen, prefix: &str) -> Result<Vec<(Short, String)>, String> {
    let carried = seen.attributes.iter().filter(|(name, _)| name != "datacontenttype");
    let header = |(name, value): &(String, String)| {
        let name = Short::new("the name of a header", format!("{prefix}{name}"))?;
        Ok((name, value.clone()))
    };
    carried.map(header).collect()
}

/// Seconds since 1970 of an RFC 3339 time after that; AMQP has no fractions.
fn seconds(time: &str) -> Option<u64> {
    let number = |from: usize, to: usize| time.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let zone = time
        .get(19..)?
        .trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit());
    let offset = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), ..] => {
            let minutes = zone.get(1..3)?.parse::<i64>().ok()? * 60 + zone.get(4..6)?.parse::<i64>().ok()?;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    // Days of the civil calendar: years begin in March, so that leap days come last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    u64::try_from(((days * 24 + hour) * 60 + minute - offset) * 60 + second).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(content_type: Option<&str>, data: &str) -> Seen {
        let all = [
            ("specversion", Some("1.0")),
            ("id", Some("1")),
            ("type", Some("a.b")),
            ("time", Some("2012-10-19T19:09:16Z")),
            ("datacontenttype", content_type),
        ];
        let given = all
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        Seen {
            attributes: given.collect(),
            data: data.into(),
        }
    }

    fn publication(config: &str, seen: Seen) -> Result<Publication, Error> {
        let settings = Settings::parse(config, |_| None).unwrap();
        Publication::of(seen, &settings, "sub-7", "a.b".to_owned())
    }

    #[test]
    fn each_body_has_its_properties() {
        let check = |config: &str, content_type: Option<&str>, headers: &[(&str, &str)], body: &str| {
            let config = format!(r#"{{"url": "amqp://h", {config}}}"#);
            let made = publication(&config, seen(None, "{\"n\":1}")).unwrap();
            let found: Vec<_> = made
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            assert_eq!(found, headers, "{config}");
            assert_eq!(made.content_type.as_ref().map(Short::as_str), content_type, "{config}");
            assert_eq!(String::from_utf8(made.body).unwrap(), body, "{config}");
            assert_eq!(made.id.unwrap().as_str(), "sub-7");
            assert_eq!(made.timestamp, Some(1_350_673_756));
        };
        let binary = |prefix: &str| {
            let all = [
                ("specversion", "1.0"),
                ("id", "1"),
                ("type", "a.b"),
                ("time", "2012-10-19T19:09:16Z"),
            ];
            all.map(|(name, value)| (format!("{prefix}{name}"), value))
        };
        let (low, colon) = (binary("cloudEvents_"), binary("cloudEvents:"));
        let low: Vec<_> = low.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let colon: Vec<_> = colon.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        check(r#""body": "data""#, Some("application/json"), &low, "{\"n\":1}");
        check(
            r#""header_prefix": "cloudEvents:""#,
            Some("application/json"),
            &colon,
            "{\"n\":1}",
        );
        check(
            r#""body": "cloudevent", "headers": {"x": "y"}"#,
            Some("application/cloudevents+json; charset=utf-8"),
            &[("x", "y")],
            r#"{"specversion":"1.0","id":"1","type":"a.b","time":"2012-10-19T19:09:16Z","data":{"n":1}}"#,
        );
        let pulp = r#"{"event_type": "a.b", "payload": {"n": 1}, "call_report": null}"#;
        check(r#""body": "pulp""#, None, &[], pulp);
    }

    #[test]
    fn the_content_type_is_the_events_own() {
        let content_type = |own, data| {
            let made = publication(r#"{"url": "amqp://h"}"#, seen(own, data)).unwrap();
            made.content_type.map(|text| text.as_str().to_owned())
        };
        assert_eq!(content_type(Some("text/plain"), "1").as_deref(), Some("text/plain"));
        assert_eq!(content_type(None, "no json"), None);
        assert_eq!(content_type(None, ""), None);
    }

    #[test]
    fn what_amqp_cannot_carry_is_the_events_fault() {
        let error = publication(r#"{"url": "amqp://h"}"#, seen(Some(&"x".repeat(256)), "")).unwrap_err();
        assert!(
            matches!(&error, Error::Event(reason) if reason.contains("content type")),
            "{error:?}"
        );
    }

    #[test]
    fn seconds_of_a_time() {
        let check = |time: &str, expected| assert_eq!(seconds(time), expected, "{time}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T12:00:00.123456789Z", Some(951_825_600));
        check("2026-11-22T02:00:00+02:00", Some(1_795_305_600));
        check("2026-11-21T18:30:00-05:30", Some(1_795_305_600));
        check("1969-12-31T23:59:59Z", None);
        check("2026-11-22", None);
        check("2026-11-22T02:00:00", None);
        check("yesterday, at noon or so", None);
    }
}
