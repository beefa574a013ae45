//! The config as `busway config` shows it, and as a running hub takes it up.

use http::Method;

use crate::support::{HubProcess, run};

#[test]
fn the_readme_has_the_reference_of_all_keys() {
    let (code, table, error) = run(tempfile::tempdir().unwrap().path(), &["config", "print", "--defaults"]);
    assert_eq!(code, 0, "{error}");
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(
        readme.contains(table.trim()),
        "README.md: replace the table of settings by `busway config print --defaults`"
    );
}

#[test]
fn check_finds_every_fault_and_print_says_where_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("busway.toml"),
        "[log]\nqueeu = 1\n[data]\ndir = 5\n[listen]\ninsecure = 7",
    )
    .unwrap();
    let (code, _, error) = run(folder.path(), &["config", "check"]);
    assert_eq!(code, 78);
    assert!(
        error.contains("busway.toml:2") && error.contains("did you mean `log.queue`?"),
        "{error}"
    );
    assert!(error.contains("busway.toml:6"), "{error}");
    std::fs::write(folder.path().join("busway.toml"), "[log]\nqueue = 7").unwrap();
    let (code, shown, error) = run(folder.path(), &["config", "print", "--data", "elsewhere"]);
    assert_eq!(code, 0, "{error}");
    let row = |key: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(row("log.queue").ends_with("file, line 2"), "{shown}");
    assert!(
        row("data.dir").contains("elsewhere") && row("data.dir").ends_with("flag --data"),
        "{shown}"
    );
    assert!(row("delivery.timeout").ends_with("default"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_with_a_broken_reload_keeps_serving() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("busway.toml");
    std::fs::write(&file, "[log_output]\nfilter = \"info\"").unwrap();
    let hub = HubProcess::start(folder.path()).await;
    std::fs::write(&file, "[log_output]\nfiltre = 1").unwrap();
    hub.said("the new settings are refused").await;
    std::fs::write(&file, "[log]\nqueue = 9").unwrap();
    hub.said("with the next start only").await;
    assert_eq!(hub.send(Method::GET, "/healthz", &[], "").await.0, 200);
}
