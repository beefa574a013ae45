//! A filter that does whatever its tests ask, good or bad: the proof of every limit of the hub.
//!
//! What to do comes from the config (`{"do": "loop"}`), or from the event where its data has a string at `/do`, so
//! that one instance can behave and misbehave by turns. One guest for all of it: a test names a deed, not a file.

use std::hint::black_box;
use std::sync::OnceLock;

use serde::Deserialize;

use busway::plugin::{kv, log};
use exports::busway::plugin::filter::{About, Event, Guest, Head, Verdict};

wit_bindgen::generate!({ path: "../../../wit/v0", world: "filter-plugin" });

/// What `mark` drops with. A test makes another generation by writing another digit over the one in the file.
#[used]
static MARK: [u8; 12] = *b"generation 0";

static CONFIG: OnceLock<Config> = OnceLock::new();

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "do", default = "pass")]
    deed: String,
    /// Bytes, lines or rounds, where the deed has a number.
    #[serde(default = "many")]
    size: usize,
}

fn pass() -> String {
    "pass".to_owned()
}

fn many() -> usize {
    100 << 20
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
        match config.deed.as_str() {
            "init-error" => return Err("this config will not do".to_owned()),
            "init-loop" => spin(),
            "init-trap" => trap(),
            _ => {}
        }
        CONFIG.set(config).map_err(|_| "init was called twice".to_owned())
    }

    fn evaluate(head: Head, event: &Event) -> Result<Verdict, String> {
        let config = CONFIG.get().ok_or("init was not called")?;
        let asked = event
            .at("/do")
            .and_then(|json| serde_json::from_str::<String>(&json).ok());
        match asked.as_deref().unwrap_or(&config.deed) {
            // In the host most of the time, and never waiting there.
            "ask-for-ever" => loop {
                black_box(event.at("/do"));
            },
            deed => act(deed, config.size, &head),
        }
    }
}

export!(Misbehave);

fn act(deed: &str, size: usize, head: &Head) -> Result<Verdict, String> {
    match deed {
        "pass" => {}
        "drop" => return Ok(Verdict::Drop("asked to".to_owned())),
        "replace" => {
            return Ok(Verdict::Replace(format!("replaced {}", head.id).into_bytes()));
        }
        "mark" => {
            return Ok(Verdict::Drop(String::from_utf8_lossy(black_box(&MARK)).into_owned()));
        }
        "odd-fails" => {
            if black_box(&MARK)[11] % 2 == 1 {
                return Err("odd generations fail".to_owned());
            }
        }
        "error" => return Err("it went wrong".to_owned()),
        "loop" => spin(),
        "busy" => (0..size).for_each(|round| _ = black_box(round)),
        "grow" => grow(size),
        "hoard" => hoard(),
        "recurse" => _ = black_box(recurse(0)),
        "trap" => trap(),
        "panic" => panic!("asked to panic"),
        "huge-replace" => return Ok(Verdict::Replace(vec![b'x'; size])),
        "huge-drop" => return Ok(Verdict::Drop("x".repeat(size))),
        "huge-error" => return Err("x".repeat(size)),
        "huge-log" => log::write(log::Level::Warn, &"x".repeat(size)),
        "count" => return count().map(|count| Verdict::Drop(count.to_string())),
        "set-for-ever" => set_for_ever(),
        "flood" => (0..size).for_each(|line| log::write(log::Level::Warn, &format!("line {line}"))),
        other => return Err(format!("does not know how to {other}")),
    }
    Ok(Verdict::Pass)
}

/// Adds one to a count that all instances share; what it is then.
fn count() -> Result<u64, String> {
    loop {
        let old = kv::get("count")?;
        let count = old
            .as_ref()
            .map_or(0, |old| String::from_utf8_lossy(old).parse().unwrap_or(0))
            + 1;
        if kv::compare_and_set("count", old.as_deref(), Some(count.to_string().as_bytes()))? {
            return Ok(count);
        }
    }
}

/// Fills the key-value space until it is full, and goes on asking.
fn set_for_ever() -> ! {
    for number in (0_u64..).cycle() {
        let _ = kv::set(&format!("key {number}"), &[b'x'; 1_000]);
    }
    unreachable!("there is always another number")
}

/// Never ends, and asks nothing of the host meanwhile.
fn spin() -> ! {
    loop {
        black_box(());
    }
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

/// Takes and touches this much memory at once, and keeps it: a pooled instance stays large.
fn grow(size: usize) {
    black_box(vec![1_u8; size].leak());
}

/// Takes memory without end, a mebibyte at a time.
fn hoard() -> ! {
    loop {
        grow(1 << 20);
    }
}

/// Deeper than any stack; the arithmetic after the call keeps it from becoming a loop.
#[expect(unconditional_recursion, reason = "the stack limit is what it tests")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1).wrapping_add(frame[0])
}
