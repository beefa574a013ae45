//! Every rule, by a config that breaks it, and that what is sound breaks none.

use super::risks;
use crate::config::check::Asked;
use crate::config::{Config, Settings, Sources};

fn found(text: &str) -> Vec<String> {
    let config = Config::from_text(text, None, &Sources::default()).unwrap();
    risks(&config.settings, Asked::Nobody)
}

const AUTH: &str = "[auth.a]\nsecret = \"0123456789abcdef0123456789abcdef\"\nscopes = [\"admin\"]\n";

#[test]
fn every_risk_names_its_key_and_what_to_do() {
    for (text, says) in [
        (
            "[listen]\naddresses = \"0.0.0.0:1\"\ninsecure = true\n[egress]\ndeny_private = true",
            "without credentials (`listen.insecure`)",
        ),
        (
            "[listen]\naddresses = \"127.0.0.1:1\"\ninsecure = true",
            "`listen.insecure` is set and nothing needs it",
        ),
        ("[listen]\ntls_certificate = \"a.pem\"", "no address speaks TLS"),
        ("[listen]\ndrain_timeout = \"0s\"", "less than a second"),
        (
            "[listen]\ndrain_timeout = \"5s\"",
            "(`delivery.timeout`): attempts that are cut off",
        ),
        ("[listen]\ndrain_timeout = \"1h\"", "supervisors kill"),
        ("[listen]\nheader_timeout = \"1h\"", "`listen.header_timeout`"),
        ("[listen]\nheader_size = \"100MiB\"", "`listen.header_size`"),
        ("[limits]\nstreams = 1000000", "`limits.streams`"),
        ("[listen]\naddresses = \"unix:here\"", "relative path"),
        ("[log]\ndurability = \"os\"", "`log.durability` is `os`"),
        ("[log]\ndrop_unacknowledged = true", "`log.drop_unacknowledged`"),
        (
            "[log]\nretention_age = \"none\"\nretention_size = \"none\"",
            "never trimmed",
        ),
        ("[log]\nretention_size = \"1MiB\"", "`log.segment_size`"),
        ("[log]\ndedup_window = \"0s\"", "`log.dedup_window`"),
        ("[log]\ndedup_ids = 50_000_000", "gigabytes"),
        ("[log]\nqueue = 5_000_000", "`log.queue`"),
        ("[delivery]\nmax_attempts = 1", "`delivery.max_attempts` is 1"),
        ("[delivery]\nschedule = [\"10ms\"]", "shorter than a second"),
        ("[delivery]\nschedule = [\"1d\"]\nmax_attempts = 1000", "past retention"),
        ("[delivery]\nconcurrency = 1", "`ordering: key`"),
        ("[delivery]\nconcurrency = 900", "give such subscriptions a `rate`"),
        ("[delivery]\ntimeout = \"100ms\"", "only slow"),
        (
            "[delivery]\ntimeout = \"3m\"\n[listen]\ndrain_timeout = \"4m\"",
            "a minute is much",
        ),
        ("[egress]\nallow = [\"0.0.0.0/0\"]", "`egress.allow` holds 0.0.0.0/0"),
        ("[limits]\nbatch_size = \"1GiB\"", "`limits.batch_size`"),
        ("[limits]\nsubscriptions = 50_000_000", "`limits.subscriptions`"),
        ("[email]\nenabled = true\nhost = \"mail.example.com\"", "`email.port`"),
        (
            "[plugins.p.grants]\nhttp = [\"https://*.example.com\"]",
            "`plugins.p.grants.http`): name those",
        ),
        ("[plugins.p.grants]\nhttp = [\"http://example.com\"]", "without TLS"),
        ("[plugins.p.limits]\ntimeout = \"10m\"", "`plugins.p.limits.timeout`"),
    ] {
        let found = found(text);
        assert!(found.iter().any(|risk| risk.contains(says)), "{text}: {found:#?}");
        for risk in found {
            assert!(
                risk.contains('`') && risk.contains(':'),
                "no key or no consequence: {risk}"
            );
        }
    }
}

#[test]
fn an_open_hub_is_told_what_it_opens() {
    let open = |address: &str, more: &str| found(&format!("[listen]\naddresses = \"{address}\"\n{more}\n{AUTH}"));
    let clear = open("10.0.0.1:80", "");
    assert!(
        clear[0].contains("travel in clear") && clear[0].contains("`tls:10.0.0.1:80`"),
        "{clear:#?}"
    );
    assert!(clear[1].contains("`egress.deny_private`"), "{clear:#?}");
    let sound = open(
        "tls:10.0.0.1:80",
        "tls_certificate = \"c\"\ntls_key = \"k\"\n[egress]\ndeny_private = true",
    );
    assert_eq!(sound, Vec::<String>::new());
}

#[test]
fn what_is_dropped_before_its_last_attempt_is_told() {
    let text = "[log]\ndrop_unacknowledged = true\nretention_age = \"1h\"\n[delivery]\nschedule = [\"1m\", \"1h\"]\nmax_attempts = 5";
    let found = found(text);
    assert!(found.iter().any(|risk| risk.contains("about 3h1m")), "{found:#?}");
}

#[test]
fn settings_as_they_come_carry_no_risk() {
    assert_eq!(risks(&Settings::default(), Asked::Nobody), Vec::<String>::new());
}
