//! A notifier that does whatever its tests ask: the twin of `misbehave` for the other world.
//!
//! What to do comes from the config (`{"do": "fail-retry"}`), or from the event where its data has a string at `/do`.

use std::hint::black_box;
use std::sync::OnceLock;

use serde::Deserialize;

use busway::plugin::log;
use exports::busway::plugin::notifier::{About, Delivery, Event, Failure, Guest, Head};

wit_bindgen::generate!({ path: "../../../wit/v0", world: "notifier-plugin" });

static CONFIG: OnceLock<Config> = OnceLock::new();

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "do", default = "deliver")]
    deed: String,
    /// Milliseconds, where the deed has a time.
    #[serde(default)]
    ms: u64,
}

fn deliver() -> String {
    "ok".to_owned()
}

struct Misbehave;

impl Guest for Misbehave {
    fn describe() -> About {
        About {
            summary: "does whatever its tests ask".to_owned(),
            config_schema: None,
        }
    }

    fn init(config: String) -> Result<(), String> {
        std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
        let config: Config = serde_json::from_str(&config).map_err(|error| format!("config: {error}"))?;
        if config.deed == "init-error" {
            return Err("this config will not do".to_owned());
        }
        CONFIG.set(config).map_err(|_| "init was called twice".to_owned())
    }

    fn notify(head: Head, event: &Event, delivery: Delivery) -> Result<(), Failure> {
        let config = CONFIG.get().ok_or_else(|| fail("init was not called", false, None))?;
        let asked = event
            .at("/do")
            .and_then(|json| serde_json::from_str::<String>(&json).ok());
        match asked.as_deref().unwrap_or(&config.deed) {
            "ok" => Ok(()),
            // Tells the test through the log what it was given.
            "tell" => {
                let Delivery {
                    subscription,
                    attempt,
                    id,
                } = delivery;
                log::write(
                    log::Level::Info,
                    &format!("{} to {subscription}, attempt {attempt}, {id}", head.id),
                );
                Ok(())
            }
            "fail-retry" => Err(fail("come back later", true, Some(config.ms))),
            "fail-final" => Err(fail("never again", false, None)),
            // Good at the second try: what a sink that was briefly away looks like.
            "fail-once" if delivery.attempt == 1 => Err(fail("come back later", true, None)),
            "fail-once" => Ok(()),
            "loop" => loop {
                black_box(());
            },
            "panic" => panic!("asked to panic"),
            // Waits in the host, where no epoch reaches it.
            "sleep" => {
                wasip2::clocks::monotonic_clock::subscribe_duration(config.ms * 1_000_000).block();
                Ok(())
            }
            other => Err(fail(&format!("does not know how to {other}"), false, None)),
        }
    }
}

export!(Misbehave);

fn fail(reason: &str, retry: bool, retry_after_ms: Option<u64>) -> Failure {
    Failure {
        reason: reason.to_owned(),
        retry,
        retry_after_ms,
    }
}
