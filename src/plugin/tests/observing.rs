//! Observed calls: the answer, the cost and the trace of each, apart from what serves deliveries.

use super::super::{Effects, Line, Workbench, World};
use super::*;

/// Asks for the value at the pointer that its summary is, logs its summary, and drops the event with it.
fn curious() -> Vec<u8> {
    Filter {
        summary: "/n",
        reads: "(call $at (local.get $event) (i32.const 1024) (i32.const 2) (i32.const 512))",
        evaluate: "(call $log (i32.const 2) (i32.const 1024) (i32.const 2))
            (return (call $verdict (i32.const 1) (i32.const 1024) (i32.const 2)))",
        ..Filter::default()
    }
    .build()
}

/// Traps at the event with the id `2`, and passes any other.
fn touchy() -> Vec<u8> {
    Filter {
        reads: "(if (i32.eq (i32.load8_u (local.get $id)) (i32.const 50)) (then unreachable))",
        ..Filter::default()
    }
    .build()
}

fn workbench(tasks: &Tasks) -> Workbench {
    let client = Client::new(Guard::new(GuardSettings::default()));
    Workbench::open(None, client, Clock::system(), tasks.clone()).unwrap()
}

#[tokio::test]
async fn an_answer_comes_with_what_was_asked_for() {
    let bench = Bench::open(&[("f", curious())], &[]).await;
    let mut observer = bench
        .plugins
        .observer(World::Filter, "f", &"".into(), Effects::Suppressed)
        .unwrap();
    assert_eq!(observer.observed().generation, 1);
    assert_eq!(Some(observer.observed().digest), bench.status("f").digest);
    let seen = observer
        .evaluate(vec![event("1", r#"{"n": 5}"#), event("2", "{}")])
        .await;
    for one in &seen {
        assert_eq!(one.result, dropped("/n"));
        let (level, text) = ("warn", "/n".to_owned());
        assert_eq!(one.trace.logs, [Line { level, text }]);
        assert_eq!((one.trace.host_calls["at"], one.trace.host_calls["log"]), (1, 1));
        assert!(one.memory >= 2 << 16, "{}", one.memory);
    }
    assert!(
        seen[0].started.is_some() && seen[1].started.is_none(),
        "the second call is warm"
    );
    assert_eq!(
        bench.status("f").calls,
        0,
        "an observed call is none of the plugin's own"
    );
    drop(observer);
    assert_eq!(bench.status("f").instances, 0);
}

#[tokio::test]
async fn a_call_that_fails_costs_its_instance_alone() {
    let tasks = Tasks::new();
    let specimen = workbench(&tasks)
        .load("f", touchy().into(), PluginSettings::default())
        .await
        .unwrap();
    let mut observer = specimen.observer(&"".into(), Effects::Suppressed);
    assert!(observer.start().await.result.is_ok());
    let events = ["1", "2", "3"].map(|id| event(id, "{}")).to_vec();
    let seen = observer.evaluate(events).await;
    let told: Vec<_> = seen
        .iter()
        .map(|one| (one.result.is_ok(), one.started.is_some()))
        .collect();
    assert_eq!(told, [(true, false), (false, false), (true, true)]);
    assert!(matches!(seen[1].result, Err(CallError::Trap(_))));
}

#[tokio::test]
async fn what_cannot_be_loaded_is_refused_in_words() {
    let tasks = Tasks::new();
    let refused = workbench(&tasks)
        .load("f", "nothing".into(), PluginSettings::default())
        .await;
    let error = refused.err().unwrap();
    assert_eq!(error.code(), "plugin_invalid");
    assert!(error.message().contains("not WebAssembly"), "{error}");
}

#[tokio::test]
async fn nobody_observes_what_is_not_loaded() {
    let bench = Bench::open(&[("f", curious())], &[]).await;
    for (world, name) in [(World::Filter, "g"), (World::Notifier, "f")] {
        let refused = bench.plugins.observer(world, name, &"".into(), Effects::Real);
        assert_eq!(refused.err(), Some(CallError::NotLoaded(name.to_owned())));
    }
}
