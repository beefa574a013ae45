//! Bad guests: each is stopped with the right error, costs nobody else anything, and works again at the next call.

use std::time::Duration;

use super::super::{Limits, World};
use super::*;

/// Misbehaves on the event "bad" (two words of its id are read), passes all others.
const BAD: &str = "(if (i32.eq (i32.load8_u (local.get $id)) (i32.const 98 (; b ;))) (then ";

fn tight() -> PluginSettings {
    let limits = Limits {
        memory: 1 << 20,
        timeout: Some(Duration::from_millis(50)),
        output: 1 << 16,
        ..Limits::default()
    };
    PluginSettings {
        limits,
        ..PluginSettings::default()
    }
}

/// Runs good, bad, good through one batch: the bad one fails as `expected`, the others pass, and nothing is kept.
async fn check(filter: Filter, body: &str, expected: impl Fn(&CallError) -> bool) {
    let evaluate: &'static str = Box::leak(format!("{BAD} {body} ))").into_boxed_str());
    let bytes = Filter { evaluate, ..filter }.build();
    let bench = Bench::open(&[("bad", bytes)], &[("bad", tight())]).await;
    let events = [event("good", "{}"), event("bad", "{}"), event("good", "{}")];
    assert_eq!(bench.status("bad").reason, None);
    for round in 0..3 {
        let answers = bench.evaluate("bad", &events).await;
        assert_eq!(answers[0], Ok(Verdict::Pass), "{body} in round {round}");
        assert_eq!(answers[2], Ok(Verdict::Pass), "{body} in round {round}");
        let error = answers[1].as_ref().unwrap_err();
        assert!(expected(error), "{body} gave {error:?}");
    }
    let status = bench.status("bad");
    assert_eq!((status.calls, status.errors), (9, 3));
    assert!(status.instances <= 1, "{} instances", status.instances);
    assert!(status.memory <= 1 << 20, "{} bytes", status.memory);
}

#[tokio::test]
async fn an_endless_loop_is_stopped() {
    let body = "(loop $for_ever (br $for_ever))";
    check(Filter::default(), body, |error| {
        *error == CallError::Deadline(Duration::from_millis(50))
    })
    .await;
}

#[tokio::test]
async fn a_trap_is_told() {
    check(
        Filter::default(),
        "unreachable",
        |error| matches!(error, CallError::Trap(why) if why.contains("unreachable")),
    )
    .await;
    check(
        Filter::default(),
        "(drop (i32.load (i32.const -8)))",
        |error| matches!(error, CallError::Trap(why) if why.contains("out of bounds")),
    )
    .await;
}

#[tokio::test]
async fn deep_recursion_is_a_trap() {
    let module = "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))";
    let filter = Filter {
        module,
        ..Filter::default()
    };
    check(
        filter,
        "(drop (call $deep (i32.const 1)))",
        |error| matches!(error, CallError::Trap(why) if why.contains("stack")),
    )
    .await;
}

#[tokio::test]
async fn a_hoarder_is_told_of_its_limit() {
    let body = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
    check(
        Filter::default(),
        body,
        |error| matches!(error, CallError::Memory(why) if why.contains("limits.memory")),
    )
    .await;
}

#[tokio::test]
async fn many_memories_count_together() {
    // Eight pages in each of two: either alone would fit, both together do not.
    let module = "(memory $more 1)";
    let body = "(drop (memory.grow (i32.const 8))) \
                (if (i32.eq (memory.grow $more (i32.const 8)) (i32.const -1)) (then unreachable))";
    check(
        Filter {
            module,
            ..Filter::default()
        },
        body,
        |error| matches!(error, CallError::Memory(_)),
    )
    .await;
}

#[tokio::test]
async fn tables_count_too() {
    let module = "(table $table 1 funcref)";
    let body = "(if (i32.eq (table.grow $table (ref.null func) (i32.const 200000)) (i32.const -1)) (then unreachable))";
    let errors = |error: &CallError| matches!(error, CallError::Memory(_) | CallError::Trap(_));
    check(
        Filter {
            module,
            ..Filter::default()
        },
        body,
        errors,
    )
    .await;
}

#[tokio::test]
async fn a_giant_answer_is_refused() {
    let body = "(return (call $verdict (i32.const 2) (i32.const 0) (i32.const 131072)))";
    check(
        Filter::default(),
        body,
        |error| matches!(error, CallError::Trap(why) if why.contains("limits.output")),
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_is_no_text_is_refused() {
    let module = r#"(data (i32.const 2048) "\ff\ff")"#;
    let body = "(return (call $verdict (i32.const 1) (i32.const 2048) (i32.const 2)))";
    check(
        Filter {
            module,
            ..Filter::default()
        },
        body,
        |error| matches!(error, CallError::Trap(why) if why.contains("utf-8")),
    )
    .await;
}

#[tokio::test]
async fn an_answer_from_nowhere_is_refused() {
    let body = "(return (call $verdict (i32.const 1) (i32.const -16) (i32.const 8)))";
    check(Filter::default(), body, |error| matches!(error, CallError::Trap(_))).await;
    check(
        Filter::default(),
        "(return (call $verdict (i32.const 77) (i32.const 0) (i32.const 0)))",
        |error| matches!(error, CallError::Trap(_)),
    )
    .await;
}

#[tokio::test]
async fn an_error_is_the_guests_own_word() {
    let body = "(return (call $answer (i32.const 192) (i32.const 1) (i32.const 1024) (i32.const 6)))";
    check(Filter::default(), body, |error| {
        *error == CallError::Guest("a test".to_owned())
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_log_lines_ends_in_time() {
    let body = "(loop $again (call $log (i32.const 1) (i32.const 0) (i32.const 60000)) (br $again))";
    check(Filter::default(), body, |error| matches!(error, CallError::Deadline(_))).await;
    let body = "(call $log (i32.const 1) (i32.const 0) (i32.const 100000))";
    check(
        Filter::default(),
        body,
        |error| matches!(error, CallError::Trap(why) if why.contains("limits.output")),
    )
    .await;
}

#[tokio::test]
async fn init_may_refuse_in_its_own_words() {
    let init = "(return (call $answer (i32.const 128) (i32.const 1) (local.get $config) (local.get $config_len)))";
    let bytes = Filter {
        init,
        ..Filter::default()
    }
    .build();
    let bench = Bench::open(&[("picky", bytes)], &[]).await;
    let config = r#"{"limit":3}"#.into();
    let refused = CallError::Config(r#"{"limit":3}"#.to_owned());
    assert_eq!(
        bench.plugins.check(World::Filter, "picky", &config).await,
        Err(refused.clone())
    );
    let answers = bench
        .plugins
        .evaluate("picky", &config, vec![event("1", "{}"); 3])
        .await;
    assert_eq!(answers, vec![Err(refused); 3]);
    assert_eq!(bench.status("picky").instances, 0);
}

#[tokio::test]
async fn init_is_under_the_limits() {
    let check = async |init: &'static str, expected: fn(&CallError) -> bool| {
        let bench = Bench::open(
            &[(
                "slow",
                Filter {
                    init,
                    ..Filter::default()
                }
                .build(),
            )],
            &[("slow", tight())],
        )
        .await;
        let error = bench
            .plugins
            .check(World::Filter, "slow", &"".into())
            .await
            .unwrap_err();
        assert!(expected(&error), "{init} gave {error:?}");
        assert_eq!(bench.status("slow").instances, 0);
    };
    check("(loop $for_ever (br $for_ever))", |error| {
        matches!(error, CallError::Deadline(_))
    })
    .await;
    check("unreachable", |error| matches!(error, CallError::Trap(_))).await;
}

#[tokio::test]
async fn describe_is_under_the_limits() {
    let check = async |describe: &'static str, says: &str| {
        let mut bench = Bench::open(
            &[(
                "odd",
                Filter {
                    describe,
                    ..Filter::default()
                }
                .build(),
            )],
            &[("odd", tight())],
        )
        .await;
        let (reason, serving) = bench.rejected().await;
        assert!(
            reason.contains("describe failed") && reason.contains(says) && !serving,
            "{reason}"
        );
    };
    check("(loop $for_ever (br $for_ever))", "longer than its limit").await;
    check("unreachable", "unreachable").await;
    check("(i32.store (i32.const 64) (i32.const 0)) (i32.store (i32.const 68) (i32.const 131072)) (return (i32.const 64))", "limits.output").await;
}

#[tokio::test]
async fn a_start_function_is_under_the_limits() {
    let module = "(func $start (loop $for_ever (br $for_ever))) (start $start)";
    let mut bench = Bench::open(
        &[(
            "odd",
            Filter {
                module,
                ..Filter::default()
            }
            .build(),
        )],
        &[],
    )
    .await;
    let (reason, _) = bench.rejected().await;
    assert!(reason.contains("longer than its limit"), "{reason}");
}

/// While one plugin loops on every event, another answers: it never waits for the first one's batch to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_looping_plugin_holds_up_nobody_else() {
    let looping = Filter {
        evaluate: "(loop $for_ever (br $for_ever))",
        ..Filter::default()
    }
    .build();
    let mut settings = tight();
    settings.limits.instances = 64;
    let bench = Bench::open(
        &[("looping", looping), ("sound", dropping("s"))],
        &[("looping", settings)],
    )
    .await;
    assert_eq!(bench.ask("sound").await, dropped("s"));
    let plugins = bench.plugins.clone();
    let endless = bench.tasks.spawn(async move {
        let config = "{}".into();
        let batches = (0..32).map(|_| plugins.evaluate("looping", &config, vec![event("1", "{}"); 1_000]));
        futures_util::future::join_all(batches).await
    });
    for _ in 0..200 {
        assert_eq!(bench.ask("sound").await, dropped("s"));
    }
    assert!(
        !endless.is_finished(),
        "the sound plugin had to wait for the looping one"
    );
    endless.abort();
}
