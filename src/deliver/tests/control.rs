//! What a sink asks for: no calls for a while, no more of one event, no more at all.

use std::time::Duration;

use serde_json::json;

use super::rig::{Reply, Rig, Sink, bus, id};
use crate::deliver::Notice;
use crate::log::Offset;
use crate::subscription::{DeliveryConfig, State, Subscription};

async fn subscribed(rig: &Rig, sink: &Sink, extra: serde_json::Value) {
    let mut config = json!({"schedule": ["5s"], "jitter": false, "max_attempts": 3, "concurrency": 1});
    for (name, value) in extra.as_object().unwrap() {
        config[name] = value.clone();
    }
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
}

/// Goes on after a pause, as the hub does it.
async fn resume(rig: &Rig) {
    let mut one = rig.delivery.get(&id("s")).unwrap();
    one.state = State::Active;
    rig.parts.store.put(&one, None).await.unwrap();
    rig.delivery.put(one, None);
}

#[tokio::test]
async fn a_sink_that_asks_for_a_while_without_calls_gets_none_of_any_event() {
    for (status, asked, most, waits) in [
        (429, "100", "1h", 100),
        (503, "100", "1h", 100),
        (429, "7200", "50s", 50),
    ] {
        let (rig, mut sink) = (
            Rig::new().await,
            Sink::new(Reply::Header(status, "retry-after", asked)).await,
        );
        let mut other = Sink::new(Reply::Status(200)).await;
        subscribed(&rig, &sink, json!({"retry_after_most": most})).await;
        rig.subscribe("other", json!({"sink": other.url}), 1).await;
        rig.publish([1]).await;
        assert_eq!((sink.numbers(1).await, other.numbers(1).await), (vec![1], vec![1]));
        let rests = rig.until("s", "throttled", |status| status.state == "throttled").await;
        assert!(rests.reason.is_some_and(|reason| reason.contains("no call before 20")));
        sink.says(Reply::Status(200));
        rig.parts.clock.advance(Duration::from_secs(waits - 1));
        // The other one's lane has nothing to wait for.
        rig.publish([2]).await;
        assert_eq!(other.numbers(1).await, [2]);
        rig.until("s", "it has come up", |status| {
            status.state == "throttled" && status.behind == 1
        })
        .await;
        assert_eq!(sink.rest(), Vec::<u64>::new(), "{status} {asked}");
        rig.parts.clock.advance(Duration::from_secs(1));
        let mut came = sink.numbers(2).await;
        came.sort_unstable();
        assert_eq!(came, [1, 2]);
        rig.until("s", "done", |status| status.delivered == 2 && status.state == "idle")
            .await;
    }
}

#[tokio::test]
async fn a_sink_that_moves_is_not_asked_to_wait_for_what_the_old_one_said() {
    let (rig, mut old) = (
        Rig::new().await,
        Sink::new(Reply::Header(429, "retry-after", "3000")).await,
    );
    let mut new = Sink::new(Reply::Status(200)).await;
    subscribed(&rig, &old, json!({})).await;
    rig.publish([1]).await;
    old.next().await;
    rig.until("s", "throttled", |status| status.state == "throttled").await;
    rig.publish([2]).await;
    let (json, now) = (json!({"sink": new.url}), rig.parts.clock.now());
    let moved = Subscription::from_json(id("s"), bus(), &json, &DeliveryConfig::default(), now).unwrap();
    rig.delivery.put(moved, None);
    assert_eq!(new.numbers(1).await, [2]);
}

#[tokio::test]
async fn a_sink_that_disables_pauses_and_loses_nothing() {
    for (status, took, cursor, left) in [(200, 1, 2, vec![2, 3]), (503, 0, 1, vec![1, 2, 3])] {
        let mut rig = Rig::new().await;
        let mut sink = Sink::new(Reply::Header(status, "webhook-delivery", "disable")).await;
        subscribed(&rig, &sink, json!({})).await;
        rig.publish([1, 2, 3]).await;
        assert_eq!(sink.numbers(1).await, [1]);
        let disabled = |notice| matches!(notice, Notice::Paused { reason: "disabled", .. }).then_some(());
        rig.notice("disabled", disabled).await;
        let rests = rig.until("s", "paused", |status| status.state == "paused").await;
        assert_eq!(
            (rests.reason.as_deref(), rests.delivered, rests.cursor, rests.retrying),
            (Some("disabled"), took, Offset(cursor), 0)
        );
        sink.says(Reply::Status(200));
        rig = rig.restart().await;
        assert_eq!(
            rig.delivery.status(&id("s")).unwrap().state,
            "paused",
            "over a restart, too"
        );
        resume(&rig).await;
        assert_eq!(sink.numbers(left.len()).await, left);
        rig.until("s", "done", |status| status.behind == 0).await;
    }
}

#[tokio::test]
async fn a_sink_that_aborts_one_event_goes_on_with_the_others() {
    let rig = Rig::new().await;
    let mut sink = Sink::new(Reply::Header(503, "webhook-delivery", "abort-message")).await;
    subscribed(&rig, &sink, json!({"ordering": "all"})).await;
    rig.publish([1]).await;
    rig.until("s", "given up", |status| status.dead == 1).await;
    let letter = rig.dead().await.pop().unwrap();
    assert_eq!(
        (letter.reason.as_str(), letter.tries),
        (
            "the sink answered 503 and wants no other attempt (webhook-delivery: abort-message)",
            1
        )
    );
    sink.says(Reply::Header(200, "webhook-delivery", "abort-message"));
    rig.publish([2]).await;
    rig.until("s", "the next is delivered", |status| status.delivered == 1)
        .await;
    assert_eq!((sink.rest(), rig.dead().await.len()), (vec![1, 2], 1));
}
