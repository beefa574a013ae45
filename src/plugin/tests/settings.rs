//! The operator's word: configs, limits and grants, at the start and while running; and the code kept between starts.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::super::{Grants, World};
use super::*;

/// Refuses every config, giving the config itself as the reason: what `init` was told.
fn telling() -> Vec<u8> {
    let init = "(return (call $answer (i32.const 128) (i32.const 1) (local.get $config) (local.get $config_len)))";
    Filter {
        init,
        ..Filter::default()
    }
    .build()
}

fn configured(config: serde_json::Value) -> PluginSettings {
    PluginSettings {
        config: config.as_object().unwrap().clone(),
        ..PluginSettings::default()
    }
}

async fn told(bench: &Bench, own: &str) -> serde_json::Value {
    match bench.plugins.check(World::Filter, "p", &own.into()).await {
        Err(CallError::Config(words)) => serde_json::from_str(&words).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn init_is_told_both_configs_as_one() {
    let bench = Bench::open(
        &[("p", telling())],
        &[("p", configured(json!({"host": "a", "port": 1})))],
    )
    .await;
    assert_eq!(told(&bench, "").await, json!({"host": "a", "port": 1}));
    assert_eq!(
        told(&bench, r#"{"port": 2, "to": "x"}"#).await,
        json!({"host": "a", "port": 2, "to": "x"})
    );
}

#[tokio::test]
async fn new_settings_make_a_new_generation_of_what_they_concern() {
    let mut bench = Bench::open(&[("p", telling()), ("q", dropping("q"))], &[]).await;
    bench.loaded().await;
    bench.loaded().await;
    assert_eq!(told(&bench, "").await, json!({}));
    bench
        .plugins
        .reconfigure(by_name(&[("p", configured(json!({"n": 1})))]))
        .await;
    assert_eq!(bench.loaded().await, ("p".to_owned(), 2));
    assert_eq!(told(&bench, "").await, json!({"n": 1}));
    bench
        .plugins
        .reconfigure(by_name(&[("p", configured(json!({"n": 1})))]))
        .await;
    assert_eq!(
        (bench.status("p").generation, bench.status("q").generation),
        (2, 1),
        "what is the same stays"
    );
    bench.plugins.reconfigure(BTreeMap::new()).await;
    assert_eq!(
        told(&bench, "").await,
        json!({}),
        "settings that are gone are the defaults again"
    );
}

#[tokio::test]
async fn settings_that_cannot_be_unload_and_good_ones_bring_it_back() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    let grants = Grants {
        http: vec!["everywhere".to_owned()],
        ..Grants::default()
    };
    bench
        .plugins
        .reconfigure(by_name(&[(
            "p",
            PluginSettings {
                grants,
                ..PluginSettings::default()
            },
        )]))
        .await;
    let (reason, serving) = bench.rejected().await;
    assert!(reason.contains("grants.http") && !serving, "{reason}");
    assert_eq!(bench.ask("p").await, Err(CallError::NotLoaded("p".to_owned())));
    bench.plugins.reconfigure(BTreeMap::new()).await;
    assert_eq!(bench.loaded().await, ("p".to_owned(), 2));
    assert_eq!(bench.ask("p").await, dropped("a"));
}

/// A file that is being loaded under the old settings never serves under them once the new ones are in force.
#[tokio::test]
async fn settings_are_in_force_whatever_is_loading() {
    let bench = Bench::open(&[("p", telling())], &[]).await;
    for number in 0..20 {
        let summary = if number % 2 == 0 { "even" } else { "odd" };
        let init = "(return (call $answer (i32.const 128) (i32.const 1) (local.get $config) (local.get $config_len)))";
        bench.replace(
            "p",
            &Filter {
                init,
                summary,
                ..Filter::default()
            }
            .build(),
        );
        if number % 3 == 0 {
            // The load has begun, or is over: the counter is as good as a coin.
            bench.plugins.changes().changed().await.unwrap();
        }
        bench
            .plugins
            .reconfigure(by_name(&[("p", configured(json!({"n": number})))]))
            .await;
        assert_eq!(told(&bench, "").await, json!({"n": number}));
    }
}

#[tokio::test]
async fn new_settings_leave_a_refused_file_refused() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    bench.replace("p", b"no component");
    let (reason, _) = bench.rejected().await;
    bench
        .plugins
        .reconfigure(by_name(&[("p", configured(json!({"n": 1})))]))
        .await;
    let status = bench.status("p");
    assert_eq!(
        (status.generation, status.state, status.reason),
        (2, "rejected", Some(reason))
    );
    assert_eq!(bench.ask("p").await, dropped("a"));
}

#[tokio::test]
async fn what_was_refused_for_its_settings_is_tried_under_new_ones() {
    let mut bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    bench.loaded().await;
    // The newer file needs more memory to start than it may have.
    let mut small = PluginSettings::default();
    small.limits.memory = 200_000;
    bench.plugins.reconfigure(by_name(&[("p", small)])).await;
    bench.loaded().await;
    let large = Filter {
        module: "(memory $more 8)",
        evaluate: "(return (call $verdict (i32.const 1) (i32.const 1024) (i32.const 1)))",
        ..Filter::default()
    };
    bench.replace("p", &large.build());
    let (reason, serving) = bench.rejected().await;
    assert!(reason.contains("limits.memory") && serving, "{reason}");
    bench.plugins.reconfigure(BTreeMap::new()).await;
    assert_eq!(
        bench.loaded().await,
        ("p".to_owned(), 3),
        "the old file under the new settings"
    );
    assert_eq!(bench.loaded().await, ("p".to_owned(), 4), "then the new file");
    assert_eq!(bench.status("p").state, "active");
}

#[tokio::test]
async fn settings_for_what_is_not_there_change_nothing() {
    let bench = Bench::open(&[], &[]).await;
    bench
        .plugins
        .reconfigure(by_name(&[("p", configured(json!({"n": 1})))]))
        .await;
    assert!(bench.plugins.status().is_empty());
}

fn kept(bench: &Bench) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(bench.home.path().join("cache")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A new host in the home of one that is closed.
async fn again(mut bench: Bench) -> Bench {
    let home = std::mem::replace(&mut bench.home, TempDir::new().unwrap());
    drop(bench);
    Bench::open_in(home, &[]).await
}

#[tokio::test]
async fn code_is_kept_and_damage_is_found() {
    let bench = Bench::open(&[("p", dropping("a"))], &[]).await;
    let first = kept(&bench);
    assert_eq!(first.len(), 1);
    let written = std::fs::metadata(&first[0]).unwrap();
    assert_eq!(written.permissions().mode() & 0o777, 0o600);

    let bench = again(bench).await;
    assert_eq!(bench.ask("p").await, dropped("a"));
    assert_eq!(kept(&bench), first);
    assert_eq!(
        std::fs::metadata(&first[0]).unwrap().modified().unwrap(),
        written.modified().unwrap(),
        "it was used as it was"
    );

    for damage in [
        |code: &mut Vec<u8>| code[100] ^= 1,
        |code: &mut Vec<u8>| code.truncate(1_000),
        Vec::clear,
    ] {
        let mut code = std::fs::read(&first[0]).unwrap();
        damage(&mut code);
        std::fs::write(&first[0], &code).unwrap();
        let bench = again(Bench::open_in(copy_of(&bench), &[]).await).await;
        assert_eq!(bench.ask("p").await, dropped("a"));
        assert_eq!(kept(&bench).len(), 1);
    }
}

/// A home with the same files as a running host's.
fn copy_of(bench: &Bench) -> TempDir {
    let copy = TempDir::new().unwrap();
    for folder in ["plugins", "cache"] {
        std::fs::create_dir(copy.path().join(folder)).unwrap();
        for entry in std::fs::read_dir(bench.home.path().join(folder)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(folder).join(entry.file_name())).unwrap();
        }
    }
    std::fs::set_permissions(copy.path().join("cache"), std::fs::Permissions::from_mode(0o700)).unwrap();
    copy
}

#[tokio::test]
async fn a_folder_that_others_can_enter_is_not_used() {
    let home = TempDir::new().unwrap();
    std::fs::create_dir(home.path().join("plugins")).unwrap();
    std::fs::write(home.path().join("plugins/p.wasm"), dropping("a")).unwrap();
    std::fs::create_dir(home.path().join("cache")).unwrap();
    std::fs::set_permissions(home.path().join("cache"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let bench = Bench::open_in(home, &[]).await;
    assert_eq!(bench.ask("p").await, dropped("a"), "it works without");
    assert!(kept(&bench).is_empty());
}

#[tokio::test]
async fn a_symlink_is_no_cache() {
    let (home, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    std::fs::create_dir(home.path().join("plugins")).unwrap();
    std::fs::write(home.path().join("plugins/p.wasm"), dropping("a")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), home.path().join("cache")).unwrap();
    let bench = Bench::open_in(home, &[]).await;
    assert_eq!(bench.ask("p").await, dropped("a"));
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
