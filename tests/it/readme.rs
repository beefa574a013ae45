//! What the README shows between ```console fences is run, in order, against a hub; every `$` line must succeed.
//!
//! `cargo …` and `tests/run` are not run here (they are how one got here); `busway serve` is the hub of the test, and
//! the tests of the older systems run the commands of their sections.

use crate::support::{HubProcess, run};

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_readme_run() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let url = hub.url("");
    let mut ran = 0;
    for line in commands(&readme) {
        let words = words(&line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words.first() != Some(&"busway") || matches!(words.get(1), Some(&"serve" | &"demo" | &"plugin" | &"source"))
        {
            continue;
        }
        let local = words.get(1) == Some(&"config");
        let place: &[&str] = if local { &[] } else { &["--url", &url] };
        let arguments: Vec<&str> = words.iter().skip(1).chain(place).copied().collect();
        let (code, shown, error) = run(folder.path(), &arguments);
        assert_eq!(code, 0, "{line}\n{shown}\n{error}");
        ran += 1;
    }
    assert!(ran >= 5, "only {ran} commands of the README were found");
}

fn commands(readme: &str) -> Vec<String> {
    let blocks = readme
        .split("```console\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    blocks
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("$ "))
        .map(str::to_owned)
        .collect()
}

/// Words of a shell line: blanks part them, single quotes hold them together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
