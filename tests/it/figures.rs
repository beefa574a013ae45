//! `/metrics`: its text by the rules of OpenMetrics, the README's table of it, and that what waits is told within bounds.

use std::collections::{BTreeMap, BTreeSet};

use busway::metrics::{FURTHEST, Metrics};
use serde_json::json;

use crate::support::{HubProcess, Receiver};

/// A family of series.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    samples: Vec<(String, f64)>,
}

/// Reads the text by the rules; what breaks them fails the test.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let (body, end) = text.split_at(text.len() - "# EOF\n".len());
    assert_eq!(end, "# EOF\n");
    for line in body.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            let (series, value) = sample(line);
            assert!(seen.insert(series.clone()), "twice: {series}");
            let name = series.split('{').next().unwrap();
            let of = |suffix: &str| name.strip_suffix(suffix).filter(|name| families.contains_key(*name));
            let suffixes = ["_total", "_bucket", "_sum", "_count", ""];
            let (suffix, family) = suffixes
                .iter()
                .find_map(|suffix| Some((*suffix, of(suffix)?)))
                .unwrap_or_else(|| panic!("of no family: {line}"));
            let family = families.get_mut(family).unwrap();
            let fits = match family.kind.as_str() {
                "counter" => suffix == "_total",
                "histogram" => matches!(suffix, "_bucket" | "_sum" | "_count"),
                _ => suffix.is_empty(),
            };
            assert!(fits, "{} has no such series: {line}", family.kind);
            family.samples.push((series, value));
            continue;
        };
        let (word, rest) = comment.split_once(' ').unwrap();
        let (name, text) = rest.split_once(' ').unwrap();
        let family = families.entry(name.to_owned()).or_default();
        assert!(family.samples.is_empty(), "{name} is described behind its series");
        match word {
            "HELP" => family.help = text.trim_end_matches('.').to_owned(),
            "TYPE" => family.kind = text.to_owned(),
            "UNIT" => assert!(name.ends_with(&format!("_{text}")), "{name} is not in {text}"),
            other => panic!("an unknown comment: {other}"),
        }
    }
    for (name, family) in &families {
        assert!(
            !family.kind.is_empty() && !family.help.is_empty(),
            "{name} is not described"
        );
        buckets_grow(family);
    }
    families
}

/// A series and its value: `name{label="value",…} 1.5`.
fn sample(line: &str) -> (String, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    if let Some((_, labels)) = series.split_once('{') {
        let labels = labels
            .strip_suffix('}')
            .unwrap_or_else(|| panic!("an open brace: {line}"));
        assert_eq!(
            labels.replace("\\\"", "").matches('"').count() % 2,
            0,
            "an open quote: {line}"
        );
    }
    (
        series.to_owned(),
        value.parse().unwrap_or_else(|_| panic!("no number: {line}")),
    )
}

fn buckets_grow(family: &Family) {
    let mut last: Option<(&str, f64)> = None;
    for (series, value) in family.samples.iter().filter(|(series, _)| series.contains("_bucket{")) {
        let of = series.split("le=").next().unwrap();
        if let Some((before, least)) = last.filter(|(before, _)| *before == of) {
            assert!(*value >= least, "{before}: {value} after {least}");
        }
        last = Some((of, *value));
    }
}

#[test]
fn the_readme_has_every_figure_and_no_other() {
    let families = parse(&Metrics::new().text());
    let row = |(name, family): (&String, &Family)| {
        let suffix = if family.kind == "counter" { "_total" } else { "" };
        format!("| `{name}{suffix}` | {} | {} |\n", family.kind, family.help)
    };
    let table: String = families.iter().map(row).collect();
    let readme = include_str!("../../README.md");
    assert!(
        readme.contains(&table),
        "the README's table of figures should be:\n\n{table}"
    );
    let rows = readme.matches("| `busway_").count();
    assert_eq!(rows, families.len(), "the README has figures that are none");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_within_bounds() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    for n in 0..FURTHEST + 5 {
        let path = format!("/v1/subscriptions/behind-{n}");
        hub.put(&path, &json!({"types": ["n"], "sink": receiver.url("/")}))
            .await;
        hub.post(&format!("{path}/pause"), &json!({})).await;
    }
    hub.put(
        "/v1/subscriptions/well",
        &json!({"types": ["n"], "sink": receiver.url("/")}),
    )
    .await;
    hub.publish_many("n", 0..120, 0).await;
    receiver.wait_for(120).await;
    let behind = u32::try_from(FURTHEST + 5).unwrap();
    hub.until_metric("busway_lanes{state=\"paused\"}", |count| count == f64::from(behind))
        .await;
    hub.until_metric("busway_lanes_behind{records=\"100\"}", |count| {
        count == f64::from(behind)
    })
    .await;
    hub.until_metric("busway_lanes_behind{records=\"10000\"}", |count| count == 0.0)
        .await;
    hub.until_metric("busway_lanes{state=\"idle\"}", |count| count == 1.0)
        .await;
    for quiet in [
        "busway_log_queue_appends{bus=\"default\"}",
        "busway_log_queue_bytes{bus=\"default\"}",
        "busway_log_commit_milliseconds{bus=\"default\"}",
        "busway_lane_queue_records",
        "busway_stream_queue_events",
        "busway_notices_waiting",
        "busway_egress_refused{rule=\"deny\"}",
    ] {
        hub.until_metric(quiet, |figure| figure == 0.0).await;
    }
    hub.until_metric("busway_checkpoint_age_seconds", |age| age < 30.0)
        .await;
    hub.until_metric("busway_connections", |open| open >= 1.0).await;
    let (_, text) = hub.send(http::Method::GET, "/metrics", &[], "").await;
    let families = parse(std::str::from_utf8(&text).unwrap());
    assert_eq!(families["busway_furthest_behind_records"].samples.len(), FURTHEST);
    assert!(
        families["busway_furthest_behind_records"]
            .samples
            .iter()
            .all(|(_, behind)| *behind == 120.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_at_every_door() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--egress-deny", "192.0.2.0/24"];
    let hub = HubProcess::start_with(folder.path(), &arguments).await;
    for (method, path, body) in [
        (http::Method::POST, "/v1/events", "nonsense"),
        (http::Method::POST, "/v2/eventSubscriptions", ""),
        (http::Method::GET, "/pulp/api/v2/events/nothing/", ""),
        (http::Method::POST, "/pulp/api/v2/events/", "nonsense"),
    ] {
        let (status, _) = hub
            .send(method, path, &[("content-type", "application/json")], body)
            .await;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    let refused = json!({"types": ["n"], "sink": "http://192.0.2.1/", "config": {"max_attempts": 1}});
    hub.send(
        http::Method::PUT,
        "/v1/subscriptions/blocked",
        &[("content-type", "application/json")],
        refused.to_string(),
    )
    .await;
    hub.publish_many("n", 0..1, 0).await;
    for counted in [
        "busway_requests_refused_total{code=\"http_400\"}",
        "busway_requests_refused_total{code=\"http_404\"}",
        "busway_egress_refused{rule=\"deny\"}",
    ] {
        hub.until_metric(counted, |count| count >= 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_durability_in_force_is_told() {
    for (arguments, says, loses, warns) in [
        (&[][..], "synced to disk", "nothing that was acknowledged", false),
        (
            &["--log-durability", "os"][..],
            "handed to the operating system",
            "what was acknowledged",
            true,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let hub = HubProcess::start_with(folder.path(), arguments).await;
        let health = hub.get("/healthz").await;
        assert!(health["durability"].as_str().unwrap().contains(says), "{health}");
        let store = &health["store"];
        let power_cut = store["lost_in_a_power_cut"].as_str().unwrap();
        let in_memory = matches!(store["filesystem"].as_str(), Some("tmpfs"));
        assert!(in_memory || power_cut.starts_with(loses), "{health}");
        assert!(store["sync_ms"].as_f64().unwrap() >= 0.0, "{health}");
        assert_eq!(store["lost_in_a_kill"], "nothing that was acknowledged");
        assert!(
            store["engine"].as_str().unwrap().contains("journal_mode=WAL"),
            "{health}"
        );
        let warned = hub
            .log()
            .iter()
            .any(|line| line.contains("risky setting") && line.contains("log.durability"));
        assert_eq!(warned, warns, "{:#?}", hub.log());
    }
}
