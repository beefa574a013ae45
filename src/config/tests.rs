//! The config as an operator meets it: what a text gives, and in which words it is refused.

use super::check::{needs_restart, refuse, risks, strange_variables};
use super::value::{Address, Given};
use super::{Config, Origin, Settings, Sources, keys, print};
use proptest::prelude::*;
use std::time::Duration;

fn load(text: &str) -> Config {
    Config::from_text(text, None, &Sources::default()).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    Config::from_text(text, None, &Sources::default()).unwrap_err().0
}

/// Texts, and how the one sentence begins in which each is refused.
const FAULTS: &[(&str, &str)] = &[
    (
        "[log]\nretension_age = \"1d\"",
        "busway.toml:2: unknown key `log.retension_age`; did you mean `log.retention_age`?",
    ),
    (
        "[messaging]\nauth_enabled = true",
        "busway.toml:2: `messaging.auth_enabled` is not served: it signs what Pulp says to its agents",
    ),
    (
        "\n\n[lgo]\nx = 1",
        "busway.toml:3: unknown section `[lgo]`; did you mean `[log]`?",
    ),
    (
        "[zzzzzzzzzzzzz]",
        "busway.toml:1: unknown section `[zzzzzzzzzzzzz]`; `busway config print --defaults` lists",
    ),
    (
        "listen = 3",
        "busway.toml:1: `listen` is not a value; there is a section `[listen]` with the keys `listen.addresses`",
    ),
    (
        "[log]\nsegment_size = \"many\"",
        "busway.toml:2: `log.segment_size` must be a size such as `64MiB`",
    ),
    (
        "[delivery]\ntimeout = 15",
        "busway.toml:2: `delivery.timeout` must be a duration with its unit",
    ),
    (
        "[delivery]\ntimeout = \"0s\"",
        "busway.toml:2: `delivery.timeout` must be longer than nothing",
    ),
    (
        "[listen]\naddresses = [\"8080\"]",
        "busway.toml:2: `listen.addresses` must hold addresses such as",
    ),
    (
        "[listen]\naddresses = []",
        "busway.toml:2: `listen.addresses` must hold at least one address",
    ),
    (
        "[listen]\ninsecure = \"maybe\"",
        "busway.toml:2: `listen.insecure` must be `true` or `false`, not `maybe`",
    ),
    (
        "[egress]\nallow = [\"10/8\"]",
        "busway.toml:2: `egress.allow` must hold address ranges",
    ),
    (
        "[egress]\nproxy = \"https://p:1\"",
        "busway.toml:2: `egress.proxy` must be the URL of an http proxy",
    ),
    (
        "[egress]\nno_proxy = [\"a:80\"]",
        "busway.toml:2: `egress.no_proxy` must hold names",
    ),
    (
        "[data]\ndir = { a = 1 }",
        "busway.toml:2: `data.dir` must be a value or a list of values",
    ),
    (
        "[log]\nretention_age = 1\nretention_age = 2",
        "busway.toml:3: is not TOML: duplicate key",
    ),
    (
        "[log_output]\nformat = \"xml\"",
        "busway.toml:2: `log_output.format` must be `auto`, `text` or `json`",
    ),
    (
        "[plugins.a]\ngrant = {}",
        "busway.toml:2: unknown key `plugins.a.grant`; did you mean `grants`?",
    ),
    (
        "[plugins.a.limits]\nmemory = \"x\"",
        "busway.toml:2: `plugins.a.limits.memory` must be a size",
    ),
    (
        "[plugins.a.limits]\nmemroy = \"1MiB\"",
        "busway.toml:2: unknown key `plugins.a.limits.memroy`; did you mean `limits.memory`?",
    ),
    (
        "[plugins.a.grants]\nenv = { A = 3 }",
        "busway.toml:2: `plugins.a.grants.env.A` must be a string",
    ),
    (
        "lisen = \"127.0.0.1:1\"",
        "busway.toml:1: `lisen` is not a value; there is a section `[listen]` with the keys `listen.",
    ),
    (
        "[plugins.a.grants]\nhttp = [\"foo\"]",
        "busway.toml:2: `plugins.a`: grants.http \"foo\" has no scheme",
    ),
    (
        "[plugins.a]\nrollback = \"no\"",
        "busway.toml:2: `plugins.a.rollback` must be a table, or `false` to turn it off",
    ),
    (
        "[plugins.a.rollback]\nfailures = 1.5",
        "busway.toml:2: `plugins.a.rollback.failures` must be a share of the calls",
    ),
    (
        "[plugins.a.rollback]\nwindw = \"1m\"",
        "busway.toml:2: unknown key `plugins.a.rollback.windw`; did you mean `rollback.window`?",
    ),
    ("[plugins]\na = 1", "busway.toml:2: `plugins.a` must be a table"),
];

/// Each text is refused in exactly one sentence that begins like this.
#[test]
fn faults_name_line_key_and_remedy() {
    for (text, expected) in FAULTS {
        let found = faults(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(
            found[0].starts_with(expected),
            "{text}\n  expected {expected}\n  found    {}",
            found[0]
        );
    }
}

#[test]
fn every_fault_is_told_at_once() {
    assert_eq!(faults("[log]\na_b = 1\nqueue = 0\n[nope]").len(), 3);
}

#[test]
fn later_sources_win_and_are_named() {
    let key = |name: &str| keys().find(|key| key.name == name).unwrap();
    let mut sources = Sources::default();
    let text = "[data]\ndir = \"file\"\n[delivery]\ntimeout = \"1s\"\nmax_attempts = 3";
    sources.env = vec![
        ("BUSWAY_DATA".into(), "env".into()),
        ("BUSWAY_DELIVERY_TIMEOUT".into(), "2s".into()),
    ];
    sources.flags = vec![(key("data.dir"), Given::text("flag"))];
    let config = Config::from_text(text, None, &sources).unwrap();
    assert_eq!(config.settings.data.dir.to_str(), Some("flag"));
    assert_eq!(config.settings.delivery.timeout, Duration::from_secs(2));
    assert_eq!(config.settings.delivery.max_attempts, 3);
    assert_eq!(config.origin(key("data.dir")), &Origin::Flag("data"));
    assert_eq!(
        config.origin(key("delivery.timeout")),
        &Origin::Env("BUSWAY_DELIVERY_TIMEOUT".into())
    );
    assert_eq!(config.origin(key("delivery.max_attempts")), &Origin::File(5));
    assert_eq!(config.origin(key("log.queue")), &Origin::Default);
}

#[test]
fn names_flags_and_variables_are_unique() {
    for part in [
        |key: &super::Key| key.name.to_owned(),
        |key: &super::Key| key.flag.to_owned(),
        super::Key::variable,
    ] {
        let mut all: Vec<String> = keys().map(part).collect();
        all.sort();
        let before = all.len();
        all.dedup();
        assert_eq!(all.len(), before);
    }
}

/// Written as shown, every default is read back to itself: the reference table cannot lie about the notation.
#[test]
fn defaults_read_back() {
    for key in keys() {
        let mut settings = Settings::default();
        let shown = (key.show)(&settings);
        if shown.is_empty() {
            continue;
        }
        (key.set)(&mut settings, &Given::text(&shown)).unwrap_or_else(|why| panic!("{} {why}", key.name));
        assert_eq!((key.show)(&settings), shown, "{}", key.name);
    }
}

#[test]
fn plugins_are_read_whole_and_shown_without_secrets() {
    let config = load(
        r#"
        [plugins.email]
        config = { host = "smtp.example.com", port = 587, password = "hunter2", url = "https://h.example.com/hooks/s3cret" }
        grants = { tcp = ["smtp.example.com:587"], http = ["https://hooks.example.com"], env = { PASSWORD = "file:/run/x", KEY = "s3cret" } }
        limits = { memory = "32MiB", timeout = "3s", instances = 2, output = "1KiB" }
        rollback = { window = "30s", calls = 5, failures = 1 }
        [plugins.chat]
        rollback = false
        "#,
    );
    let email = &config.settings.plugins["email"];
    assert_eq!(email.config["port"], 587);
    assert_eq!(email.grants.tcp, ["smtp.example.com:587"]);
    assert_eq!(email.grants.env["KEY"], "s3cret");
    assert_eq!(
        (email.limits.memory, email.limits.instances, email.limits.output),
        (32 << 20, 2, 1 << 10)
    );
    let rollback = crate::plugin::Rollback::On {
        window: std::time::Duration::from_secs(30),
        calls: 5,
        failures: 1.0,
    };
    assert_eq!(email.rollback, rollback);
    assert_eq!(config.settings.plugins["chat"].rollback, crate::plugin::Rollback::Off);
    let shown = print::json(&config).to_string();
    assert!(
        shown.contains("smtp.example.com") && shown.contains("file:/run/x"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn strangers_are_refused_unless_the_operator_insists() {
    let cases = [
        (r#"["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/x"]"#, false, true),
        (r#"["0.0.0.0:1"]"#, false, false),
        (r#"["[::]:1"]"#, false, false),
        (r#"["192.168.1.5:1"]"#, false, false),
        (r#"["0.0.0.0:1"]"#, true, true),
    ];
    for (addresses, insecure, taken) in cases {
        let config = load(&format!("[listen]\naddresses = {addresses}\ninsecure = {insecure}"));
        assert_eq!(
            refuse(&config.settings).is_ok(),
            taken,
            "{addresses} insecure={insecure}"
        );
        let closed = taken && !insecure;
        assert_eq!(risks(&config.settings).is_empty(), closed, "{addresses}");
    }
}

#[test]
fn risky_settings_are_explained() {
    let config = load(
        "[log]\ndrop_unacknowledged = true\nretention_age = \"none\"\nretention_size = \"none\"\ndedup_window = \"0s\"\n[delivery]\nmax_attempts = 1\n[plugins.x.grants]\nhttp = [\"https://*.example.com\"]",
    );
    assert_eq!(risks(&config.settings).len(), 5, "{:#?}", risks(&config.settings));
    assert_eq!(risks(&Settings::default()), Vec::<String>::new());
}

#[test]
fn only_what_needs_a_restart_is_named() {
    let new = load("[log_output]\nfilter = \"debug\"\n[log]\nqueue = 5\n[plugins.a]");
    assert_eq!(needs_restart(&load(""), &new), ["log.queue"]);
}

#[test]
fn a_misspelt_variable_is_told_and_a_foreign_one_is_not() {
    let env = |name: &str| vec![(name.to_owned(), "x".to_owned())];
    assert_eq!(strange_variables(&env("BUSWAY_LISTN")).len(), 1);
    // Kubernetes sets these for a service of this name.
    assert_eq!(
        strange_variables(&env("BUSWAY_SERVICE_HOST_PORT_8080_TCP")),
        Vec::<String>::new()
    );
    assert_eq!(strange_variables(&env("BUSWAY_LISTEN")), Vec::<String>::new());
}

#[test]
fn addresses_are_read() {
    for (word, shown) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("localhost:9", "127.0.0.1:9"),
        ("unix:a", "unix:a"),
    ] {
        assert_eq!(Address::parse(word).unwrap().to_string(), shown);
    }
    for word in [
        ":8080",
        "8080",
        "example.com:80",
        "unix:",
        "127.0.0.1",
        "127.0.0.1:70000",
    ] {
        assert!(Address::parse(word).is_err(), "{word}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = Config::from_text(&text, None, &Sources::default());
        let _ = (Given::text(&text).duration(), Given::text(&text).size());
        let _ = Address::parse(&text);
    }
}
