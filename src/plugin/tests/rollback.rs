//! Generations that fail where the one before them worked.

use std::time::Duration;

use super::*;
use crate::plugin::Rollback;

fn crashing(summary: &'static str) -> Vec<u8> {
    Filter {
        summary,
        evaluate: "unreachable",
        ..Filter::default()
    }
    .build()
}

fn policy(window: Duration) -> PluginSettings {
    PluginSettings {
        rollback: Rollback::On {
            window,
            calls: 20,
            failures: 0.5,
        },
        ..PluginSettings::default()
    }
}

/// So many calls, one after another; how many failed.
async fn call(bench: &Bench, times: usize) -> usize {
    let mut failed = 0;
    for _ in 0..times {
        failed += usize::from(bench.ask("p").await.is_err());
    }
    failed
}

async fn on_probation(bench: &Bench) -> bool {
    let (by, _) = bench.plugins.judge("p", &"".into(), vec![event("1", "{}")]).await;
    by.on_probation
}

/// A host whose generation 1 has worked thirty times, and whose generation 2 crashes.
async fn swapped_for_the_worse(settings: PluginSettings) -> Bench {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[("p", settings)]).await;
    bench.loaded().await;
    assert_eq!(call(&bench, 30).await, 0);
    bench.replace("p", &crashing("bad"));
    assert_eq!(bench.loaded().await.1, 2);
    bench
}

#[tokio::test]
async fn it_goes_back_and_stays_back_until_the_file_is_touched() {
    let mut bench = swapped_for_the_worse(policy(Duration::from_secs(600))).await;
    assert!(on_probation(&bench).await);
    assert_eq!(call(&bench, 18).await, 18);
    assert_eq!(bench.status("p").generation, 2, "19 calls are too few to tell");
    call(&bench, 1).await;
    let Notice::RolledBack {
        generation,
        serving,
        reason,
        ..
    } = bench.notice().await
    else {
        panic!("not rolled back")
    };
    assert_eq!((generation, serving), (2, 3));
    assert!(
        reason.contains("20 of 20 calls failed") && reason.contains("failed 0 of 30") && reason.contains("unreachable"),
        "{reason}"
    );
    assert_eq!(bench.loaded().await, ("p".to_owned(), 3));
    assert_eq!(bench.ask("p").await, dropped("a"));
    assert!(!on_probation(&bench).await);
    let status = bench.status("p");
    assert_eq!(
        (status.state, status.reason, status.generation),
        ("rolled_back", Some(reason), 3)
    );

    // The same bytes in another file are not what anybody asked for.
    bench.replace("p", &crashing("bad"));
    bench.replace("q", &dropping("q"));
    assert_eq!(bench.loaded().await, ("q".to_owned(), 1));
    bench.replace("q", &dropping("r"));
    assert_eq!(bench.loaded().await, ("q".to_owned(), 2));
    assert_eq!(
        (bench.status("p").state, bench.status("p").generation),
        ("rolled_back", 3)
    );
}

#[tokio::test]
async fn a_touch_has_it_tried_again_and_a_mended_file_goes_live() {
    let mut bench = swapped_for_the_worse(policy(Duration::from_secs(600))).await;
    call(&bench, 20).await;
    assert!(matches!(bench.notice().await, Notice::RolledBack { .. }));
    bench.loaded().await;
    let file = std::fs::File::options().append(true).open(bench.file("p")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(bench.loaded().await, ("p".to_owned(), 4));
    assert_eq!(bench.status("p").state, "active");
    assert_eq!(call(&bench, 20).await, 20);
    let Notice::RolledBack { reason, .. } = bench.notice().await else {
        panic!("not rolled back")
    };
    assert!(
        reason.contains("before it failed 0 of 30"),
        "what it did before counts: {reason}"
    );
    assert_eq!(bench.loaded().await.1, 5);
    bench.replace("p", &dropping("b"));
    assert_eq!(bench.loaded().await.1, 6);
    assert_eq!(bench.ask("p").await, dropped("b"));
    assert_eq!(bench.status("p").state, "active");
}

#[tokio::test]
async fn of_several_bad_ones_it_goes_back_to_the_last_that_worked() {
    let mut bench = swapped_for_the_worse(policy(Duration::from_secs(600))).await;
    call(&bench, 5).await;
    bench.replace("p", &crashing("worse"));
    assert_eq!(bench.loaded().await.1, 3);
    call(&bench, 20).await;
    assert!(matches!(
        bench.notice().await,
        Notice::RolledBack {
            generation: 3,
            serving: 4,
            ..
        }
    ));
    bench.loaded().await;
    assert_eq!(bench.ask("p").await, dropped("a"));
}

#[tokio::test]
async fn what_refuses_every_config_does_not_go_live() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[("p", policy(Duration::from_secs(600)))]).await;
    bench.loaded().await;
    call(&bench, 20).await;
    let init = "(return (call $answer (i32.const 128) (i32.const 1) (i32.const 1024) (i32.const 2)))";
    let picky = Filter {
        summary: "no",
        init,
        ..Filter::default()
    };
    bench.replace("p", &picky.build());
    let (reason, serving) = bench.rejected().await;
    assert!(reason.contains("refused its config: no") && serving, "{reason}");
    assert_eq!(bench.ask("p").await, dropped("a"));
}

#[tokio::test]
async fn what_outlives_its_window_stays() {
    let bench = swapped_for_the_worse(policy(Duration::from_millis(1))).await;
    while on_probation(&bench).await {
        tokio::task::yield_now().await;
    }
    call(&bench, 50).await;
    assert_eq!((bench.status("p").generation, bench.status("p").state), (2, "active"));
}

#[tokio::test]
async fn without_proof_or_wish_nothing_goes_back() {
    let off = PluginSettings {
        rollback: Rollback::Off,
        ..PluginSettings::default()
    };
    let bench = swapped_for_the_worse(off).await;
    call(&bench, 50).await;
    assert_eq!(bench.status("p").generation, 2);
    // The one before was never called: nobody knows whether it did better.
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    bench.replace("p", &crashing("bad"));
    bench.loaded().await;
    call(&bench, 50).await;
    assert_eq!(bench.status("p").generation, 2);
}
