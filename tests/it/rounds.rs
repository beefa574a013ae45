//! Kill -9 at random moments, round after round on one data folder, while everything is at work; a ledger says what was
//! promised and what came of it.
//!
//! At work: producers of single events, of batches and by EventBridge's `putEvents`, which send again what a kill left
//! unanswered; callbacks that are good, flaky, in key order, paused and resumed, behind a filter plugin that is swapped,
//! and one that never works; a notifier plugin; a stream that resumes by `Last-Event-ID`; subscriptions that come and
//! go. A round ends when the hub has acknowledged a random number of events, or while it is starting.
//!
//! What must hold: what was answered is in the log once, where the answer said, in its producer's order, and arrives at
//! every subscription that was there; nothing else arrives; offsets have no holes and no second use; a subscription
//! that was answered is there, a deleted one stays away; a dead letter is not doubled.
//! Repeats: a kill costs a subscription at most what it had in flight and what it had delivered since its last
//! checkpoint, which [`REPEATS`] bounds from above by the lane's queue.
//!
//! 20 rounds, or `BUSWAY_ROUNDS`; `BUSWAY_SEED` repeats the choices of a run (not its timing).

mod ledger;
mod traffic;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, component, generation, place};
use ledger::Ledger;
use traffic::Traffic;

/// Small segments, so that kills meet rotations.
const ARGUMENTS: [&str; 2] = ["--log-segment-size", "64KiB"];
/// A lane's queue (1,024 records) and what may be in flight (16): what a kill may cost a subscription.
const REPEATS: u64 = 1_040;
/// Rounds that publish an event that cannot be delivered. Few: its sink is soon probed only.
const DEAD: u64 = 5;

/// Choices that a seed repeats, here and wherever else chance is to be tried.
pub(crate) struct Choices(u64);

impl Choices {
    #[allow(clippy::print_stdout, reason = "whoever sees a failure needs the seed")]
    pub(crate) fn from_environment() -> Self {
        let given = std::env::var("BUSWAY_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed =
            given.unwrap_or_else(|| u64::from_le_bytes(busway::chance::bits().to_le_bytes()[..8].try_into().unwrap()));
        println!("BUSWAY_SEED={seed}");
        Self(seed | 1)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_promised_is_lost_in_any_round() {
    let rounds = std::env::var("BUSWAY_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    let (rounds, mut choices) = (rounds.unwrap_or(20_u64), Choices::from_environment());
    let (folder, receiver, ledger) = (tempfile::tempdir().unwrap(), Receiver::start().await, Ledger::default());
    ledger.listen(&receiver);
    set_up(folder.path(), &receiver).await;
    let mut traffic = Traffic::new(ledger.clone());
    let mut kills = 0;
    for round in 0..rounds {
        place(folder.path(), "misbehave", &generation((round % 10) as u8));
        for _ in 0..choices.below(3) {
            // Anywhere: before the store is open, while it recovers, while plugins load, when it has just got ready.
            let after = Duration::from_millis(choices.below(500));
            HubProcess::kill_while_starting(folder.path(), &ARGUMENTS, after).await;
            kills += 1;
        }
        let mut hub = HubProcess::start_with(folder.path(), &ARGUMENTS).await;
        ledger.check_subscriptions(&hub).await;
        if round < DEAD {
            traffic.publish_undeliverable(&hub, round).await;
        }
        let enough = 1 + choices.below(120);
        traffic
            .run_until_killed(&mut hub, &receiver, (enough, Duration::from_millis(choices.below(60))))
            .await;
        kills += 1;
    }
    let hub = HubProcess::start_with(folder.path(), &ARGUMENTS).await;
    finish(&hub, &ledger, traffic, kills).await;
}

/// The plugins, and the subscriptions that are there in every round.
async fn set_up(folder: &Path, receiver: &Receiver) {
    for name in ["misbehave", "notifier-chat"] {
        place(folder, name, &component(name));
    }
    let grants = format!(
        "[plugins.notifier-chat]\ngrants = {{ http = [\"{}\"] }}\n",
        receiver.url("")
    );
    std::fs::write(folder.join("busway.toml"), grants).unwrap();
    let mut hub = HubProcess::start_with(folder, &ARGUMENTS).await;
    let to = |path: &str, config: Value| json!({"types": ["round.n"], "sink": receiver.url(path), "protocolsettings": {"format": "structured"}, "config": config});
    let patient = || json!({"schedule": ["50ms"], "max_attempts": 1_000});
    for path in ["good", "flaky", "paused"] {
        hub.put(
            &format!("/v1/subscriptions/{path}"),
            &to(&format!("/{path}"), patient()),
        )
        .await;
    }
    let ordered = json!({"schedule": ["50ms"], "max_attempts": 1_000, "ordering": "key"});
    hub.put("/v1/subscriptions/order", &to("/order", ordered)).await;
    let mut filtered = to(
        "/filtered",
        json!({"schedule": ["50ms"], "max_attempts": 1_000, "on_error": "hold"}),
    );
    filtered["filters"] = json!([{"plugin": {"name": "misbehave", "config": {"do": "pass"}}}]);
    hub.put("/v1/subscriptions/filtered", &filtered).await;
    let mut dead = to("/dead", json!({"max_attempts": 1}));
    dead["types"] = json!(["round.dead"]);
    hub.put("/v1/subscriptions/dead", &dead).await;
    let chat = json!({"types": ["round.n"], "protocol": "notifier-chat",
        "protocolsettings": {"url": receiver.url("/chat"), "template": "{id}"}, "config": patient()});
    hub.put("/v1/subscriptions/chat", &chat).await;
    hub.kill().await;
}

/// Lets everything arrive, and looks into every corner.
#[allow(clippy::print_stdout, reason = "the ledger is what a long run is for")]
async fn finish(hub: &HubProcess, ledger: &Ledger, mut traffic: Traffic, kills: u64) {
    traffic.send_again(hub).await;
    hub.post("/v1/subscriptions/paused/resume", &Value::Null).await;
    ledger.check_subscriptions(hub).await;
    let stored = ledger.check_log(hub).await;
    ledger.check_streamed(hub, traffic.streamed, stored).await;
    ledger.everything_arrives().await;
    ledger.check_dead(hub, DEAD).await;
    let repeats = ledger.check_arrivals();
    for (sink, repeats) in &repeats {
        assert!(
            *repeats <= kills * REPEATS,
            "{sink}: {repeats} repeats in {kills} kills"
        );
    }
    println!(
        "{kills} kills, {stored} records in the log, {}; repeats: {repeats:?}",
        ledger.summary()
    );
}
