//! What the service puts on every event that it takes: whose it is, when and whence it came, and by which bus.
//!
//! Invariant: what the producer wrote under these names is overwritten: consumers may trust them.

use super::call::Origin;
use super::settings::{PublishTime, Settings};
use crate::event::native::eventbridge::set_extension;
use crate::event::{Draft, Value};
use crate::time::Timestamp;

/// The extension that picks the bus, and tells it.
pub(super) const BUS: &str = "aliyuneventbusname";

/// Stamps an event for the bus of this name.
pub(super) fn stamp(draft: &mut Draft, settings: &Settings, bus: &str, from: &Origin, now: Timestamp) {
    let address = from
        .address
        .map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_canonical().to_string());
    let stamps = [
        ("aliyunaccountid", settings.account.clone()),
        ("aliyunpublishtime", publish_time(settings.publish_time, now)),
        (BUS, bus.to_owned()),
        ("aliyunregionid", settings.region.clone()),
        ("aliyunpublishaddr", address),
    ];
    for (name, value) in stamps {
        set_extension(draft, name, Value::String(value));
    }
}

/// `2020-11-19T21:04:42.179PRC`, or the same in UTC.
fn publish_time(form: PublishTime, now: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(now.0).unwrap_or_default();
    match form {
        PublishTime::Utc => now.to_string(),
        // China has had no summer time since 1991: eight hours, always.
        PublishTime::Prc => {
            let local = at.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)));
            local.strftime("%Y-%m-%dT%H:%M:%S%.3fPRC").to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_exact() {
        let now = Timestamp(1_605_791_082_179);
        assert_eq!(publish_time(PublishTime::Prc, now), "2020-11-19T21:04:42.179PRC");
        assert_eq!(publish_time(PublishTime::Utc, now), "2020-11-19T13:04:42.179Z");
        assert_eq!(
            publish_time(PublishTime::Prc, Timestamp(1_605_791_082_000)),
            "2020-11-19T21:04:42.000PRC"
        );
    }

    #[test]
    fn what_the_producer_wrote_there_is_overwritten() {
        let mut draft = Draft {
            extensions: vec![
                ("aliyunaccountid".into(), Value::String("9".into())),
                ("mine".into(), Value::Integer(1)),
            ],
            ..Draft::default()
        };
        let from = Origin {
            address: Some("::ffff:10.0.0.1".parse().unwrap()),
            base: String::new(),
        };
        stamp(&mut draft, &Settings::default(), "orders", &from, Timestamp(0));
        let all: Vec<String> = draft
            .extensions
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_str()))
            .collect();
        assert_eq!(
            all,
            [
                "mine=1",
                "aliyunaccountid=1234567890123456",
                "aliyunpublishtime=1970-01-01T08:00:00.000PRC",
                "aliyuneventbusname=orders",
                "aliyunregionid=cn-hangzhou",
                "aliyunpublishaddr=10.0.0.1"
            ]
        );
    }
}
