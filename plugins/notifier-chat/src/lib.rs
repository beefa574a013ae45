//! Posts events as lines of text to a chat webhook (Slack, Mattermost, Discord and their like).
//!
//! It is built for `wasm32-unknown-unknown` with wasi:http alone, so what it imports is what it does: nothing of
//! files, sockets or the environment. Retrying, waiting and signing are the hub's; this says only what came of one try.
//! Invariant: what is refused for good (a wrong config) is refused in `init`, before any event is at stake.

mod post;
mod template;

use std::sync::OnceLock;

use serde::Deserialize;

use busway::plugin::log;
use exports::busway::plugin::notifier::{About, Delivery, Event, Failure, Guest, Head};
use post::Url;
use template::Template;

wit_bindgen::generate!({ path: "../../wit/v0", world: "notifier-plugin" });

const SCHEMA: &str = include_str!("../config.schema.json");

/// Set by `init`, which the hub calls once per instance, before anything else.
static CHAT: OnceLock<Chat> = OnceLock::new();

struct Notifier;

impl Guest for Notifier {
    fn describe() -> About {
        About {
            summary: "posts events to a chat webhook".to_owned(),
            config_schema: Some(SCHEMA.to_owned()),
        }
    }

    fn init(config: String) -> Result<(), String> {
        // Without std's stderr a panic would leave no words: send them to the hub's log.
        std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
        CHAT.set(Chat::parse(&config)?)
            .map_err(|_| "init was called twice".to_owned())
    }

    fn notify(_head: Head, event: &Event, _delivery: Delivery) -> Result<(), Failure> {
        let chat = CHAT.get().ok_or_else(|| post::refused("init was not called"))?;
        let text = chat
            .template
            .fill(|name| event.attribute(name), |pointer| event.at(pointer));
        let body = serde_json::json!({ chat.field.as_str(): text }).to_string();
        post::post(&chat.url, body.as_bytes())
    }
}

export!(Notifier);

/// The config, checked.
#[derive(Debug)]
struct Chat {
    url: Url,
    template: Template,
    field: String,
}

impl Chat {
    fn parse(config: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Config {
            url: String,
            template: String,
            field: Option<String>,
        }
        let config: Config = serde_json::from_str(config).map_err(|error| format!("config: {error}"))?;
        Ok(Self {
            url: Url::parse(&config.url).map_err(|error| format!("config: url {error}"))?,
            template: Template::parse(&config.template).map_err(|error| format!("config: template {error}"))?,
            field: config.field.unwrap_or_else(|| "text".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_config() {
        let chat = Chat::parse(r#"{"url": "https://hooks.example.com/a?b=c", "template": "hi"}"#).unwrap();
        assert_eq!(chat.field, "text");
        assert_eq!(chat.url, Url::parse("https://hooks.example.com/a?b=c").unwrap());
    }

    #[test]
    fn refuses_a_wrong_config() {
        let check = |config: &str, says: &str| {
            let error = Chat::parse(config).unwrap_err();
            assert!(error.contains(says), "{config}: {error}");
        };
        check("{}", "missing field `url`");
        check(r#"{"url": "https://a"}"#, "missing field `template`");
        check(
            r#"{"url": "hooks.example.com", "template": ""}"#,
            "url must begin with https:// or http://",
        );
        check(r#"{"url": "https://", "template": ""}"#, "url names no host");
        check(
            r#"{"url": "https://a", "template": "{x"}"#,
            "template has a { without its }",
        );
        check(
            r#"{"url": "https://a", "template": "", "colour": 1}"#,
            "unknown field `colour`",
        );
    }

    #[test]
    fn the_schema_is_json() {
        serde_json::from_str::<serde_json::Value>(SCHEMA).unwrap();
    }
}
