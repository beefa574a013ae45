//! Schedules that somebody else has promised: so many attempts, so far apart, whatever the breaker of others would say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::rig::{Reply, Rig, Sink, id};

/// More than a breaker lets fail in a row.
const EVENTS: u64 = 20;

/// Publishes to a sink that refuses everything, and lets each wait pass; the attempts that came of each event after
/// each wait.
async fn attempts(config: &Value, waits: &[u64]) -> Vec<BTreeMap<u64, u32>> {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(503)).await);
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
    rig.publish(1..=EVENTS).await;
    let mut came = Vec::new();
    for wait in [&[0], waits].concat() {
        rig.parts.clock.advance(Duration::from_secs(wait));
        let mut counts = BTreeMap::new();
        for number in sink.numbers(usize::try_from(EVENTS).unwrap()).await {
            *counts.entry(number).or_default() += 1;
        }
        came.push(counts);
        let told = u64::try_from(came.len()).unwrap() * EVENTS;
        rig.until("s", "counted", |status| status.failed == told).await;
    }
    rig.parts.clock.advance(Duration::from_secs(86_400));
    let status = rig.until("s", "given up", |status| status.dead == EVENTS).await;
    assert_eq!((status.retrying, sink.rest()), (0, Vec::new()), "and not once more");
    assert_eq!(rig.delivery.status(&id("s")).unwrap().state, "idle");
    came
}

#[tokio::test]
async fn each_attempt_of_a_strategy_is_made_when_it_is_due() {
    let each_once: BTreeMap<u64, u32> = (1..=EVENTS).map(|nth| (nth, 1)).collect();
    // EventBridge's two, the second cut short.
    let backoff = json!({"schedule": ["10s..20s"], "max_attempts": 4, "jitter": false, "breaker": "off"});
    let decay = json!({"schedule": ["1s", "2s", "4s", "8s"], "max_attempts": 5, "jitter": false, "breaker": "off"});
    for (config, waits) in [(backoff, &[20, 20, 20][..]), (decay, &[1, 2, 4, 8])] {
        let came = attempts(&config, waits).await;
        assert_eq!(came, vec![each_once.clone(); waits.len() + 1], "{config}");
    }
}
