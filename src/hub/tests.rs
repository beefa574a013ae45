//! The hub itself: dead letters, its own life, what survives a restart, and the order of its end.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::event::Event;
use crate::event::json::decode;
use crate::filter::{Selector, TypePattern};
use crate::log::{BusName, Offset};
use crate::subscription::{Checkpoint, DeadLetter, Start, SubscriptionId};
use crate::time::Timestamp;

/// A hub in `folder`, small and without plugins.
pub(crate) async fn open(folder: &Path) -> Hub {
    open_at(folder, Clock::system()).await
}

async fn open_at(folder: &Path, clock: Clock) -> Hub {
    let settings = Settings {
        data: folder.join("data"),
        log: log::Settings {
            retention: log::Retention {
                age: None,
                size: None,
                drop_unacknowledged: false,
            },
            segment_size: 1 << 20,
            dedup_window: Duration::from_secs(3_600),
            dedup_ids: 10_000,
            max_buses: 8,
            queue: 64,
            durability: log::Durability::Disk,
        },
        plugins: plugin::Settings {
            dir: folder.join("plugins"),
            cache: folder.join("data/plugin-cache"),
            kv: None,
            plugins: Default::default(),
        },
        access: Default::default(),
        egress: net::GuardSettings::default(),
        proxies: net::ProxySettings::default(),
        delivery: DeliveryConfig::default(),
        bounds: Default::default(),
        introduction: Default::default(),
        limits: Limits {
            event_bytes: 4_096,
            batch_bytes: 16_384,
            batch_events: 5,
            subscriptions: 100,
            body_bytes: 64 << 20,
            streams: 300,
        },
    };
    Hub::open(settings, clock).await.unwrap()
}

/// An event of this id and type.
pub(crate) fn event(id: &str, ty: &str) -> Event {
    decode(format!(r#"{{"specversion":"1.0","id":"{id}","source":"/t","type":"{ty}","data":{{"n": 1}}}}"#).into())
        .unwrap()
}

/// The end of a hub, which must be a whole one.
pub(crate) async fn end(hub: Hub) {
    assert!(hub.drain(Duration::from_secs(30)).await);
}

fn selector(ty: &str) -> Selector {
    Selector {
        types: vec![TypePattern::parse(ty).unwrap()],
        ..Selector::default()
    }
}

/// Follows the hub's own life from the beginning until an event of each of these types has come, in this order.
async fn expect_life(hub: &Hub, types: &[&str]) {
    let wish = Wish {
        bus: BusName::own(),
        start: Start::Earliest,
        selector: Selector::default(),
    };
    let mut stream = hub.stream(wish).await.unwrap();
    let mut left = types.iter();
    let mut next = left.next();
    while let Some(wanted) = next {
        let Some(Ok(Item::Record(record))) = stream.next().await else {
            panic!("the stream ended before {wanted}")
        };
        if record.event.ty() == *wanted {
            next = left.next();
        }
    }
}

#[tokio::test]
async fn the_hub_reports_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    hub.replace(None, "s", &json!({"sink": "http://127.0.0.1:9/x"}))
        .await
        .unwrap();
    hub.patch(None, "s", &json!({"types": ["a"]})).await.unwrap();
    hub.pause(None, "s").await.unwrap();
    hub.pause(None, "s").await.unwrap();
    hub.resume(None, "s").await.unwrap();
    hub.remove(None, "s").await.unwrap();
    let verbs =
        ["created", "updated", "paused", "resumed", "deleted"].map(|verb| format!("busway.subscription.{verb}"));
    let types: Vec<&str> = ["busway.hub.started"]
        .into_iter()
        .chain(verbs.iter().map(String::as_str))
        .collect();
    expect_life(&hub, &types).await;
    end(hub).await;
}

#[tokio::test]
async fn changes_of_one_subscription_wait_for_each_other_and_for_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    let asked = json!({"sink": "http://127.0.0.1:9/x"});
    for id in ["a", "b"] {
        hub.replace(None, id, &asked).await.unwrap();
    }
    let held = hub.0.changing.of(&SubscriptionId("a".into())).await;
    let other = hub.clone();
    let mut waits = std::pin::pin!(other.replace(None, "a", &asked));
    tokio::select! {
        biased;
        _ = waits.as_mut() => panic!("it changed what somebody else changes"),
        replaced = hub.replace(None, "b", &asked) => assert!(!replaced.unwrap().1),
    }
    drop(held);
    assert!(!waits.await.unwrap().1);
    end(hub).await;
}

#[tokio::test]
async fn metrics_tell_how_old_the_oldest_unsettled_record_is() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp(1_000_000));
    let hub = open_at(dir.path(), clock.clone()).await;
    let bus = BusName::default_bus();
    let age = |text: String, seconds: u64| {
        let line = format!("busway_behind_age_seconds{{bus=\"default\"}} {seconds}\n");
        assert!(text.contains(&line), "no {line:?} in:\n{text}");
    };
    hub.publish(&bus, vec![event("1", "a")]).await.unwrap();
    clock.advance(Duration::from_secs(10));
    age(hub.metrics_text().await.unwrap(), 0);
    // Nobody listens there: the record waits for a retry, and so is not settled.
    let nobody = json!({"sink": "http://127.0.0.1:9/x"});
    hub.replace(None, "s", &nobody).await.unwrap();
    hub.publish(&bus, vec![event("2", "a")]).await.unwrap();
    clock.advance(Duration::from_secs(3));
    hub.publish(&bus, vec![event("3", "a")]).await.unwrap();
    clock.advance(Duration::from_secs(1));
    age(hub.metrics_text().await.unwrap(), 4);
    hub.remove(None, "s").await.unwrap();
    age(hub.metrics_text().await.unwrap(), 0);
    end(hub).await;
}

#[tokio::test]
async fn subscriptions_and_events_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    let bus = BusName::default_bus();
    hub.publish(&bus, vec![event("1", "a"), event("2", "b")]).await.unwrap();
    let made = hub
        .create(None, &json!({"types": ["none"], "sink": "http://127.0.0.1:9/x"}))
        .await
        .unwrap();
    end(hub).await;
    let hub = open(dir.path()).await;
    assert_eq!(hub.subscription(None, made.id.as_str()).unwrap(), made);
    let page = hub.read(&bus, Start::Earliest, &selector("b"), 10).await.unwrap();
    assert_eq!(
        (page.records.len(), page.records[0].offset, page.next),
        (1, Offset(2), Offset(3))
    );
    assert!(hub.publish(&bus, vec![event("1", "a")]).await.unwrap()[0].duplicate);
    end(hub).await;
}

#[tokio::test]
async fn pages_end_where_the_next_begins() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    let bus = BusName::default_bus();
    for n in 0..7 {
        hub.publish(
            &bus,
            vec![event(&n.to_string(), if n % 2 == 0 { "even" } else { "odd" })],
        )
        .await
        .unwrap();
    }
    let (mut from, mut seen) = (Start::Earliest, Vec::new());
    loop {
        let page = hub.read(&bus, from, &selector("even"), 2).await.unwrap();
        if page.records.is_empty() {
            break;
        }
        seen.extend(page.records.iter().map(|record| record.offset.0));
        from = Start::Offset(page.next);
    }
    assert_eq!(seen, [1, 3, 5, 7]);
    end(hub).await;
}

#[tokio::test]
async fn a_stopping_hub_takes_nothing_and_ends_its_streams() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    let wish = Wish {
        bus: BusName::default_bus(),
        start: Start::Latest,
        selector: Selector::default(),
    };
    let mut stream = hub.stream(wish).await.unwrap();
    assert!(hub.ready().is_ok());
    hub.stop();
    assert!(stream.next().await.is_none());
    assert_eq!(
        hub.publish(&BusName::default_bus(), vec![event("1", "a")])
            .await
            .unwrap_err()
            .code(),
        "stopping"
    );
    assert_eq!(
        hub.create(None, &json!({"sink": "http://h/"}))
            .await
            .unwrap_err()
            .code(),
        "stopping"
    );
    assert!(hub.ready().is_err());
    assert_eq!(hub.health().status, Standing::Failing);
    end(hub).await;
}

/// A dead letter of this subscription and event type.
pub(crate) fn letter(subscription: &str, offset: u64, ty: &str) -> DeadLetter {
    DeadLetter {
        id: 0,
        subscription: SubscriptionId(subscription.into()),
        bus: BusName::default_bus(),
        offset: Offset(offset),
        at: Timestamp(1),
        reason: "r".into(),
        attempts: Vec::new(),
        tries: 12,
        event: crate::event::json::encode(&event(&offset.to_string(), ty)),
    }
}

/// Every dead letter there is.
pub(crate) fn everything() -> Choice {
    Choice {
        all: true,
        ..Choice::default()
    }
}

async fn keep_letters(hub: &Hub) {
    let dead = vec![letter("x", 1, "a"), letter("x", 2, "b"), letter("y", 3, "a")];
    hub.0
        .store
        .checkpoint(Checkpoint {
            dead,
            ..Checkpoint::default()
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn dead_letters_are_chosen_by_all_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    keep_letters(&hub).await;
    let all = hub.dead_letters(&Choice::default(), 10).await.unwrap();
    let of_x = Choice {
        subscription: Some("x".into()),
        ..Choice::default()
    };
    let of_a = Choice {
        filter: Some(json!({"exact": {"type": "a"}})),
        ..Choice::default()
    };
    for (choice, limit, expected) in [
        (Choice::default(), 10, vec![1, 2, 3]),
        (Choice::default(), 2, vec![1, 2]),
        (of_x.clone(), 10, vec![1, 2]),
        (of_a.clone(), 10, vec![1, 3]),
        (
            Choice {
                filter: of_a.filter.clone(),
                ..of_x.clone()
            },
            10,
            vec![1],
        ),
        (
            Choice {
                ids: Some(vec![all[2].id]),
                ..Choice::default()
            },
            10,
            vec![3],
        ),
        (
            Choice {
                after: Some(all[0].id),
                ..Choice::default()
            },
            10,
            vec![2, 3],
        ),
    ] {
        let found: Vec<u64> = hub
            .dead_letters(&choice, limit)
            .await
            .unwrap()
            .iter()
            .map(|letter| letter.offset.0)
            .collect();
        assert_eq!(found, expected, "{choice:?}");
    }
    end(hub).await;
}

#[tokio::test]
async fn dead_letters_are_dropped_as_chosen_and_stay_when_nobody_takes_them() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    keep_letters(&hub).await;
    let of_x = Choice {
        subscription: Some("x".into()),
        ..Choice::default()
    };
    let of_a = Choice {
        filter: Some(json!({"exact": {"type": "a"}})),
        ..Choice::default()
    };
    let plugin = Choice {
        filter: Some(json!({"plugin": {"name": "p"}})),
        ..Choice::default()
    };
    assert_eq!(
        hub.dead_letters(&plugin, 1).await.unwrap_err().code(),
        "filter_unsupported"
    );
    let done = hub.redeliver(&of_x, false).await.unwrap();
    assert_eq!(
        (done.matched, done.redelivered, done.failed.len()),
        (2, 0, 2),
        "its subscription is gone: it stays, and why"
    );
    assert!(done.failed[0].reason.contains("is gone"));
    assert_eq!(
        hub.drop_dead_letters(&Choice::default(), false)
            .await
            .unwrap_err()
            .code(),
        "no_choice"
    );
    assert_eq!(hub.drop_dead_letters(&of_a, true).await.unwrap().letters, 2);
    assert_eq!(hub.drop_dead_letters(&of_a, false).await.unwrap().letters, 2);
    assert_eq!(hub.dead_letters(&Choice::default(), 10).await.unwrap().len(), 1);
    end(hub).await;
}

#[tokio::test]
async fn a_redelivered_letter_leaves_the_dead_letters() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    hub.publish(&BusName::default_bus(), vec![event("1", "a")])
        .await
        .unwrap();
    hub.replace(None, "x", &json!({"types": ["none"], "sink": "http://127.0.0.1:9/x"}))
        .await
        .unwrap();
    hub.0
        .store
        .checkpoint(Checkpoint {
            dead: vec![letter("x", 1, "a")],
            ..Checkpoint::default()
        })
        .await
        .unwrap();
    let tried = hub.redeliver(&everything(), true).await.unwrap();
    assert_eq!((tried.matched, tried.redelivered), (1, 0));
    let done = hub.redeliver(&everything(), false).await.unwrap();
    assert_eq!((done.matched, done.redelivered, done.failed.len()), (1, 1, 0));
    assert!(hub.dead_letters(&Choice::default(), 10).await.unwrap().is_empty());
    end(hub).await;
}

#[tokio::test]
async fn what_a_subscription_needs_is_checked_when_it_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    for (json, code, part) in [
        (
            json!({"sink": "http://h/", "filters": [{"plugin": {"name": "only-failures"}}]}),
            "plugin_not_loaded",
            "filters[0].plugin: no filter plugin `only-failures`",
        ),
        (
            json!({"protocol": "notifier-chat"}),
            "plugin_not_loaded",
            "protocol: no notifier plugin `notifier-chat`",
        ),
        (
            json!({"sink": "http://169.254.169.254/latest"}),
            "sink_not_allowed",
            "169.254.169.254",
        ),
        (json!({"sink": "http://[fe80::1]/"}), "sink_not_allowed", "fe80::1"),
    ] {
        let error = hub.create(None, &json).await.unwrap_err();
        assert_eq!((error.code(), error.message().contains(part)), (code, true), "{error}");
    }
    assert!(hub.subscriptions(None, None, 10).is_empty());
    end(hub).await;
}

#[tokio::test]
async fn a_bus_is_a_separate_space() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    let other = BusName::parse("other").unwrap();
    let sink = json!({"sink": "http://127.0.0.1:9/x"});
    hub.replace(Some(&other), "s", &sink).await.unwrap();
    assert!(hub.subscription(None, "s").is_ok());
    let scope = Some(BusName::default_bus());
    assert_eq!(
        hub.subscription(scope.as_ref(), "s").unwrap_err().code(),
        "subscription_not_found"
    );
    assert_eq!(
        hub.replace(scope.as_ref(), "s", &sink).await.unwrap_err().code(),
        "subscription_not_found",
        "the id is taken on another bus"
    );
    assert_eq!(hub.subscriptions(Some(&other), None, 10).len(), 1);
    assert_eq!(
        hub.publish(&BusName::own(), vec![event("1", "a")])
            .await
            .unwrap_err()
            .code(),
        "bus_reserved"
    );
    end(hub).await;
}

#[tokio::test]
async fn what_dies_again_while_it_is_redelivered_stays_in_the_dead_letters() {
    const LETTERS: u64 = 60;
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    for nth in 1..=LETTERS {
        let one = vec![event(&nth.to_string(), "a")];
        hub.publish(&BusName::default_bus(), one).await.unwrap();
    }
    // Nobody listens there: the only attempt fails at once.
    let refused = json!({"sink": "http://127.0.0.1:9/x", "config": {"max_attempts": 1, "breaker": "off"}});
    hub.replace(None, "x", &refused).await.unwrap();
    let dead = (1..=LETTERS).map(|nth| letter("x", nth, "a")).collect();
    let kept = Checkpoint {
        dead,
        ..Checkpoint::default()
    };
    hub.0.store.checkpoint(kept).await.unwrap();
    let done = hub.redeliver(&everything(), false).await.unwrap();
    assert_eq!((done.matched, done.redelivered), (LETTERS, LETTERS));
    let lane = || hub.lane(&SubscriptionId("x".into())).unwrap();
    let all_dead = async {
        while lane().dead < LETTERS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), all_dead).await;
    assert!(waited.is_ok(), "{:?}", lane());
    hub.0.delivery.drain(Duration::from_secs(5)).await;
    let again = hub.dead_letters(&Choice::default(), 1_000).await.unwrap();
    assert_eq!(again.len() as u64, LETTERS);
    end(hub).await;
}
