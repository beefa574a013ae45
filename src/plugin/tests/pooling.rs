//! Instances: made when needed, bounded, given back, recycled, and dropped when nobody wants them.

use std::time::Duration;

use super::super::World;
use super::*;

/// Counts its own calls in a global and drops with the count as one letter: `a` is an instance's first call.
const COUNTING: Filter = Filter {
    summary: "a",
    describe: "",
    init: "",
    reads: "",
    evaluate: "(i32.store8 (i32.const 2048) (i32.add (global.get $calls) (i32.const 97))) \
               (global.set $calls (i32.add (global.get $calls) (i32.const 1))) \
               (return (call $verdict (i32.const 1) (i32.const 2048) (i32.const 1)))",
    module: "(global $calls (mut i32) (i32.const 0))",
};

#[tokio::test]
async fn an_instance_is_used_again_and_init_runs_once() {
    let bench = Bench::open(&[("p", COUNTING.build())], &[]).await;
    assert_eq!(
        bench.evaluate("p", &[event("1", "{}"), event("2", "{}")]).await,
        [dropped("a"), dropped("b")]
    );
    assert_eq!(bench.ask("p").await, dropped("c"));
    bench.plugins.check(World::Filter, "p", &"".into()).await.unwrap();
    assert_eq!(bench.ask("p").await, dropped("d"));
    assert_eq!(bench.status("p").instances, 1);
}

#[tokio::test]
async fn every_config_has_instances_of_its_own() {
    let bench = Bench::open(&[("p", COUNTING.build())], &[]).await;
    for config in ["{}", r#"{"n":1}"#, r#"{"n":2}"#] {
        let answers = bench
            .plugins
            .evaluate("p", &config.into(), vec![event("1", "{}")])
            .await;
        assert_eq!(answers, [dropped("a")], "{config}");
    }
    assert_eq!(bench.status("p").instances, 3);
}

#[tokio::test]
async fn no_more_instances_than_the_limit_and_then_busy() {
    let mut settings = PluginSettings::default();
    settings.limits.instances = 1;
    settings.limits.timeout = Some(Duration::from_millis(100));
    let looping = Filter {
        evaluate: "(loop $for_ever (br $for_ever))",
        ..Filter::default()
    }
    .build();
    let bench = Bench::open(&[("p", looping)], &[("p", settings)]).await;
    let (plugins, config): (_, Arc<str>) = (bench.plugins.clone(), "".into());
    let both =
        [vec![event("1", "{}"); 20], vec![event("1", "{}")]].map(|events| plugins.evaluate("p", &config, events));
    let answers = futures_util::future::join_all(both).await;
    assert!(
        answers[0]
            .iter()
            .all(|answer| *answer == Err(CallError::Deadline(Duration::from_millis(100))))
    );
    assert_eq!(answers[1], [Err(CallError::Busy)]);
    assert_eq!(
        bench.ask("p").await,
        Err(CallError::Deadline(Duration::from_millis(100))),
        "the slot came back"
    );
}

#[tokio::test]
async fn what_nobody_uses_is_dropped() {
    let bench = Bench::open(&[("p", COUNTING.build())], &[]).await;
    for number in 0..100 {
        let config = format!("{{\"n\":{number}}}").into();
        bench.plugins.check(World::Filter, "p", &config).await.unwrap();
    }
    let generation = bench.plugins.0.live.generation("p").unwrap();
    assert_eq!((bench.status("p").instances, generation.pools()), (100, 100));
    let now = bench.plugins.0.clock.instant();
    generation.sweep(now);
    assert_eq!(
        (bench.status("p").instances, generation.pools()),
        (100, 100),
        "they were used just now"
    );
    generation.shed(100, 0);
    assert_eq!(bench.status("p").instances, 0, "there was no room");
    generation.sweep(now + Duration::from_secs(61));
    assert_eq!((bench.status("p").memory, generation.pools()), (0, 0));
    assert_eq!(bench.ask("p").await, dropped("a"));
}

/// Settings under which so many instances may live.
fn at_most(total_instances: usize) -> PluginSettings {
    let mut settings = PluginSettings::default();
    settings.limits.total_instances = total_instances;
    settings
}

/// Has an instance made for each of so many configs.
async fn fill(bench: &Bench, name: &str, configs: usize) -> usize {
    let mut turned_away = 0;
    for number in 0..configs {
        let config = format!("{{\"n\":{number}}}").into();
        match bench.plugins.check(World::Filter, name, &config).await {
            Ok(()) => {}
            Err(CallError::Busy) => {
                turned_away += 1;
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    turned_away
}

#[tokio::test]
async fn more_configs_than_instances_take_turns() {
    let bench = Bench::open(&[("p", COUNTING.build())], &[("p", at_most(10))]).await;
    assert_eq!(fill(&bench, "p", 100).await, 0, "the longest unused went");
    assert!(bench.status("p").instances <= 10);
    // The one used last is still there: it remembers its calls.
    let ask = async |number: usize| {
        let config = format!("{{\"n\":{number}}}").into();
        bench.plugins.evaluate("p", &config, vec![event("1", "{}")]).await
    };
    assert_eq!(ask(99).await, [dropped("a")]);
    assert_eq!(ask(0).await, [dropped("a")]);
    assert_eq!(ask(99).await, [dropped("b")]);
}

#[tokio::test]
async fn instances_share_their_memory() {
    let mut settings = PluginSettings::default();
    // Each has two pages; four times that, and room for one more to grow to its limit.
    settings.limits.memory = 1 << 20;
    settings.limits.total_memory = (1 << 20) + (8 << 16);
    let bench = Bench::open(&[("p", COUNTING.build())], &[("p", settings)]).await;
    assert_eq!(fill(&bench, "p", 100).await, 0);
    let status = bench.status("p");
    assert!(status.instances <= 5 && status.memory <= 10 << 16, "{status:?}");
}

#[tokio::test]
async fn a_crowd_gives_way() {
    let bench = Bench::open(
        &[("p", COUNTING.build()), ("q", COUNTING.build())],
        &[("p", at_most(1_500)), ("q", at_most(1_500))],
    )
    .await;
    // More than may live in the engine: some find no room, until those that were not used for longest have been
    // dropped, of whatever plugin.
    assert_eq!(fill(&bench, "p", 1_500).await, 0);
    assert!(fill(&bench, "q", 700).await > 0);
    assert!(bench.status("p").instances < 1_500);
    assert_eq!(bench.ask("q").await, dropped("a"));
}

#[tokio::test]
async fn the_event_is_read_through_the_handle() {
    // `at` answers into 256: whether there is something, where, and how long; its text is the verdict.
    let reads = "(call $at (local.get $event) (i32.const 2048) (i32.const 4) (i32.const 256))";
    let evaluate = "(if (i32.eqz (i32.load8_u (i32.const 256))) (then (return (call $verdict (i32.const 0) (i32.const 0) (i32.const 0))))) \
                    (return (call $verdict (i32.const 2) (i32.load (i32.const 260)) (i32.load (i32.const 264))))";
    let module = r#"(data (i32.const 2048) "/a/b")"#;
    let bench = Bench::open(
        &[(
            "p",
            Filter {
                reads,
                evaluate,
                module,
                ..Filter::default()
            }
            .build(),
        )],
        &[],
    )
    .await;
    let events = [
        event("1", r#"{"a": {"b": [1, "x"]}}"#),
        event("2", "{}"),
        event("3", "\"no object\""),
    ];
    let answers = bench.evaluate("p", &events).await;
    assert_eq!(
        answers,
        [
            Ok(Verdict::Replace(r#"[1,"x"]"#.into())),
            Ok(Verdict::Pass),
            Ok(Verdict::Pass)
        ]
    );
}

#[tokio::test]
async fn an_empty_batch_and_an_unknown_name_are_answered() {
    let bench = Bench::open(&[("p", COUNTING.build())], &[]).await;
    assert!(bench.evaluate("p", &[]).await.is_empty());
    assert_eq!(
        bench.evaluate("q", &[event("1", "{}"), event("2", "{}")]).await,
        vec![Err(CallError::NotLoaded("q".to_owned())); 2]
    );
    assert_eq!(
        bench.plugins.check(World::Notifier, "p", &"".into()).await,
        Err(CallError::NotLoaded("p".to_owned()))
    );
}
