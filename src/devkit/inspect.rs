//! What `busway plugin inspect` shows: the host's findings as a table for a person, or as JSON for a program.
//!
//! Invariant: both forms say the same things under the same names, and the JSON's keys are stable.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::plugin::{Inspection, World};

/// The findings on the plugin called `name`, a line each, with the config lines it needs and its config's schema.
pub fn table(name: &str, found: &Inspection) -> String {
    let mut text = String::new();
    let mut row = |title: &str, value: &str| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{title:<9} {value}");
    };
    row("name", name);
    row("kind", kind(found.kind));
    row("summary", &found.summary);
    row("wit", &format!("busway:plugin@{}", found.wit_version));
    row("size", &format!("{} KiB", found.size.div_ceil(1024)));
    row("digest", &format!("sha256:{}", found.digest));
    row("compiled", &format!("in {} ms", found.compiled_in.as_millis()));
    each(&mut row, "imports", &found.imports);
    each(&mut row, "needs", &config_lines(name, found));
    match &found.config_schema {
        None => row("config", "no schema"),
        Some(schema) => {
            let pretty = format!("{schema:#}");
            each(
                &mut row,
                "config",
                &pretty.lines().map(str::to_owned).collect::<Vec<_>>(),
            );
        }
    }
    text
}

/// The same as one JSON object.
pub fn to_json(name: &str, found: &Inspection) -> Value {
    json!({
        "name": name,
        "kind": kind(found.kind),
        "summary": found.summary,
        "wit": format!("busway:plugin@{}", found.wit_version),
        "size": found.size,
        "digest": format!("sha256:{}", found.digest),
        "compiled_ms": u64::try_from(found.compiled_in.as_millis()).unwrap_or(u64::MAX),
        "imports": found.imports,
        "needs": config_lines(name, found),
        "config_schema": found.config_schema,
    })
}

fn kind(world: World) -> &'static str {
    match world {
        World::Filter => "filter",
        World::Notifier => "notifier",
    }
}

/// The lines are written for a plugin called `NAME`.
fn config_lines(name: &str, found: &Inspection) -> Vec<String> {
    found
        .needed_grants
        .iter()
        .flat_map(|lines| lines.lines())
        .map(|line| line.replace("NAME", name))
        .collect()
}

/// One row a value, the title at the first only; a row that says so if there are none.
fn each(row: &mut impl FnMut(&str, &str), title: &str, values: &[String]) {
    if values.is_empty() {
        row(title, "nothing");
    }
    for (at, value) in values.iter().enumerate() {
        row(if at == 0 { title } else { "" }, value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn chat() -> Inspection {
        Inspection {
            kind: World::Notifier,
            wit_version: "0.1.0".to_owned(),
            imports: vec![
                "busway:plugin/events@0.1.0".to_owned(),
                "wasi:http/outgoing-handler@0.2.12".to_owned(),
            ],
            summary: "posts events".to_owned(),
            config_schema: Some(json!({"type": "object"})),
            needed_grants: vec!["[plugins.NAME]\ngrants = { http = [\"https://hooks.example.com\"] }".to_owned()],
            size: 2049,
            digest: "ab12".to_owned(),
            compiled_in: Duration::from_millis(42),
        }
    }

    #[test]
    fn the_table_shows_what_an_operator_must_know() {
        let expected = "\
name      chat
kind      notifier
summary   posts events
wit       busway:plugin@0.1.0
size      3 KiB
digest    sha256:ab12
compiled  in 42 ms
imports   busway:plugin/events@0.1.0
          wasi:http/outgoing-handler@0.2.12
needs     [plugins.chat]
          grants = { http = [\"https://hooks.example.com\"] }
config    {
            \"type\": \"object\"
          }
";
        assert_eq!(table("chat", &chat()), expected);
    }

    #[test]
    fn a_plugin_that_needs_nothing_says_so() {
        let bare = Inspection {
            imports: Vec::new(),
            needed_grants: Vec::new(),
            config_schema: None,
            ..chat()
        };
        let text = table("bare", &bare);
        for line in ["imports   nothing\n", "needs     nothing\n", "config    no schema\n"] {
            assert!(text.contains(line), "{line:?} is not in:\n{text}");
        }
    }

    #[test]
    fn the_json_has_the_same_names() {
        let value = to_json("chat", &chat());
        assert_eq!(value["kind"], "notifier");
        assert_eq!(value["size"], 2049);
        assert_eq!(value["needs"][0], "[plugins.chat]");
        for title in ["name", "summary", "wit", "digest", "imports"] {
            assert!(!value[title].is_null(), "{title}");
        }
    }
}
