//! Files that come, change and go while calls flow.

use std::io::Write;

use super::*;

/// What of the live plugin a call says.
async fn answers(bench: &Bench, words: &str) {
    assert_eq!(bench.ask("p").await, dropped(words));
}

#[tokio::test]
async fn what_is_there_is_loaded_before_the_start_is_over() {
    let mut bench = Bench::open(&[("p", dropping("a")), ("q", dropping("b"))], &[]).await;
    answers(&bench, "a").await;
    assert_eq!(bench.ask("q").await, dropped("b"));
    let mut loaded = [bench.loaded().await, bench.loaded().await];
    loaded.sort();
    assert_eq!(loaded, [("p".to_owned(), 1), ("q".to_owned(), 1)]);
}

#[tokio::test]
async fn a_rename_over_the_file_swaps() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    let mut changes = bench.plugins.changes();
    changes.mark_unchanged();
    bench.replace("p", &dropping("b"));
    assert_eq!(bench.loaded().await, ("p".to_owned(), 2));
    assert!(changes.has_changed().unwrap());
    answers(&bench, "b").await;
}

#[tokio::test]
async fn a_file_written_in_halves_is_loaded_whole_in_the_end() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    let bytes = dropping("b");
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut file = std::fs::File::create(bench.file("p")).unwrap();
    file.write_all(first).unwrap();
    file.sync_all().unwrap();
    // It rests half done for longer than files usually do: told, and the old one serves on.
    let (reason, serving) = bench.rejected().await;
    assert!(reason.contains("cut off") && serving, "{reason}");
    answers(&bench, "a").await;
    assert_eq!(bench.status("p").state, "rejected");
    file.write_all(second).unwrap();
    drop(file);
    assert_eq!(bench.loaded().await, ("p".to_owned(), 2));
    answers(&bench, "b").await;
    assert_eq!(bench.status("p").state, "active");
}

#[tokio::test]
async fn a_symlink_swapped_under_the_file_swaps() {
    let home = TempDir::new().unwrap();
    let plugins = home.path().join("plugins");
    for (version, words) in [("v1", "a"), ("v2", "b")] {
        std::fs::create_dir_all(plugins.join(version)).unwrap();
        std::fs::write(plugins.join(version).join("p.wasm"), dropping(words)).unwrap();
    }
    // As Kubernetes mounts a config map: NAME -> ..data/NAME, ..data -> a version.
    std::os::unix::fs::symlink("v1", plugins.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/p.wasm", plugins.join("p.wasm")).unwrap();
    let mut bench = Bench::open_in(home, &[]).await;
    bench.loaded().await;
    answers(&bench, "a").await;
    std::os::unix::fs::symlink("v2", plugins.join("..tmp")).unwrap();
    std::fs::rename(plugins.join("..tmp"), plugins.join("..data")).unwrap();
    assert_eq!(bench.loaded().await, ("p".to_owned(), 2));
    answers(&bench, "b").await;
}

#[tokio::test]
async fn a_removed_file_unloads_and_may_come_back() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    std::fs::remove_file(bench.file("p")).unwrap();
    assert!(matches!(bench.notice().await, Notice::Removed { name } if name == "p"));
    assert_eq!(bench.ask("p").await, Err(CallError::NotLoaded("p".to_owned())));
    assert!(bench.plugins.status().is_empty());
    bench.replace("p", &dropping("a"));
    assert_eq!(
        bench.loaded().await,
        ("p".to_owned(), 2),
        "generations are never counted anew"
    );
    answers(&bench, "a").await;
}

#[tokio::test]
async fn a_directory_may_come_late_and_go_and_come_back() {
    let mut bench = Bench::open_in(TempDir::new().unwrap(), &[]).await;
    let folder = bench.home.path().join("plugins");
    assert!(!folder.exists(), "it is the operator's to make");
    for generation in 1..=2 {
        std::fs::create_dir(&folder).unwrap();
        bench.replace("p", &dropping("a"));
        assert_eq!(bench.loaded().await, ("p".to_owned(), generation));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(bench.notice().await, Notice::Removed { .. }));
    }
}

#[tokio::test]
async fn a_bad_file_leaves_the_good_one_serving() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    bench.replace("p", b"no component");
    let (reason, serving) = bench.rejected().await;
    assert!(reason.contains("not WebAssembly") && serving, "{reason}");
    answers(&bench, "a").await;
    let status = bench.status("p");
    assert_eq!(
        (status.state, status.reason, status.generation),
        ("rejected", Some(reason), 1)
    );
    bench.replace("p", &dropping("b"));
    assert_eq!(bench.loaded().await, ("p".to_owned(), 2));
    answers(&bench, "b").await;
}

#[tokio::test]
async fn going_back_to_the_good_bytes_clears_the_reason() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    bench.replace("p", b"no component");
    bench.rejected().await;
    let mut changes = bench.plugins.changes();
    changes.mark_unchanged();
    bench.replace("p", &dropping("a"));
    changes.changed().await.unwrap();
    let status = bench.status("p");
    assert_eq!((status.state, status.reason, status.generation), ("active", None, 1));
}

#[tokio::test]
async fn the_same_bytes_are_no_news() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    bench.replace("p", &dropping("a"));
    bench.replace("q", &dropping("b"));
    // The load of `q` begins no earlier than that of `p` would have.
    assert_eq!(bench.loaded().await, ("q".to_owned(), 1));
    bench.replace("q", &dropping("c"));
    assert_eq!(bench.loaded().await, ("q".to_owned(), 2));
    assert_eq!(bench.status("p").generation, 1);
}

#[tokio::test]
async fn a_call_in_flight_ends_on_its_own_generation() {
    // The first generation computes for a while, then answers "a".
    let evaluate = "(loop $on (br_if $on (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 60000000)))) \
                    (return (call $verdict (i32.const 1) (i32.const 1024) (i32.const 1)))";
    let slow = Filter {
        summary: "a",
        evaluate,
        ..Filter::default()
    }
    .build();
    let mut settings = PluginSettings::default();
    settings.limits.timeout = Some(std::time::Duration::from_secs(60));
    let mut bench = Bench::open(&[("p", slow)], &[("p", settings)]).await;
    bench.loaded().await;
    let plugins = bench.plugins.clone();
    let before = bench
        .tasks
        .spawn(async move { plugins.evaluate("p", &"".into(), vec![event("1", "{}"); 40]).await });
    bench.replace("p", &dropping("b"));
    bench.loaded().await;
    answers(&bench, "b").await;
    assert_eq!(before.await.unwrap(), vec![dropped("a"); 40]);
    assert_eq!(
        bench.status("p").instances,
        1,
        "the old generation's instances are gone"
    );
}

/// Callers that never pause see fifty swaps as nothing but another answer.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_swaps_cost_no_call() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    let stop = Tasks::new();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (plugins, stop) = (bench.plugins.clone(), stop.clone());
            bench.tasks.spawn(async move {
                let mut calls = 0_u32;
                while !stop.is_stopping() {
                    let answers = plugins.evaluate("p", &"".into(), vec![event("1", "{}"); 8]).await;
                    assert!(
                        answers.iter().all(|answer| answer == &answers[0]),
                        "one batch, one generation"
                    );
                    assert!(
                        answers[0] == dropped("a") || answers[0] == dropped("b"),
                        "{:?}",
                        answers[0]
                    );
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for swap in 0..50_u64 {
        bench.replace("p", &dropping(if swap % 2 == 0 { "b" } else { "a" }));
        assert_eq!(bench.loaded().await.1, swap + 2);
    }
    stop.stop();
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    let status = bench.status("p");
    assert_eq!((status.errors, status.generation), (0, 51));
    assert!(status.instances <= 4, "{} instances", status.instances);
}

/// An editor that writes in place: the same inode, shorter for a moment, then longer.
#[tokio::test]
async fn a_file_written_in_place_swaps() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    std::fs::write(bench.file("p"), dropping("bb")).unwrap();
    assert_eq!(bench.loaded().await, ("p".to_owned(), 2));
    answers(&bench, "bb").await;
    std::fs::write(bench.file("p"), dropping("c")).unwrap();
    assert_eq!(bench.loaded().await, ("p".to_owned(), 3));
    answers(&bench, "c").await;
}

#[tokio::test]
async fn of_two_quick_changes_the_last_stays() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    for words in ["b", "c"] {
        bench.replace("p", &dropping(words));
    }
    assert_eq!(bench.loaded().await, ("p".to_owned(), 2));
    answers(&bench, "c").await;
    // Deleted and made again in one breath: the same name, another inode, other bytes.
    std::fs::remove_file(bench.file("p")).unwrap();
    bench.replace("p", &dropping("d"));
    assert_eq!(bench.loaded().await, ("p".to_owned(), 3));
    answers(&bench, "d").await;
}
