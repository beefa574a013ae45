//! Against a plain vector: any order of appends, reads, restarts and pauses.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Appends by several producers at once, each with these ids.
    Append(Vec<Vec<u8>>),
    Read {
        from: u64,
        records: usize,
    },
    Pause(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let ids = proptest::collection::vec(0..60_u8, 1..8);
    prop_oneof![
        4 => proptest::collection::vec(ids, 1..5).prop_map(Step::Append),
        3 => (0..80_u64, 1..20_usize).prop_map(|(from, records)| Step::Read { from, records }),
        1 => (1..50_u64).prop_map(Step::Pause),
        1 => Just(Step::Reopen),
    ]
}

/// What the log should hold: the ids in the order of their offsets, and when each was last accepted.
#[derive(Default)]
struct Model {
    ids: Vec<String>,
    accepted: HashMap<String, (u64, i64)>,
}

impl Model {
    /// Takes in what a producer was told. Within one append the order is known; between them the offsets say.
    fn check_append(&mut self, now: i64, mut told: Vec<(String, u64, bool)>) {
        told.sort_by_key(|(_, offset, duplicate)| (*offset, *duplicate));
        for (id, offset, duplicate) in told {
            let known = self.accepted.get(&id).filter(|(_, at)| now - at < 60_000);
            match (duplicate, known) {
                (true, Some((first, _))) => assert_eq!(offset, *first),
                (false, None) => {
                    self.ids.push(id.clone());
                    assert_eq!(offset, self.ids.len() as u64);
                    self.accepted.insert(id, (offset, now));
                }
                other => panic!("{id} at {offset}: {other:?}"),
            }
        }
    }
}

async fn run(steps: Vec<Step>) {
    let mut log = Fixture::new();
    let mut model = Model::default();
    assert_eq!(log.end(), 1);
    for step in steps {
        match step {
            Step::Append(producers) => {
                let appends = producers.iter().map(|ids| {
                    let ids: Vec<_> = ids.iter().map(u8::to_string).collect();
                    let events = ids.iter().map(|id| event(id, 500)).collect();
                    let append = log.log.append(&log.bus, events);
                    async move { ids.into_iter().zip(append.await.unwrap()).collect::<Vec<_>>() }
                });
                let told = futures_util::future::join_all(appends).await;
                let told = told.into_iter().flatten();
                let told = told.map(|(id, place)| (id, place.offset.0, place.duplicate));
                model.check_append(log.clock.now().0, told.collect());
            }
            Step::Read { from, records } => {
                let batch = log
                    .read(
                        from,
                        ReadLimit {
                            records,
                            bytes: 1 << 30,
                        },
                    )
                    .await;
                let read: Vec<_> = batch.records.iter().map(|record| record.event.id()).collect();
                let begin = usize::try_from(from.max(1) - 1).unwrap().min(model.ids.len());
                let most = &model.ids[begin..model.ids.len().min(begin + records)];
                assert_eq!(batch.gap, None);
                assert_eq!(read[..], most[..read.len()]);
                assert!(!read.is_empty() || most.is_empty());
                assert_eq!(batch.next.0, from.max(1) + read.len() as u64);
            }
            Step::Pause(seconds) => log.clock.advance(Duration::from_secs(seconds)),
            Step::Reopen => log.reopen().await,
        }
    }
    let ids: Vec<_> = log.read_all(1).await.0.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, model.ids);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_vector(steps in proptest::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
