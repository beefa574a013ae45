//! What a sink answers, and what becomes of the delivery.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::rig::{Reply, Rig, Sink, id};
use crate::deliver::sign::signature;
use crate::deliver::{Notice, Turn};
use crate::log::Offset;
use crate::subscription::{DeadLetter, Secret, State};

fn hook(sink: &Sink) -> serde_json::Value {
    json!({"sink": sink.url, "config": {"schedule": ["5s", "30s"], "max_attempts": 3, "timeout": "20s"}})
}

#[tokio::test]
async fn what_matches_is_delivered_once_and_in_its_form() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(204)).await);
    let secret = STANDARD.encode([7; 32]);
    let wanted = json!({"types": ["odd"], "sink": sink.url, "config": {"concurrency": 1},
        "protocolsettings": {"format": "structured", "secret": format!("whsec_{secret}"), "headers": {"x-a": "b"}}});
    rig.subscribe("s", wanted, 1).await;
    rig.publish(1..=6).await;
    let first = sink.next().await;
    let header = |name: &str| {
        first
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    };
    assert_eq!(
        header("content-type").split(';').next(),
        Some("application/cloudevents+json")
    );
    assert_eq!((header("x-a"), header("webhook-id")), ("b", "msg_s_1"));
    let seconds = header("webhook-timestamp").parse().unwrap();
    assert_eq!(
        header("webhook-signature"),
        signature(&[Secret::Shared(vec![7; 32])], "msg_s_1", seconds, &first.body)
    );
    assert_eq!([first.numbers(), sink.numbers(2).await].concat(), [1, 3, 5]);
    let status = rig
        .until("s", "done", |status| status.delivered == 3 && status.behind == 0)
        .await;
    assert_eq!((status.state, status.failed, status.cursor), ("idle", 0, Offset(7)));
    assert_eq!(sink.rest(), Vec::<u64>::new());
    let recent = rig.delivery.recent(&id("s"));
    assert_eq!(
        recent.iter().map(|recent| recent.offset.0).collect::<Vec<_>>(),
        [5, 3, 1]
    );
    assert_eq!(
        (recent[0].attempt.status, recent[0].attempt.outcome.as_str()),
        (Some(204), "delivered")
    );
}

#[tokio::test]
async fn a_failure_is_retried_on_the_schedule_and_not_before() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(503)).await);
    rig.subscribe("s", hook(&sink), 1).await;
    rig.publish([1]).await;
    let first = sink.next().await;
    let status = rig.until("s", "waiting", |status| status.retrying == 1).await;
    assert_eq!(
        (status.failed, status.behind),
        (1, 0),
        "a retry does not hold the cursor"
    );
    rig.parts.clock.advance(Duration::from_millis(4_999));
    rig.publish([2]).await;
    assert_eq!(sink.next().await.numbers(), [2], "the retry is not due yet");
    sink.says(Reply::Status(200));
    rig.parts.clock.advance(Duration::from_millis(1_101));
    let again = sink.numbers(1).await;
    assert!(again == [1], "{again:?}");
    rig.until("s", "one of two", |status| status.delivered >= 1).await;
    rig.parts.clock.advance(Duration::from_secs(60));
    let status = rig.until("s", "delivered", |status| status.delivered == 2).await;
    assert_eq!((status.retrying, status.dead), (0, 0));
    assert_eq!(first.headers["webhook-id"], "msg_s_1");
    let recent = rig.delivery.recent(&id("s"));
    assert!(
        recent
            .iter()
            .any(|recent| recent.attempt.number == 1 && recent.next.is_some()),
        "{recent:?}"
    );
}

#[tokio::test]
async fn retry_after_lengthens_the_wait() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::RetryAfter(429, "100")).await);
    rig.subscribe("s", hook(&sink), 1).await;
    rig.publish([1]).await;
    sink.next().await;
    rig.until("s", "waiting", |status| status.retrying == 1).await;
    sink.says(Reply::Status(200));
    rig.parts.clock.advance(Duration::from_secs(99));
    // Another delivery goes all the way while the clock stands before the hundredth second.
    rig.publish([2]).await;
    assert_eq!(sink.numbers(1).await, [2]);
    rig.until("s", "the other delivered", |status| status.delivered == 1)
        .await;
    rig.parts.clock.advance(Duration::from_secs(1));
    assert_eq!(sink.numbers(1).await, [1]);
}

#[tokio::test]
async fn after_the_last_attempt_it_is_a_dead_letter_that_can_be_delivered_again() {
    let (mut rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(500)).await);
    rig.subscribe("s", hook(&sink), 1).await;
    rig.publish([1]).await;
    for failed in 1..=3 {
        assert_eq!(sink.numbers(1).await, [1]);
        rig.until("s", "counted", |status| {
            status.failed == failed && status.retrying == usize::from(failed < 3)
        })
        .await;
        rig.parts.clock.advance(Duration::from_secs(60));
    }
    let reason = rig.notice("dead", |notice| match notice {
        Notice::Dead { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, "the sink answered 500 (attempt 3)");
    let dead = rig.dead().await;
    assert_eq!(
        (dead.len(), dead[0].offset, dead[0].tries, dead[0].attempts.len()),
        (1, Offset(1), 3, 3)
    );
    let event = crate::event::json::decode(dead[0].event.clone().into()).unwrap();
    assert_eq!(event.id(), "1");
    assert_eq!(dead[0].attempts[0].answer.as_deref(), Some("said the sink"));
    sink.says(Reply::Status(200));
    let letter = rig.dead().await.remove(0);
    let revived = rig.delivery.revive(vec![letter.clone()]).await.unwrap();
    assert_eq!(revived.revived, [letter.id]);
    assert!(rig.dead().await.is_empty(), "it is one or the other");
    assert_eq!(sink.numbers(1).await, [1]);
    rig.until("s", "delivered", |status| status.delivered == 1 && status.retrying == 0)
        .await;
    let lost = DeadLetter {
        offset: Offset(9),
        ..letter.clone()
    };
    let foreign = DeadLetter {
        subscription: id("t"),
        ..letter
    };
    let left = rig.delivery.revive(vec![lost.clone(), foreign.clone()]).await.unwrap();
    assert_eq!(
        (left.revived, left.gone, left.unknown),
        (vec![], vec![lost], vec![foreign])
    );
}

#[tokio::test]
async fn a_forbidden_address_is_given_up_at_once() {
    let mut rig = Rig::new().await;
    rig.subscribe("s", json!({"sink": "http://169.254.169.254/latest"}), 1)
        .await;
    rig.publish([1]).await;
    let reason = rig.notice("dead", |notice| match notice {
        Notice::Dead { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(reason.await.contains("may not be dialled"));
    assert_eq!(rig.until("s", "dead", |status| status.dead == 1).await.retrying, 0);
}

#[tokio::test]
async fn gone_pauses_and_resuming_goes_on_with_the_same_event() {
    let (mut rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(410)).await);
    let mut wanted = hook(&sink);
    wanted["config"]["concurrency"] = json!(1);
    rig.subscribe("s", wanted, 1).await;
    rig.publish(1..=5).await;
    assert_eq!(sink.numbers(1).await, [1]);
    rig.notice("gone", |notice| matches!(notice, Notice::Gone { .. }).then_some(()))
        .await;
    let status = rig.until("s", "paused", |status| status.state == "paused").await;
    assert_eq!((status.reason.as_deref(), status.cursor), (Some("gone"), Offset(1)));
    assert_eq!(
        rig.delivery.get(&id("s")).unwrap().state,
        State::Paused {
            reason: "gone".to_owned()
        }
    );
    // It is paused after a restart too, and loses nothing.
    let rig = rig.restart().await;
    rig.publish([6]).await;
    assert_eq!(
        rig.until("s", "behind", |status| status.behind == 6).await.state,
        "paused"
    );
    assert_eq!(sink.rest(), Vec::<u64>::new());
    sink.says(Reply::Status(200));
    let mut subscription = rig.delivery.get(&id("s")).unwrap();
    subscription.state = State::Active;
    rig.delivery.put(subscription, None);
    assert_eq!(sink.numbers(6).await, [1, 2, 3, 4, 5, 6]);
    rig.until("s", "idle", |status| status.behind == 0 && status.state == "idle")
        .await;
}

#[tokio::test]
async fn a_hung_sink_holds_nobody_else() {
    let rig = Rig::new().await;
    let (mut hung, mut well) = (Sink::new(Reply::Hang).await, Sink::new(Reply::Status(200)).await);
    rig.subscribe("hung", hook(&hung), 1).await;
    rig.subscribe("well", hook(&well), 1).await;
    rig.publish(1..=3_000).await;
    hung.next().await;
    let mut numbers = well.numbers(3_000).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=3_000).collect::<Vec<_>>());
    let status = rig.until("hung", "behind", |status| status.behind == 3_000).await;
    assert_eq!((status.delivered, status.cursor), (0, Offset(1)));
}

#[tokio::test]
async fn a_sink_that_keeps_failing_is_probed_and_loses_nothing() {
    let (mut rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(503)).await);
    let config = json!({"schedule": ["1h"], "max_attempts": 5, "concurrency": 1});
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
    rig.publish(1..=2_000).await;
    let opened = |notice| matches!(notice, Notice::Breaker { turn: Turn::Opened, .. }).then_some(());
    rig.notice("open", opened).await;
    let status = rig
        .until("s", "at rest", |status| status.state == "open" && status.retrying == 8)
        .await;
    assert_eq!(
        (status.cursor, status.reason.as_deref()),
        (Offset(9), Some("the sink answered 503"))
    );
    assert_eq!(sink.rest(), (1..=8).collect::<Vec<_>>());
    // The first probe fails, the second finds the sink well again.
    rig.parts.clock.advance(Duration::from_secs(5));
    assert_eq!(sink.numbers(1).await, [9]);
    rig.until("s", "a probe failed", |status| status.retrying == 9).await;
    rig.parts.clock.advance(Duration::from_secs(9));
    assert_eq!(sink.rest(), Vec::<u64>::new());
    sink.says(Reply::Status(200));
    rig.parts.clock.advance(Duration::from_secs(1));
    rig.notice("closed", |notice| {
        matches!(notice, Notice::Breaker { turn: Turn::Closed, .. }).then_some(())
    })
    .await;
    assert_eq!(sink.numbers(1_991).await, (10..=2_000).collect::<Vec<_>>());
    rig.parts.clock.advance(Duration::from_secs(2 * 3_600));
    let mut waited = sink.numbers(9).await;
    waited.sort_unstable();
    assert_eq!(waited, (1..=9).collect::<Vec<_>>());
    let status = rig.until("s", "done", |status| status.delivered == 2_000).await;
    assert_eq!((status.behind, status.retrying, status.dead), (0, 0, 0));
}

#[tokio::test]
async fn batches_fill_up_or_go_when_they_are_old_enough() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(200)).await);
    let wanted = json!({"sink": sink.url, "protocolsettings": {"format": "batch"},
        "config": {"schedule": ["5s"], "concurrency": 1, "batch": {"count": 4, "wait": "2s"}}});
    rig.subscribe("s", wanted, 1).await;
    rig.publish(1..=10).await;
    assert_eq!(sink.next().await.numbers(), [1, 2, 3, 4]);
    assert_eq!(sink.next().await.numbers(), [5, 6, 7, 8]);
    rig.until("s", "two of three", |status| status.delivered == 8).await;
    assert_eq!(sink.rest(), Vec::<u64>::new(), "two events are too few");
    sink.says(Reply::Status(503));
    rig.parts.clock.advance(Duration::from_secs(2));
    let last = sink.next().await;
    assert_eq!(
        (last.numbers(), &last.headers["webhook-id"]),
        (vec![9, 10], &"msg_s_9-10".parse().unwrap())
    );
    rig.until("s", "both failed", |status| status.retrying == 2).await;
    sink.says(Reply::Status(200));
    rig.parts.clock.advance(Duration::from_secs(6));
    let mut again = sink.numbers(2).await;
    again.sort_unstable();
    assert_eq!(again, [9, 10]);
    rig.until("s", "done", |status| status.delivered == 10).await;
}

#[tokio::test]
async fn a_subscription_waits_for_its_plugin_and_loses_nothing() {
    let mut rig = Rig::new().await;
    let sink = Sink::new(Reply::Status(200)).await;
    let filters = json!([{"plugin": {"name": "absent", "config": {}}}]);
    rig.subscribe("filtered", json!({"sink": sink.url, "filters": filters}), 1)
        .await;
    rig.subscribe("notified", json!({"protocol": "missing", "protocolsettings": {}}), 1)
        .await;
    rig.publish(1..=3_000).await;
    for name in ["filtered", "notified"] {
        let status = rig
            .until(name, "held", |status| status.state == "held" && status.behind == 3_000)
            .await;
        assert_eq!((status.cursor, status.delivered, status.dead), (Offset(1), 0, 0));
    }
    let mut held = Vec::new();
    for _ in 0..2 {
        let plugin = rig.notice("held", |notice| match notice {
            Notice::Held { held: true, plugin, .. } => Some(plugin),
            _ => None,
        });
        held.push(plugin.await);
    }
    held.sort();
    assert_eq!(held, ["absent", "missing"]);
}

#[tokio::test]
async fn one_attempt_outside_of_the_lane_changes_nothing_in_it() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(418)).await);
    rig.subscribe("s", hook(&sink), 1).await;
    let record = crate::log::Record::new(Offset(0), rig.parts.clock.now(), super::rig::event(77));
    let attempt = rig.delivery.once(&id("s"), record.into()).await.unwrap();
    assert_eq!(
        (attempt.status, attempt.outcome.as_str()),
        (Some(418), "the sink answered 418")
    );
    assert_eq!(sink.next().await.numbers(), [77]);
    let status = rig.delivery.status(&id("s")).unwrap();
    assert_eq!((status.failed, status.retrying), (0, 0));
}
