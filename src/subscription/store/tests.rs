//! The store against its promises: what was acknowledged is there after reopening, whole or not at all.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::subscription::{DeliveryConfig, State};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn subscription(id: &str) -> Subscription {
    let body = json!({"types": ["a.*"], "sink": "https://example.com/hook", "protocolsettings": {"auth": {"bearer": {"token": "t"}}}});
    Subscription::from_json(
        SubscriptionId(id.into()),
        BusName::default_bus(),
        &body,
        &DeliveryConfig::default(),
        NOW,
    )
    .unwrap()
}

fn id(id: &str) -> SubscriptionId {
    SubscriptionId(id.into())
}

fn letter(subscription: &str, offset: u64, reason: &str) -> DeadLetter {
    DeadLetter {
        id: 0,
        subscription: id(subscription),
        bus: BusName::default_bus(),
        offset: Offset(offset),
        at: NOW,
        reason: reason.into(),
        attempts: vec![attempt(12)],
        tries: 12,
        event: b"{}".to_vec(),
    }
}

fn attempt(number: u32) -> Attempt {
    Attempt {
        number,
        at: NOW.0,
        took_ms: 3,
        status: Some(503),
        outcome: "refused".into(),
        answer: Some("busy".into()),
    }
}

fn retry(subscription: &str, offset: u64, tries: u32) -> Retry {
    Retry {
        subscription: id(subscription),
        offset: Offset(offset),
        due: NOW,
        attempts: vec![attempt(tries)],
        tries,
        key: offset.is_multiple_of(2).then(|| "k".into()),
    }
}

async fn reopen(store: Store, path: &Path) -> (Store, Kept) {
    store.close().await;
    drop(store);
    Store::open(path).unwrap()
}

fn folder() -> (TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    (dir, path)
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let (_dir, path) = folder();
    let (store, kept) = Store::open(&path).unwrap();
    assert!(kept.subscriptions.is_empty());
    let mut paused = subscription("b");
    paused.state = State::Paused { reason: "gone".into() };
    store.put(&subscription("a"), Some(Offset(5))).await.unwrap();
    store.put(&paused, None).await.unwrap();
    let checkpoint = Checkpoint {
        floors: vec![(BusName::default_bus(), Offset(9))],
        cursors: vec![(id("b"), Some(Offset(7)))],
        retries: vec![retry("a", 3, 1), retry("a", 4, 2)],
        ..Checkpoint::default()
    };
    store.checkpoint(checkpoint).await.unwrap();
    let (store, kept) = reopen(store, &path).await;
    assert_eq!(kept.subscriptions, [subscription("a"), paused]);
    assert_eq!(kept.floors, [(BusName::default_bus(), Offset(9))]);
    assert_eq!(kept.cursors, [(id("a"), Offset(5)), (id("b"), Offset(7))]);
    assert_eq!(kept.retries, [retry("a", 3, 1), retry("a", 4, 2)]);
    store.delete(&id("a")).await.unwrap();
    let (_store, kept) = reopen(store, &path).await;
    assert_eq!(
        (kept.subscriptions.len(), kept.cursors.len(), kept.retries.len()),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn a_change_keeps_the_position_and_a_checkpoint_replaces() {
    let (_dir, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    store.put(&subscription("a"), Some(Offset(5))).await.unwrap();
    let mut changed = subscription("a");
    changed.updated = Timestamp(NOW.0 + 1);
    store.put(&changed, None).await.unwrap();
    for tries in [1, 2] {
        store
            .checkpoint(Checkpoint {
                retries: vec![retry("a", 3, tries)],
                ..Checkpoint::default()
            })
            .await
            .unwrap();
    }
    let (store, kept) = reopen(store, &path).await;
    assert_eq!(
        (&kept.subscriptions[..], &kept.cursors[..]),
        (&[changed][..], &[(id("a"), Offset(5))][..])
    );
    assert_eq!(kept.retries, [retry("a", 3, 2)]);
    let over = Checkpoint {
        cursors: vec![(id("a"), None)],
        settled: vec![(id("a"), Offset(3))],
        ..Checkpoint::default()
    };
    store.checkpoint(over).await.unwrap();
    let (_store, kept) = reopen(store, &path).await;
    assert_eq!((kept.cursors.len(), kept.retries.len()), (0, 0));
}

#[tokio::test]
async fn nothing_of_a_removed_subscription_comes_back() {
    let (_dir, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    store.put(&subscription("a"), Some(Offset(1))).await.unwrap();
    store.delete(&id("a")).await.unwrap();
    let late = Checkpoint {
        cursors: vec![(id("a"), Some(Offset(2)))],
        retries: vec![retry("a", 2, 1)],
        dead: vec![letter("a", 1, "late")],
        ..Checkpoint::default()
    };
    store.checkpoint(late).await.unwrap();
    assert_eq!(
        store.dead(DeadQuery::default(), 10).await.unwrap().len(),
        1,
        "dead letters outlive their subscription"
    );
    let (_store, kept) = reopen(store, &path).await;
    assert_eq!((kept.cursors.len(), kept.retries.len()), (0, 0));
}

#[tokio::test]
async fn dead_letters_are_chosen_paged_counted_and_dropped() {
    let (_dir, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    let dead = vec![
        letter("a", 1, "x"),
        letter("b", 1, "x"),
        letter("a", 2, "x"),
        letter("a", 1, "again"),
    ];
    store
        .checkpoint(Checkpoint {
            dead,
            ..Checkpoint::default()
        })
        .await
        .unwrap();
    let all = store.dead(DeadQuery::default(), 10).await.unwrap();
    let brief: Vec<_> = all
        .iter()
        .map(|letter| (letter.subscription.as_str(), letter.offset.0, letter.reason.as_str()))
        .collect();
    assert_eq!(brief, [("a", 1, "again"), ("b", 1, "x"), ("a", 2, "x")]);
    assert_eq!(
        DeadLetter {
            id: 0,
            ..all[0].clone()
        },
        letter("a", 1, "again")
    );
    let of_a = DeadQuery {
        subscription: Some(id("a")),
        ..DeadQuery::default()
    };
    let page = store.dead(of_a.clone(), 1).await.unwrap();
    let rest = store
        .dead(
            DeadQuery {
                after: Some(page[0].id),
                ..of_a.clone()
            },
            10,
        )
        .await
        .unwrap();
    assert_eq!((page.len(), rest.len()), (1, 1));
    assert_eq!(store.dead_counts().await.unwrap(), [(id("a"), 2), (id("b"), 1)]);
}

#[tokio::test]
async fn dead_letters_are_dropped_and_their_ids_not_used_again() {
    let (_dir, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    let dead = vec![letter("a", 1, "x"), letter("b", 1, "x"), letter("a", 2, "x")];
    store
        .checkpoint(Checkpoint {
            dead,
            ..Checkpoint::default()
        })
        .await
        .unwrap();
    let all = store.dead(DeadQuery::default(), 10).await.unwrap();
    let of_a = DeadQuery {
        subscription: Some(id("a")),
        ..DeadQuery::default()
    };
    let chosen = DeadQuery {
        ids: Some(vec![all[0].id, all[1].id, 999]),
        ..of_a.clone()
    };
    assert_eq!(
        store.drop_dead(chosen).await.unwrap(),
        1,
        "both must hold: the id and the subscription"
    );
    assert_eq!(
        store
            .drop_dead(DeadQuery {
                ids: Some(vec![]),
                ..DeadQuery::default()
            })
            .await
            .unwrap(),
        0
    );
    assert_eq!(store.drop_dead(DeadQuery::default()).await.unwrap(), 2);
    // Ids are not used again: a page that a reader goes on from stays where it was.
    store
        .checkpoint(Checkpoint {
            dead: vec![letter("c", 9, "x")],
            ..Checkpoint::default()
        })
        .await
        .unwrap();
    assert!(store.dead(DeadQuery::default(), 1).await.unwrap()[0].id > all[2].id);
}

#[tokio::test]
async fn many_writers_at_once_are_all_answered_and_kept() {
    let (_dir, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    let tasks = crate::tasks::Tasks::new();
    let writing: Vec<_> = (0..300)
        .map(|n| {
            let store = store.clone();
            tasks.spawn(async move { store.put(&subscription(&format!("s{n:03}")), Some(Offset(n))).await })
        })
        .collect();
    for written in writing {
        written.await.unwrap().unwrap();
    }
    let (_store, kept) = reopen(store, &path).await;
    assert_eq!((kept.subscriptions.len(), kept.cursors.len()), (300, 300));
}

#[tokio::test]
async fn a_process_that_dies_loses_nothing_it_acknowledged() {
    let (_dir, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    store.put(&subscription("a"), Some(Offset(5))).await.unwrap();
    // What the disk holds at this moment, without the store's knowing: as after kill -9.
    let copy = tempfile::tempdir().unwrap();
    for name in ["state.db", "state.db-wal"] {
        std::fs::copy(path.with_file_name(name), copy.path().join(name)).unwrap();
    }
    let (_copy, kept) = Store::open(&copy.path().join("state.db")).unwrap();
    assert_eq!((kept.subscriptions.len(), kept.cursors.len()), (1, 1));
}

#[tokio::test]
async fn a_torn_checkpoint_is_none() {
    let (_dir, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    store.put(&subscription("a"), Some(Offset(5))).await.unwrap();
    // Somebody holds the write lock past our patience only in principle; a trigger that fails in the middle stands
    // for any error within the transaction.
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON dead BEGIN SELECT RAISE(FAIL, 'disk full'); END")
        .unwrap();
    let checkpoint = Checkpoint {
        cursors: vec![(id("a"), Some(Offset(6)))],
        dead: vec![letter("a", 5, "x")],
        ..Checkpoint::default()
    };
    let error = store.checkpoint(checkpoint.clone()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message().contains("disk full")),
        ("store_unavailable", true),
        "{error}"
    );
    assert!(store.fault().unwrap().contains("disk full"));
    other.execute_batch("DROP TRIGGER full").unwrap();
    store.checkpoint(checkpoint).await.unwrap();
    assert_eq!(store.fault(), None, "a write that works clears the fault");
    let (_store, kept) = reopen(store, &path).await;
    assert_eq!(kept.cursors, [(id("a"), Offset(6))]);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let (_dir, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    store.close().await;
    store.close().await;
    let error = store.put(&subscription("a"), None).await.unwrap_err();
    assert!(error.message().contains("it is closed"), "{error}");
}

#[test]
fn a_file_of_a_later_version_is_refused() {
    let (_dir, path) = folder();
    let later = rusqlite::Connection::open(&path).unwrap();
    later.pragma_update(None, "user_version", 99).unwrap();
    drop(later);
    let error = Store::open(&path).err().unwrap();
    assert_eq!(
        (error.code(), error.message().contains("format 99")),
        ("store_newer", true),
        "{error}"
    );
}

#[test]
fn a_file_of_the_first_format_is_brought_up() {
    let (_dir, path) = folder();
    let first = schema::open(&path).unwrap();
    let stored = subscription("s").to_stored().to_string();
    rows::put(&first, &id("s"), &stored, None).unwrap();
    first
        .execute_batch(
            "ALTER TABLE subscription DROP COLUMN crc; ALTER TABLE floor DROP COLUMN crc;
             ALTER TABLE cursor DROP COLUMN crc; ALTER TABLE retry DROP COLUMN crc; ALTER TABLE dead DROP COLUMN crc;
             ALTER TABLE retry DROP COLUMN key; DROP TABLE document; DROP TABLE replay; DROP TABLE replay_retry;
             PRAGMA user_version = 1;
             INSERT INTO retry (subscription, offset, due, tries, attempts) VALUES ('s', 7, 1, 2, '[]');",
        )
        .unwrap();
    drop(first);
    let (_store, kept) = Store::open(&path).unwrap();
    let kept: Vec<_> = kept
        .retries
        .iter()
        .map(|one| (one.offset, one.tries, &one.key))
        .collect();
    assert_eq!(kept, [(Offset(7), 2, &None)]);
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let (_dir, path) = folder();
    std::fs::write(
        &path,
        "precious words, more than a hundred bytes of them, so that SQLite takes them for a damaged header of a file",
    )
    .unwrap();
    assert_eq!(Store::open(&path).err().unwrap().code(), "store_damaged");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("precious"));
}

#[test]
fn a_row_that_cannot_be_read_stops_nobody() {
    let (_dir, path) = folder();
    let connection = schema::open(&path).unwrap();
    rows::put(&connection, &id("bad"), "{\"v\":1}", None).unwrap();
    rows::put(&connection, &id("worse"), "not json", None).unwrap();
    rows::put(
        &connection,
        &id("good"),
        &subscription("good").to_stored().to_string(),
        None,
    )
    .unwrap();
    drop(connection);
    let (_store, kept) = Store::open(&path).unwrap();
    assert_eq!(kept.subscriptions, [subscription("good")]);
    let again = schema::open(&path).unwrap();
    let rows: u64 = again
        .query_row("SELECT count(*) FROM subscription", [], |row| row.get(0))
        .map(|n: i64| n.unsigned_abs())
        .unwrap();
    assert_eq!(rows, 3, "they are kept for a version that can read them");
}

#[derive(Debug, Clone)]
enum Step {
    Cursor(u8, Option<u64>),
    Retry(u8, u64),
    Settled(u8, u64),
    Delete(u8),
    Put(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0_u8..3;
    prop_oneof![
        (who.clone(), prop::option::of(0_u64..9)).prop_map(|(who, offset)| Step::Cursor(who, offset)),
        (who.clone(), 0_u64..4).prop_map(|(who, offset)| Step::Retry(who, offset)),
        (who.clone(), 0_u64..4).prop_map(|(who, offset)| Step::Settled(who, offset)),
        who.clone().prop_map(Step::Delete),
        who.prop_map(Step::Put),
        Just(Step::Reopen),
    ]
}

/// What the store should hold, in memory.
#[derive(Debug, Default, PartialEq)]
struct Model {
    there: std::collections::BTreeSet<u8>,
    cursors: std::collections::BTreeMap<u8, u64>,
    retries: std::collections::BTreeSet<(u8, u64)>,
}

impl Model {
    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Put(who) => {
                self.there.insert(who);
            }
            Step::Delete(who) => {
                self.there.remove(&who);
                self.cursors.remove(&who);
                self.retries.retain(|(whose, _)| *whose != who);
            }
            Step::Cursor(who, Some(offset)) if self.there.contains(&who) => {
                self.cursors.insert(who, offset);
            }
            Step::Cursor(who, None) => {
                self.cursors.remove(&who);
            }
            Step::Retry(who, offset) if self.there.contains(&who) => {
                self.retries.insert((who, offset));
            }
            Step::Settled(who, offset) => {
                self.retries.remove(&(who, offset));
            }
            Step::Cursor(..) | Step::Retry(..) | Step::Reopen => {}
        }
    }

    fn of(kept: &Kept) -> Self {
        let who = |id: &SubscriptionId| id.as_str().parse().unwrap();
        Self {
            there: kept.subscriptions.iter().map(|one| who(&one.id)).collect(),
            cursors: kept.cursors.iter().map(|(id, offset)| (who(id), offset.0)).collect(),
            retries: kept
                .retries
                .iter()
                .map(|retry| (who(&retry.subscription), retry.offset.0))
                .collect(),
        }
    }
}

async fn take(store: &Store, step: &Step) {
    let name = |who: u8| SubscriptionId(Arc::from(who.to_string()));
    let empty = Checkpoint::default();
    match *step {
        Step::Put(who) => store.put(&subscription(&who.to_string()), None).await.unwrap(),
        Step::Delete(who) => store.delete(&name(who)).await.unwrap(),
        Step::Cursor(who, offset) => store
            .checkpoint(Checkpoint {
                cursors: vec![(name(who), offset.map(Offset))],
                ..empty
            })
            .await
            .unwrap(),
        Step::Retry(who, offset) => store
            .checkpoint(Checkpoint {
                retries: vec![retry(&who.to_string(), offset, 1)],
                ..empty
            })
            .await
            .unwrap(),
        Step::Settled(who, offset) => store
            .checkpoint(Checkpoint {
                settled: vec![(name(who), Offset(offset))],
                ..empty
            })
            .await
            .unwrap(),
        Step::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_store_holds_what_a_map_would(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (_dir, path) = folder();
            let (mut store, _) = Store::open(&path).unwrap();
            let mut model = Model::default();
            for step in steps.iter().chain([&Step::Reopen]) {
                take(&store, step).await;
                model.apply(step);
                if matches!(step, Step::Reopen) {
                    let kept;
                    (store, kept) = reopen(store, &path).await;
                    prop_assert_eq!(&Model::of(&kept), &model);
                }
            }
            Ok(())
        })?;
    }
}

/// Whatever a bit that flips makes of a row: the file is not served from, but for a dead letter, which is left out.
#[tokio::test]
async fn a_row_that_changed_on_disk_is_damage() {
    let check = async |sql: &str| {
        let (_dir, path) = folder();
        let (store, _) = Store::open(&path).unwrap();
        store.put(&subscription("s"), Some(Offset(4))).await.unwrap();
        store
            .put_document("kind", "key", Some(&serde_json::json!({"a": 1})))
            .await
            .unwrap();
        let checkpoint = Checkpoint {
            floors: vec![(BusName::default_bus(), Offset(9))],
            retries: vec![retry("s", 6, 2), retry("s", 7, 2)],
            dead: vec![letter("s", 5, "no"), letter("s", 6, "no")],
            ..Checkpoint::default()
        };
        store.checkpoint(checkpoint).await.unwrap();
        store.close().await;
        assert!(super::check(&path).is_ok());
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let checked = super::check(&path).err().map(|error| error.code());
        let (store, _) = Store::open(&path).map_err(|error| (error.code(), checked))?;
        Ok::<_, (&str, Option<&str>)>(store.dead(DeadQuery::default(), 10).await.unwrap().len())
    };
    for sql in [
        "UPDATE subscription SET json = replace(json, 'http', 'htto')",
        "UPDATE floor SET offset = 8",
        "UPDATE floor SET bus = 'other'",
        "UPDATE cursor SET offset = offset + 1",
        "UPDATE retry SET offset = 8 WHERE offset = 7",
        "UPDATE retry SET due = due + 1",
        "UPDATE retry SET key = 'j' WHERE key = 'k'",
        "UPDATE document SET json = '{\"a\":2}'",
    ] {
        assert_eq!(check(sql).await, Err(("store_damaged", Some("store_damaged"))), "{sql}");
    }
    for sql in [
        "UPDATE dead SET event = x'00' WHERE offset = 5",
        "UPDATE dead SET offset = 8 WHERE offset = 5",
        "UPDATE dead SET reason = 'yes' WHERE offset = 5",
    ] {
        assert_eq!(check(sql).await, Ok(1), "{sql}");
    }
    assert_eq!(check("VACUUM").await, Ok(2));
}
