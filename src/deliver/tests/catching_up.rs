//! Lanes that read the log by themselves: new ones, slow ones, removed ones.

use serde_json::json;

use super::rig::{Reply, Rig, Sink, id};
use crate::deliver::lane::QUEUE_RECORDS;
use crate::log::Offset;

#[tokio::test]
async fn a_subscription_begins_where_it_wants_to() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(200)).await);
    rig.publish(1..=1_000).await;
    let wanted = json!({"sink": sink.url, "config": {"concurrency": 1}});
    rig.subscribe("earliest", wanted.clone(), 1).await;
    assert_eq!(sink.numbers(1_000).await, (1..=1_000).collect::<Vec<_>>());
    rig.subscribe("later", wanted.clone(), 900).await;
    assert_eq!(sink.numbers(101).await, (900..=1_000).collect::<Vec<_>>());
    rig.delivery.remove(&id("earliest"));
    rig.delivery.remove(&id("later"));
    rig.subscribe("latest", wanted, 1_001).await;
    rig.publish([1_001]).await;
    assert_eq!(sink.numbers(1).await, [1_001]);
    assert_eq!(sink.rest(), Vec::<u64>::new(), "those that were removed get nothing");
    assert!(rig.delivery.status(&id("later")).is_none());
    assert_eq!(rig.delivery.list().len(), 1);
}

#[tokio::test]
async fn a_lane_that_is_full_loses_nothing_and_holds_little() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Hang).await);
    let count = 3 * QUEUE_RECORDS as u64;
    let wanted = json!({"types": ["odd"], "sink": sink.url, "config": {"concurrency": 2, "timeout": "1s"}});
    rig.subscribe("s", wanted, 1).await;
    rig.publish(1..=2 * count).await;
    sink.next().await;
    rig.until("s", "full", |status| status.state == "catching_up").await;
    let taken = rig.delivery.0.lane(&id("s")).unwrap().lock().window.outstanding();
    assert!(taken <= QUEUE_RECORDS + 2, "{taken}");
    sink.says(Reply::Status(200));
    // The two that hang time out and wait for their retry; everything else comes.
    let status = rig
        .until("s", "caught up", |status| {
            status.delivered == count - 2 && status.behind == 0
        })
        .await;
    assert_eq!(status.retrying, 2);
    rig.parts.clock.advance(std::time::Duration::from_secs(3_600));
    rig.until("s", "done", |status| {
        status.delivered == count && status.state == "idle"
    })
    .await;
    let mut numbers = sink.rest();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (1..=2 * count).step_by(2).collect::<Vec<_>>());
}

#[tokio::test]
async fn live_and_log_hand_over_without_a_gap_or_a_repeat() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(200)).await);
    let publishing = async {
        for some in 0..200 {
            rig.publish(some * 10 + 1..=some * 10 + 10).await;
        }
    };
    let subscribing = async {
        for nth in 0..10_u64 {
            let wanted = json!({"sink": format!("{}?{nth}", sink.url), "config": {"concurrency": 4}});
            rig.subscribe(&format!("s{nth}"), wanted, 1).await;
        }
    };
    tokio::join!(publishing, subscribing);
    for nth in 0..10 {
        rig.until(&format!("s{nth}"), "done", |status| {
            status.delivered >= 2_000 && status.behind == 0
        })
        .await;
    }
    let mut numbers = sink.rest();
    numbers.sort_unstable();
    let want: Vec<u64> = (1..=2_000).flat_map(|n| std::iter::repeat_n(n, 10)).collect();
    assert!(numbers == want, "{} instead of {}", numbers.len(), want.len());
}

#[tokio::test]
async fn a_change_applies_to_what_comes_next_and_keeps_the_place() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(200)).await);
    let mut wanted = json!({"types": ["odd"], "sink": sink.url, "config": {"concurrency": 1}});
    rig.subscribe("s", wanted.clone(), 1).await;
    rig.publish(1..=4).await;
    assert_eq!(sink.numbers(2).await, [1, 3]);
    rig.until("s", "idle", |status| status.behind == 0 && status.state == "idle")
        .await;
    wanted["types"] = json!(["even"]);
    let now = rig.parts.clock.now();
    let defaults = crate::subscription::DeliveryConfig::default();
    let bus = super::rig::bus();
    let changed = crate::subscription::Subscription::from_json(id("s"), bus, &wanted, &defaults, now).unwrap();
    rig.delivery.put(changed, None);
    rig.publish(5..=8).await;
    assert_eq!(sink.numbers(2).await, [6, 8]);
    assert_eq!(
        rig.until("s", "idle", |status| status.behind == 0).await.cursor,
        Offset(9)
    );
}

#[tokio::test]
async fn a_new_sink_does_not_wait_for_the_old_one() {
    let (rig, mut silent) = (Rig::new().await, Sink::new(Reply::Hang).await);
    let mut good = Sink::new(Reply::Status(200)).await;
    let to = |sink: &Sink, rate: &str| json!({"sink": sink.url, "config": {"concurrency": 2, "timeout": "5m", "rate": rate}});
    rig.subscribe("s", to(&silent, "none"), 1).await;
    rig.publish(1..=4).await;
    silent.numbers(2).await;
    let put = |wanted: &serde_json::Value| {
        let now = rig.parts.clock.now();
        let defaults = crate::subscription::DeliveryConfig::default();
        let bus = super::rig::bus();
        let changed = crate::subscription::Subscription::from_json(id("s"), bus, wanted, &defaults, now).unwrap();
        rig.delivery.put(changed, None);
    };
    // Another rate is no reason to call the same sink twice.
    put(&to(&silent, "100/s"));
    put(&to(&good, "100/s"));
    let mut numbers = good.numbers(4).await;
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    rig.until("s", "done", |status| status.delivered == 4 && status.behind == 0)
        .await;
    assert_eq!(silent.rest(), Vec::<u64>::new(), "called again");
}
