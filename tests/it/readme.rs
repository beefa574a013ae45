//! What the README shows between ```console fences is run, in order, against a hub; every `$` line must succeed.
//!
//! `cargo …` and `tests/run` are not run here (they are how one got here); `busway serve` is the hub of the test, and
//! the tests of the older systems run the commands of their sections. What it says besides is checked where that can
//! be: links within it, its JSON and TOML, and that its table of the API has every route.

use crate::support::{HubProcess, run};

const README: &str = include_str!("../../README.md");

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_readme_run() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let url = hub.url("");
    let mut ran = 0;
    for line in commands(README) {
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

#[test]
fn links_within_the_readme_lead_somewhere() {
    let headings = README
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| anchor(line.trim_start_matches('#').trim()));
    let headings: Vec<String> = headings.collect();
    let links: Vec<&str> = README
        .split("](#")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect();
    assert!(links.len() > 5, "links were not found");
    let dead: Vec<&&str> = links
        .iter()
        .filter(|link| !headings.iter().any(|heading| heading == *link))
        .collect();
    assert!(dead.is_empty(), "{dead:?} are no headings: {headings:?}");
}

/// A heading as a link names it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_route_of_the_api_is_in_the_readme() {
    let source = include_str!("../../src/api/mod.rs");
    let (all, on_a_bus) = source.split_once("fn on_a_bus()").expect("the routes of a bus");
    let paths = |text: &'static str| text.split(".route(").skip(1).filter_map(|call| call.split('"').nth(1));
    let routes = paths(all)
        .map(str::to_owned)
        .chain(paths(on_a_bus).map(|path| format!("/v1{path}")));
    let routes: Vec<String> = routes.collect();
    assert!(routes.len() > 25, "the routes were not found: {routes:?}");
    let table = README.split_once("## HTTP API").expect("its section").1;
    let table = table.split("\n#").next().unwrap();
    let told = |route: &str| {
        ['`', '?'].iter().any(|end| {
            [' ', '`']
                .iter()
                .any(|begin| table.contains(&format!("{begin}{route}{end}")))
        })
    };
    let untold: Vec<&String> = routes.iter().filter(|route| !told(route)).collect();
    assert!(untold.is_empty(), "the README's table lacks {untold:?}");
}

#[test]
fn examples_of_the_readme_can_be_read() {
    for block in blocks("json") {
        let read: Result<serde_json::Value, _> = serde_json::from_str(block);
        assert!(read.is_ok(), "{read:?}\n{block}");
    }
    for block in blocks("toml") {
        let read: Result<toml::Table, _> = toml::from_str(block);
        assert!(read.is_ok(), "{read:?}\n{block}");
    }
}

fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let found: Vec<&str> = README
        .split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(found.len() > 2, "no blocks of {language}");
    found
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
