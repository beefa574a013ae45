//! Notifiers, and guests that wait in the host: answers, limits on the wall clock, and grants.

use std::time::Duration;

use super::super::{Delivery, Limits, NotifyError, World};
use super::*;

/// A notifier by the body of `notify`; an empty one delivers. Its answer lies at 192.
fn notifier(notify: &str, imports: &str, world: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
    {imports}
    (import "busway:plugin/events@0.1.0" "[resource-drop]event" (func $drop_event (param i32)))
    {PRELUDE}
    (data (i32.const 1024) "mailbox full")
    (func (export "busway:plugin/notifier@0.1.0#describe") (result i32) (i32.const 64))
    (func (export "busway:plugin/notifier@0.1.0#init") (param i32 i32) (result i32) (i32.const 128))
    (func $failure (param $retry i32) (param $wait i32) (result i32)
        (i32.store8 (i32.const 192) (i32.const 1))
        (i32.store (i32.const 200) (i32.const 1024))
        (i32.store (i32.const 204) (i32.const 12))
        (i32.store8 (i32.const 208) (local.get $retry))
        (i32.store8 (i32.const 216) (i32.ne (local.get $wait) (i32.const 0)))
        (i64.store (i32.const 224) (i64.extend_i32_u (local.get $wait)))
        (i32.const 192))
    (func (export "busway:plugin/notifier@0.1.0#notify")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (param $event i32)
        (param $subscription i32) (param $subscription_len i32) (param $attempt i32) (param $id i32) (param $id_len i32) (result i32)
        (global.set $next (i32.const 65536))
        (call $drop_event (local.get $event))
        {notify}
        (i32.store8 (i32.const 192) (i32.const 0))
        (i32.const 192)))"#
    );
    component_of(&text, world)
}

/// A world that may sleep: as much of WASI as that takes.
const SLEEPY: &str = "
    package test:sleepy;
    world sleepy-notifier { include busway:plugin/notifier-plugin@0.1.0; import wasi:clocks/monotonic-clock@0.2.0; }
    world sleepy-filter { include busway:plugin/filter-plugin@0.1.0; import wasi:clocks/monotonic-clock@0.2.0; }
    world caller { include busway:plugin/notifier-plugin@0.1.0; import wasi:http/outgoing-handler@0.2.0; }
";
const WASI: [&str; 3] = [
    "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }",
    "package wasi:clocks@0.2.0; interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; subscribe-duration: func(when: u64) -> pollable; }",
    "package wasi:http@0.2.0; interface outgoing-handler { handle: func(); }",
];
const SLEEP: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop_timer (param i32)))
"#;

pub(super) fn component_of(text: &str, world: &str) -> Vec<u8> {
    component_with(text, world, &[WASI.as_slice(), &[SLEEPY]].concat())
}

fn sleeping(nanos: u64) -> String {
    format!(
        "(local.set $attempt (call $timer (i64.const {nanos}))) (call $block (local.get $attempt)) (call $drop_timer (local.get $attempt))"
    )
}

fn within(millis: u64) -> PluginSettings {
    PluginSettings {
        limits: Limits {
            timeout: Some(Duration::from_millis(millis)),
            ..Limits::default()
        },
        ..PluginSettings::default()
    }
}

async fn notify(bench: &Bench) -> Result<(), NotifyError> {
    let delivery = Delivery {
        subscription: "s".to_owned(),
        attempt: 7,
        id: "d".to_owned(),
    };
    bench.plugins.notify("n", &"".into(), &event("1", "{}"), delivery).await
}

async fn check(body: &str, expected: Result<(), NotifyError>) {
    let bench = Bench::open(&[("n", notifier(body, "", "notifier-plugin"))], &[("n", within(2_000))]).await;
    for _ in 0..3 {
        assert_eq!(notify(&bench).await, expected, "{body}");
    }
    let failures = if expected.is_ok() { 0 } else { 3 };
    let status = bench.status("n");
    assert_eq!(
        (status.kind, status.calls, status.errors, status.instances),
        (Some("notifier"), 3, failures, 1)
    );
}

#[tokio::test]
async fn its_answer_is_told_as_it_is() {
    let failure = |retry, wait: u64| {
        let retry_after = (wait > 0).then(|| Duration::from_millis(wait));
        Err(NotifyError::Failure {
            reason: "mailbox full".to_owned(),
            retry,
            retry_after,
        })
    };
    check("", Ok(())).await;
    check("(return (call $failure (i32.const 1) (i32.const 0)))", failure(true, 0)).await;
    check(
        "(return (call $failure (i32.const 0) (i32.const 0)))",
        failure(false, 0),
    )
    .await;
    check(
        "(return (call $failure (i32.const 1) (i32.const 1500)))",
        failure(true, 1_500),
    )
    .await;
    // It sees which attempt this is.
    check(
        "(return (call $failure (i32.eq (local.get $attempt) (i32.const 7)) (i32.const 0)))",
        failure(true, 0),
    )
    .await;
}

/// Every call fails as `expected`, and no instance is left.
async fn fails(bytes: Vec<u8>, expected: impl Fn(&CallError) -> bool) {
    let bench = Bench::open(&[("n", bytes)], &[("n", within(50))]).await;
    assert_eq!(bench.status("n").reason, None);
    for _ in 0..3 {
        match notify(&bench).await {
            Err(NotifyError::Call(error)) if expected(&error) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.status("n").instances, 0);
}

#[tokio::test]
async fn a_trap_and_a_loop_cost_the_instance() {
    fails(notifier("unreachable", "", "notifier-plugin"), |error| {
        matches!(error, CallError::Trap(_))
    })
    .await;
    let looping = notifier("(loop $for_ever (br $for_ever))", "", "notifier-plugin");
    fails(looping, |error| matches!(error, CallError::Deadline(_))).await;
}

#[tokio::test]
async fn waiting_in_the_host_is_under_the_limit_too() {
    let asleep = notifier(&sleeping(3_600_000_000_000), SLEEP, "sleepy-notifier");
    fails(asleep, |error| matches!(error, CallError::Deadline(_))).await;
    let bench = Bench::open(&[("n", notifier(&sleeping(1_000_000), SLEEP, "sleepy-notifier"))], &[]).await;
    assert_eq!(notify(&bench).await, Ok(()));
}

/// Limits under which a call may wait long and compute little.
fn computing(cpu: Duration) -> PluginSettings {
    let mut settings = within(30_000);
    settings.limits.cpu = Some(cpu);
    settings
}

#[tokio::test]
async fn computing_is_bounded_apart_from_waiting() {
    let (little, cpu) = (Duration::from_millis(40), CallError::Cpu(Duration::from_millis(40)));
    let looping = notifier("(loop $for_ever (br $for_ever))", "", "notifier-plugin");
    let bench = Bench::open(&[("n", looping)], &[("n", computing(little))]).await;
    assert_eq!(notify(&bench).await, Err(NotifyError::Call(cpu)));
    let status = bench.status("n");
    assert_eq!(status.errors_by_kind, [("cpu", 1)].into());
    assert!(status.cpu_ms >= 40, "{} ms", status.cpu_ms);
    // Waits for ten times as long as it may compute.
    let asleep = notifier(&sleeping(400_000_000), SLEEP, "sleepy-notifier");
    let bench = Bench::open(&[("n", asleep)], &[("n", computing(Duration::from_secs(5)))]).await;
    assert_eq!(notify(&bench).await, Ok(()));
    let waited = bench.status("n");
    assert!(waited.cpu_ms < 400, "{} ms computing", waited.cpu_ms);
}

#[tokio::test]
async fn many_deliveries_wait_side_by_side() {
    let mut settings = within(30_000);
    settings.limits.instances = 16;
    let asleep = notifier(&sleeping(50_000_000), SLEEP, "sleepy-notifier");
    let bench = Bench::open(&[("n", asleep)], &[("n", settings)]).await;
    let answers = futures_util::future::join_all((0..64).map(|_| notify(&bench))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let status = bench.status("n");
    assert!((2..=16).contains(&status.instances), "{} instances", status.instances);
}

#[tokio::test]
async fn a_filter_that_waits_is_under_the_limit_and_off_the_runtime() {
    let body = "(local.set $n (call $timer (i64.const 3600000000000))) (call $block (local.get $n))";
    let bench = Bench::open(
        &[(
            "f",
            Filter {
                evaluate: body,
                ..Filter::default()
            }
            .build_in("sleepy-filter", SLEEP),
        )],
        &[("f", within(50))],
    )
    .await;
    assert_eq!(bench.status("f").reason, None);
    let answers = bench.evaluate("f", &vec![event("1", "{}"); 3]).await;
    assert_eq!(answers, vec![Err(CallError::Deadline(Duration::from_millis(50))); 3]);
    assert_eq!(bench.status("f").instances, 0);
}

#[tokio::test]
async fn a_missing_grant_is_named_with_the_line_that_gives_it() {
    let imports = r#"(import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle))"#;
    let caller = notifier("(call $handle)", imports, "caller");
    let mut bench = Bench::open(&[("n", caller.clone())], &[]).await;
    let (reason, _) = bench.rejected().await;
    assert_eq!(
        reason,
        "n imports wasi:http/outgoing-handler, which is not granted; allow it in the config: \
         [plugins.n.grants]\nhttp = [\"https://hooks.example.com\"]"
    );
    let error = super::super::inspect(&notifier("", "", "notifier-plugin")).map(|inspection| inspection.needed_grants);
    assert_eq!(error.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_notifier_is_no_filter() {
    let bench = Bench::open(&[("n", notifier("", "", "notifier-plugin"))], &[]).await;
    assert_eq!(bench.ask("n").await, Err(CallError::NotLoaded("n".to_owned())));
    bench.plugins.check(World::Notifier, "n", &"".into()).await.unwrap();
}
