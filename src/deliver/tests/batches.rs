//! Batches that fail: tried again together, then in parts, within their size.

use std::time::Duration;

use serde_json::json;

use super::rig::{Reply, Rig, Sink};

async fn subscribed(rig: &Rig, sink: &Sink, wait: &str, batch: serde_json::Value) {
    let wanted = json!({"sink": sink.url, "protocolsettings": {"format": "batch"},
        "config": {"schedule": [wait], "max_attempts": 5, "concurrency": 1, "batch": batch}});
    rig.subscribe("s", wanted, 1).await;
}

#[tokio::test]
async fn one_poisonous_event_takes_no_other_with_it() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Poisoned(3)).await);
    subscribed(&rig, &sink, "1s", json!({"count": 4, "wait": "1s"})).await;
    rig.publish(1..=4).await;
    let first = sink.next().await;
    rig.until("s", "failed", |status| status.retrying == 4).await;
    rig.parts.clock.advance(Duration::from_secs(2));
    let whole = sink.next().await;
    assert_eq!((first.numbers(), whole.numbers()), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
    assert_eq!(
        first.headers["webhook-id"], whole.headers["webhook-id"],
        "the same set is the same delivery"
    );
    rig.until("s", "failed again", |status| status.failed == 8).await;
    rig.parts.clock.advance(Duration::from_secs(2));
    rig.until("s", "the others are through", |status| status.delivered == 3)
        .await;
    assert_eq!(sink.numbers(4).await, [1, 2, 3, 4], "each alone");
    for failed in [10, 11] {
        rig.parts.clock.advance(Duration::from_secs(2));
        rig.until("s", "it fails alone", |status| status.failed == failed).await;
    }
    let dead = rig.dead().await;
    assert_eq!(
        dead.iter()
            .map(|letter| (letter.offset.0, letter.tries))
            .collect::<Vec<_>>(),
        [(3, 5)]
    );
    assert_eq!(sink.rest(), [3, 3]);
}

#[tokio::test]
async fn what_is_tried_again_together_is_no_larger_than_what_went_first() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(503)).await);
    subscribed(&rig, &sink, "1d", json!({"count": 100, "bytes": 1_024, "wait": "1s"})).await;
    rig.publish(1..=20).await;
    rig.until("s", "all have failed", |status| {
        // The last few wait for their time.
        rig.parts.clock.advance(Duration::from_secs(1));
        status.retrying == 20
    })
    .await;
    let most = sink.next().await.numbers().len();
    assert!(most > 1 && most < 20, "several, and not all: {most}");
    sink.rest();
    sink.says(Reply::Status(200));
    rig.parts.clock.advance(Duration::from_secs(3 * 86_400));
    rig.until("s", "done", |status| status.delivered == 20).await;
    let mut came = Vec::new();
    while came.len() < 20 {
        let batch = sink.next().await.numbers();
        assert!(batch.len() <= most, "{batch:?}, where {most} are as many as fit");
        came.extend(batch);
    }
    came.sort_unstable();
    assert_eq!(came, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_event_that_is_larger_than_a_batch_may_be_goes_alone() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(200)).await);
    subscribed(&rig, &sink, "1s", json!({"count": 100, "bytes": 1_024, "wait": "1s"})).await;
    for (nth, size) in [(1, 10), (2, 5_000), (3, 10)] {
        rig.publish_large(nth, size).await;
    }
    rig.until("s", "all are delivered", |status| {
        rig.parts.clock.advance(Duration::from_secs(1));
        status.delivered == 3
    })
    .await;
    let came = [sink.next().await, sink.next().await, sink.next().await].map(|got| got.numbers());
    assert_eq!(came, [[1], [2], [3]], "the large one shares with nobody");
}
