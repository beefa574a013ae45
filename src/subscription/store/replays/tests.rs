//! Replays as `state.db` keeps them: begun, moved on, ended, over a reopening.

use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::subscription::{Checkpoint, Store, Subscription};

fn subscription(id: &str) -> Subscription {
    let json = json!({"sink": "http://h/"});
    let id = SubscriptionId(id.into());
    Subscription::from_json(id, BusName::default_bus(), &json, &Default::default(), Timestamp(1)).unwrap()
}

fn replay(id: &str, subscription: &str) -> Replay {
    Replay {
        id: ReplayId(id.into()),
        subscription: SubscriptionId(subscription.into()),
        bus: BusName::default_bus(),
        from: Offset(3),
        to: Offset(9),
        rate: Some("1/s".into()),
        filter: Some(json!({"exact": {"type": "a"}})),
        started: 7,
    }
}

fn retry(subscription: &str, offset: u64) -> Retry {
    Retry {
        subscription: SubscriptionId(subscription.into()),
        offset: Offset(offset),
        due: Timestamp(50),
        attempts: Vec::new(),
        tries: 2,
        key: Some("k".into()),
    }
}

fn step(id: &str, position: u64, retries: Vec<Retry>, settled: Vec<u64>) -> Checkpoint {
    let step = ReplayStep {
        id: ReplayId(id.into()),
        progress: ReplayProgress {
            delivered: 1,
            ..ReplayProgress::at(Offset(position))
        },
        retries,
        settled: settled.into_iter().map(Offset).collect(),
    };
    Checkpoint {
        replays: vec![step],
        ..Checkpoint::default()
    }
}

fn ended(state: ReplayState) -> ReplayProgress {
    ReplayProgress {
        state,
        ended: Some(99),
        ..ReplayProgress::at(Offset(9))
    }
}

async fn fresh() -> (tempfile::TempDir, PathBuf, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let (store, _) = Store::open(&path).unwrap();
    for id in ["s", "t"] {
        store.put(&subscription(id), Some(Offset(1))).await.unwrap();
    }
    (dir, path, store)
}

async fn kept(store: &Store, path: &std::path::Path) -> Vec<KeptReplay> {
    store.close().await;
    Store::open(path).unwrap().1.replays
}

#[tokio::test]
async fn a_replay_is_kept_with_what_waits_and_apart_from_its_subscription_and_others() {
    let (_dir, path, store) = fresh().await;
    for (id, whose) in [("a", "s"), ("b", "t")] {
        store
            .put_replay(&replay(id, whose), &ReplayProgress::at(Offset(3)))
            .await
            .unwrap();
    }
    for checkpoint in [
        step("a", 5, vec![retry("s", 3), retry("s", 4)], vec![]),
        step("b", 4, vec![retry("t", 3)], vec![]),
        step("a", 6, vec![], vec![3]),
        Checkpoint {
            retries: vec![retry("s", 4)],
            settled: vec![(SubscriptionId("t".into()), Offset(3))],
            ..Checkpoint::default()
        },
    ] {
        store.checkpoint(checkpoint).await.unwrap();
    }
    let kept = kept(&store, &path).await;
    let of: Vec<_> = kept.iter().map(|one| (&one.replay, one.progress.position)).collect();
    assert_eq!(of, [(&replay("a", "s"), Offset(6)), (&replay("b", "t"), Offset(4))]);
    assert_eq!(
        (&kept[0].retries, &kept[1].retries),
        (&vec![retry("s", 4)], &vec![retry("t", 3)])
    );
    assert_eq!(kept[0].progress.delivered, 1);
}

#[tokio::test]
async fn what_has_ended_is_written_to_no_more_and_goes_with_its_subscription() {
    let (_dir, path, store) = fresh().await;
    for (id, whose) in [("a", "s"), ("b", "t"), ("c", "s")] {
        let at = ReplayProgress::at(Offset(3));
        store.put_replay(&replay(id, whose), &at).await.unwrap();
        store
            .checkpoint(step(id, 4, vec![retry(whose, 3)], vec![]))
            .await
            .unwrap();
    }
    let cancelled = ended(ReplayState::Cancelled);
    store.put_replay(&replay("a", "s"), &cancelled).await.unwrap();
    // What was collected before, and comes later.
    store
        .checkpoint(step("a", 5, vec![retry("s", 4)], vec![]))
        .await
        .unwrap();
    store
        .put_replay(&replay("a", "s"), &ended(ReplayState::Done))
        .await
        .unwrap();
    store.delete(&SubscriptionId("t".into())).await.unwrap();
    store
        .checkpoint(step("b", 5, vec![retry("t", 4)], vec![]))
        .await
        .unwrap();
    let gone = replay("d", "t");
    store.put_replay(&gone, &ReplayProgress::at(Offset(3))).await.unwrap();
    let kept = kept(&store, &path).await;
    let of: Vec<_> = kept.iter().map(|one| (&*one.replay.id.0, one.retries.len())).collect();
    assert_eq!(of, [("a", 0), ("c", 1)]);
    assert_eq!(kept[0].progress, cancelled);
}

#[tokio::test]
async fn of_those_that_have_ended_the_last_are_kept() {
    let (_dir, path, store) = fresh().await;
    store
        .put_replay(&replay("running", "s"), &ReplayProgress::at(Offset(3)))
        .await
        .unwrap();
    for nth in 0..ENDED_KEPT + 5 {
        let done = ReplayProgress {
            ended: Some(i64::try_from(nth).unwrap()),
            ..ended(ReplayState::Done)
        };
        store
            .put_replay(&replay(&format!("e{nth:03}"), "s"), &done)
            .await
            .unwrap();
    }
    let kept = kept(&store, &path).await;
    assert_eq!((kept.len(), &*kept[0].replay.id.0), (ENDED_KEPT + 1, "e005"));
    assert!(kept.iter().any(|one| &*one.replay.id.0 == "running"));
}
