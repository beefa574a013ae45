//! A notifier that reaches out as its tests ask: network, key-value space, files, and all of it without end.
//!
//! What to do comes from the event (a string at `/do`) or from the config (`{"do": "get", "url": "http://…"}`). What it
//! found it tells as its failure's reason: nothing that reaches out is a delivery.

mod http;
mod sockets;

use std::sync::OnceLock;

use serde::Deserialize;

use busway::plugin::{kv, log};
use exports::busway::plugin::notifier::{About, Delivery, Event, Failure, Guest, Head};

wit_bindgen::generate!({ path: "../../../wit/v0", world: "notifier-plugin" });

static CONFIG: OnceLock<Config> = OnceLock::new();

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "do", default)]
    deed: String,
    /// Where HTTP goes.
    #[serde(default)]
    url: String,
    /// Where TCP goes, `host:port`.
    #[serde(default)]
    tcp: String,
    /// Bytes, lines or rounds, where the deed has a number.
    #[serde(default = "many")]
    size: usize,
}

fn many() -> usize {
    1_000
}

struct Reach;

impl Guest for Reach {
    fn describe() -> About {
        About {
            summary: "reaches out as its tests ask".to_owned(),
            config_schema: None,
        }
    }

    fn init(config: String) -> Result<(), String> {
        let config: Config = serde_json::from_str(&config).map_err(|error| format!("config: {error}"))?;
        CONFIG.set(config).map_err(|_| "init was called twice".to_owned())
    }

    fn notify(_: Head, event: &Event, _: Delivery) -> Result<(), Failure> {
        let Some(config) = CONFIG.get() else {
            return Err(failure("init was not called"));
        };
        let asked = event
            .at("/do")
            .and_then(|json| serde_json::from_str::<String>(&json).ok());
        Err(failure(act(asked.as_deref().unwrap_or(&config.deed), config)))
    }
}

export!(Reach);

fn failure(reason: impl Into<String>) -> Failure {
    Failure {
        reason: reason.into(),
        retry: false,
        retry_after_ms: None,
    }
}

/// What it found.
fn act(deed: &str, config: &Config) -> String {
    match deed {
        "get" => told(http::send("GET", &config.url, b"")),
        "get-for-ever" => loop {
            let _ = http::send("GET", &config.url, b"");
        },
        // A hub that may be told to subscribe could be told so for ever.
        "subscribe-for-ever" => subscribe(&config.url),
        "post" => told(http::send("POST", &config.url, &vec![b'x'; config.size])),
        "echo" => told(sockets::echo(&config.tcp)),
        "drink" => told(sockets::drink(&config.tcp)),
        "pour" => told(sockets::pour(&config.tcp)),
        "dial-for-ever" => told(sockets::dial_for_ever(&config.tcp)),
        "listen" => told(std::net::TcpListener::bind("127.0.0.1:0").map(|_| "listens")),
        "udp" => told(std::net::UdpSocket::bind("127.0.0.1:0").map(|_| "has a socket")),
        "files" => told(std::fs::read_dir("/").map(|found| format!("{} files", found.count()))),
        "write" => told(std::fs::write("/tmp/reached", "x").map(|()| "wrote")),
        "arguments" => format!("{:?}", std::env::args().collect::<Vec<_>>()),
        "environment" => format!("{:?}", std::env::vars().collect::<Vec<_>>()),
        "exit" => std::process::exit(3),
        "print" => {
            (0..config.size).for_each(|line| println!("line {line}"));
            "printed".to_owned()
        }
        // Neither computes nor waits for long: it is in the host most of the time.
        "tick-for-ever" => loop {
            wasip2::clocks::monotonic_clock::subscribe_duration(1).block();
        },
        "log-for-ever" => loop {
            log::write(log::Level::Warn, "and again");
        },
        "set" => told(kv::set("key", &vec![b'x'; config.size]).map(|()| "set")),
        "value" => told(kv::get("key").map(|value| format!("{:?} bytes", value.map(|value| value.len())))),
        "keys" => told(kv::keys("").map(|keys| format!("{keys:?}"))),
        "set-for-ever" => set_for_ever(),
        other => format!("does not know how to {other}"),
    }
}

fn told<T: ToString, E: ToString>(found: Result<T, E>) -> String {
    match found {
        Ok(found) => found.to_string(),
        Err(error) => format!("error: {}", error.to_string()),
    }
}

fn subscribe(url: &str) -> String {
    let subscription = format!(r#"{{"types": ["**"], "protocol": "HTTP", "sink": "{url}"}}"#);
    let mut made = 0;
    loop {
        match http::send("POST", url, subscription.as_bytes()) {
            Ok(_) => made += 1,
            Err(error) => return format!("made {made}, then {error}"),
        }
    }
}

fn set_for_ever() -> String {
    for number in 0_u64.. {
        if let Err(why) = kv::set(&format!("key {number}"), &[b'x'; 1_000]) {
            return format!("set {number}, then {why}");
        }
    }
    "never".to_owned()
}
