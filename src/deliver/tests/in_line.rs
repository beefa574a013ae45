//! `ordering: all`, and what ends a delivery besides its attempts: its age.

use std::time::Duration;

use serde_json::json;

use super::rig::{Reply, Rig, Sink};
use crate::log::Offset;

#[tokio::test]
async fn one_that_fails_holds_up_the_rest_and_costs_one_row() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(503)).await);
    let config = json!({"schedule": ["10s"], "max_attempts": "unlimited", "ordering": "all", "jitter": false, "concurrency": 16});
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
    rig.publish(1..=3_000).await;
    for failed in 1..=20 {
        assert_eq!(sink.numbers(1).await, [1]);
        let status = rig
            .until("s", "counted", |status| status.failed == failed && status.retrying == 1)
            .await;
        assert_eq!(
            (status.cursor, status.delivered),
            (Offset(2), 0),
            "the rest waits in the log"
        );
        // As long as an open breaker waits at most: the sink is asked no oftener than that, whatever the schedule says.
        rig.parts.clock.advance(Duration::from_secs(60));
    }
    // The same after a crash, and still the first comes first.
    rig.checkpoint().await;
    let rig = rig.crash().await;
    sink.says(Reply::Status(200));
    rig.parts.clock.advance(Duration::from_secs(10));
    let mut arrived = sink.numbers(3_000).await;
    arrived.dedup();
    let retried_while_crashing = arrived.len() - 2_999;
    assert!(retried_while_crashing <= 2, "{retried_while_crashing}");
    assert_eq!(arrived, (1..=arrived.len() as u64).collect::<Vec<_>>());
    rig.until("s", "done", |status| status.behind == 0 && status.retrying == 0)
        .await;
}

#[tokio::test]
async fn in_line_the_next_comes_when_the_one_before_it_is_over() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(503)).await);
    let config = json!({"schedule": ["1s"], "max_attempts": 2, "ordering": "all", "jitter": false});
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
    rig.publish(1..=3).await;
    assert_eq!(sink.numbers(1).await, [1]);
    rig.until("s", "waiting", |status| status.retrying == 1).await;
    rig.parts.clock.advance(Duration::from_secs(1));
    // Given up at its second attempt: the line goes on.
    assert_eq!(sink.numbers(2).await, [1, 2]);
    rig.until("s", "waiting again", |status| (status.dead, status.retrying) == (1, 1))
        .await;
    sink.says(Reply::Status(200));
    rig.parts.clock.advance(Duration::from_secs(1));
    assert_eq!(sink.numbers(2).await, [2, 3]);
    rig.until("s", "done", |status| status.delivered == 2 && status.behind == 0)
        .await;
}

#[tokio::test]
async fn what_is_too_old_for_another_attempt_is_given_up() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(500)).await);
    let config = json!({"schedule": ["30s"], "max_attempts": "unlimited", "jitter": false, "max_age": "1m"});
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
    rig.publish([1]).await;
    for failed in 1..=3 {
        assert_eq!(sink.numbers(1).await, [1]);
        rig.until("s", "counted", |status| status.failed == failed).await;
        rig.parts.clock.advance(Duration::from_secs(30));
    }
    let dead = rig.dead().await;
    assert_eq!(
        dead[0].reason,
        "the sink answered 500 (attempt 3; the next would come after `config.max_age`)"
    );
    assert_eq!(rig.until("s", "over", |status| status.dead == 1).await.retrying, 0);
}
