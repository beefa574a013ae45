//! `busway explain`: why an event did, or did not, reach a subscriber.

use clap::Args;
use serde_json::Value;

use super::Remote;
use super::client::query;
use super::exit::Failure;
use super::out::{Form, Out, cell, row};

#[derive(Debug, Args)]
#[command(
    after_help = "Plugins are asked now, and reach nothing and nobody; the notifier only with --notify.

Examples:
  busway explain 17 orders
  busway explain 17 orders --notify            what would its notifier do with it?
  busway explain 17 orders --output json"
)]
pub(super) struct Explain {
    /// The event's offset, on the subscription's bus.
    offset: u64,
    /// The subscription's id.
    subscription: String,
    /// Call its notifier too, with its effects suppressed.
    #[arg(long)]
    notify: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Explain {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let asked = query(&[
            ("offset", self.offset.to_string()),
            ("subscription", self.subscription.clone()),
            ("notify", self.notify.to_string()),
        ]);
        let answer = self.remote.client()?.get(&format!("/v1/explain{asked}")).await?;
        let mut out = self.remote.output.out();
        match out.form {
            Form::Json => Ok(out.document(&answer)?),
            Form::Table => print(&mut out, &answer),
        }
    }
}

fn print(out: &mut Out, answer: &Value) -> Result<(), Failure> {
    let text = |pointer: &str| answer.pointer(pointer).map(cell).unwrap_or_default();
    out.line(&format!("{}: {}", text("/delivery/state"), text("/why")))?;
    out.line(&format!(
        "\nevent {} of {} ({}, id {}, received {}), subscription {} ({})\n",
        text("/event/offset"),
        text("/event/bus"),
        text("/event/type"),
        text("/event/id"),
        text("/event/received"),
        text("/subscription/id"),
        text("/subscription/state"),
    ))?;
    let rules: Vec<Vec<String>> = items(answer, "rules").iter().map(rule).collect();
    out.table(&["RULE", "PASSES", "BECAUSE"], &rules)?;
    let asked = items(answer, "rules").iter().flat_map(|rule| items(rule, "plugins"));
    let heard: Vec<Vec<String>> = asked.chain(answer.get("notifier")).map(heard).collect();
    if !heard.is_empty() {
        out.line("")?;
        let head = ["PLUGIN", "GENERATION", "DIGEST", "SAYS", "µs", "ASKED", "EFFECTS"];
        out.table(&head, &heard)?;
    }
    let attempts: Vec<Vec<String>> = items(&text_of(answer, "delivery"), "attempts")
        .iter()
        .map(|one| row(one, &["/number", "/status", "/took_ms", "/outcome"]))
        .collect();
    if !attempts.is_empty() {
        out.line("")?;
        out.table(&["ATTEMPT", "STATUS", "ms", "OUTCOME"], &attempts)?;
    }
    for note in items(answer, "notes") {
        out.line(&format!("\nnote: {}", cell(note)))?;
    }
    Ok(())
}

fn text_of(answer: &Value, name: &str) -> Value {
    answer.get(name).cloned().unwrap_or_default()
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn rule(rule: &Value) -> Vec<String> {
    let passes = match rule.get("passes").and_then(Value::as_bool) {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    vec![
        rule.get("rule").map(cell).unwrap_or_default(),
        passes.to_owned(),
        rule.get("because").map(cell).unwrap_or_default(),
    ]
}

fn heard(heard: &Value) -> Vec<String> {
    let mut cells = row(heard, &["/plugin", "/generation", "/digest"]);
    if let Some(digest) = cells.get_mut(2) {
        digest.truncate(12);
    }
    let mut says = row(heard, &["/verdict", "/words"]);
    says.retain(|part| !part.is_empty());
    cells.push(says.join(": "));
    cells.extend(row(heard, &["/took_us"]));
    let calls = heard.get("host_calls").and_then(Value::as_object).into_iter().flatten();
    let calls: Vec<String> = calls.map(|(name, count)| format!("{name} {count}")).collect();
    cells.push(calls.join(", "));
    let effects = items(heard, "effects").iter().map(|effect| {
        let mut parts = row(effect, &["/method", "/url", "/address"]);
        parts.retain(|part| !part.is_empty());
        parts.join(" ")
    });
    cells.push(effects.collect::<Vec<_>>().join("; "));
    cells
}
