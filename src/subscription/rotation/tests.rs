//! Which secrets sign when, over rotations, changes and the store.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::log::BusName;
use crate::subscription::{DeliveryConfig, SubscriptionId};

const HOUR: i64 = 3_600_000;

fn shared(fill: u8) -> String {
    format!("whsec_{}", STANDARD.encode([fill; 32]))
}

fn with(secrets: &[String]) -> Subscription {
    let json = json!({"sink": "https://a.example/", "protocolsettings": {"secrets": secrets}});
    let (id, bus) = (SubscriptionId("s".into()), BusName::default_bus());
    Subscription::from_json(id, bus, &json, &DeliveryConfig::default(), Timestamp(0)).unwrap()
}

fn rotated(from: &Subscription, json: Value, now: i64) -> Rotated {
    let rotation = Rotation::from_json(&json).unwrap();
    from.rotated(rotation, [1, 2], Timestamp(now)).unwrap()
}

/// What signs at a time.
fn signing(subscription: &Subscription, now: i64) -> Vec<String> {
    let webhook = subscription.webhook().unwrap();
    webhook.signing(Timestamp(now)).map(Secret::written).collect()
}

#[test]
fn the_old_signs_beside_the_new_until_its_grace_ends() {
    let two = rotated(&with(&[shared(1)]), json!({"secret": shared(2), "grace": "2h"}), 0).subscription;
    assert_eq!(signing(&two, 0), [shared(2), shared(1)]);
    let three = rotated(&two, json!({"secret": shared(3), "grace": "24h"}), HOUR).subscription;
    assert_eq!(signing(&three, HOUR), [shared(3), shared(2), shared(1)]);
    assert_eq!(
        signing(&three, 2 * HOUR),
        [shared(3), shared(2)],
        "a later rotation lengthens no grace"
    );
    assert_eq!(signing(&three, 25 * HOUR), [shared(3)]);
    assert_eq!(three.retires(), Some(Timestamp(2 * HOUR)));
    assert!(three.retired(Timestamp(HOUR)).is_none());
    let left = three.retired(Timestamp(2 * HOUR)).unwrap();
    assert_eq!(left.webhook().unwrap().secrets.len(), 2);
    assert_eq!(left.retires(), Some(Timestamp(25 * HOUR)));
    let back = rotated(&left, json!({"secret": shared(2), "grace": "0s"}), 3 * HOUR).subscription;
    assert_eq!(
        signing(&back, 99 * HOUR),
        [shared(2)],
        "an old one that is given again stays"
    );
}

#[test]
fn the_ends_are_kept_shown_and_survive_changes() {
    let two = rotated(&with(&[shared(1)]), json!({"secret": shared(2), "grace": "1h"}), 0).subscription;
    assert_eq!(Subscription::from_stored(two.to_stored()).unwrap(), two);
    let shown = two.to_json();
    assert_eq!(shown["secrets_until"], json!([null, "1970-01-01T01:00:00.000Z"]));
    assert_eq!(shown["protocolsettings"]["secrets"], json!(["***", "***"]));
    let defaults = DeliveryConfig::default();
    let put = two.replaced(&shown, &defaults, Timestamp(5)).unwrap();
    assert_eq!(signing(&put, HOUR), [shared(2)], "what is shown can be sent back");
    let patched = two.patched(&json!({"types": ["a"]}), &defaults, Timestamp(5)).unwrap();
    assert_eq!(signing(&patched, HOUR), [shared(2)]);
    let alone = json!({"protocolsettings": {"secrets": [shared(1)]}});
    let alone = two.patched(&alone, &defaults, Timestamp(5)).unwrap();
    assert_eq!(signing(&alone, HOUR), [shared(1)], "the first has no end");
}

#[test]
fn a_secret_is_drawn_of_the_kind_that_it_takes_over_from() {
    let none = rotated(&with(&[]), json!({}), 0);
    assert_eq!(none.drawn, Some(signing(&none.subscription, 0)[0].clone()));
    let drawn = rotated(&with(&[shared(1)]), json!({}), 0);
    assert_eq!(signing(&drawn.subscription, 0), [drawn.drawn.unwrap(), shared(1)]);
    assert_eq!(drawn.subscription.retires(), Some(Timestamp(24 * HOUR)));
    let private = with(&[format!("whsk_{}", STANDARD.encode([7; 32]))]);
    let drawn = rotated(&private, json!({}), 0);
    assert_eq!(drawn.drawn, None, "its consumer needs the public half only");
    let keys = drawn.subscription.to_json()["public_keys"].as_array().unwrap().len();
    assert_eq!(keys, 2);
}

#[test]
fn what_cannot_be_is_refused() {
    let check = |json: Value, says: &str| {
        let error = Rotation::from_json(&json).unwrap_err();
        assert!(error.message().contains(says), "{json}: {error}");
    };
    check(json!([]), "must be a JSON object");
    check(json!({"graze": "1h"}), "`grace`");
    check(json!({"secret": "***"}), "leave it out");
    check(
        json!({"secret": "hunter2"}),
        "secret: must be a Standard Webhooks secret",
    );
    check(json!({"grace": "soon"}), "grace: must be");
    check(json!({"grace": "91d"}), "grace: must be from");
    let full = with(&[1, 2, 3, 4].map(shared));
    let rotation = Rotation::from_json(&json!({})).unwrap();
    let error = full.rotated(rotation, [1, 2], Timestamp(0)).unwrap_err();
    assert_eq!(error.code(), "too_many_secrets");
    assert!(error.message().contains("1970-01-02T00:00:00"), "{error}");
    let at_once = rotated(&full, json!({"grace": "0s"}), 0).subscription;
    assert_eq!(signing(&at_once, 0).len(), 1);
    let mut bus = full;
    bus.sink = Sink::Bus(BusName::parse("other").unwrap());
    let error = bus.rotated(Rotation::from_json(&json!({})).unwrap(), [1, 2], Timestamp(0));
    assert_eq!(error.unwrap_err().code(), "not_signed");
}
