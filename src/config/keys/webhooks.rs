//! The rows of the webhook handshake.

use super::{Key, none};

pub(super) const KEYS: &[Key] = &[
    key! { "webhooks.origin", "webhook-origin", "NAME",
    "The DNS name by which the hub asks a target for consent (`WebHook-Request-Origin`), for subscriptions with `validate`",
    |s, v| { s.webhooks.origin = origin(v.word()?)?; Ok(()) },
    |s| s.webhooks.origin.clone() },
    key! { "webhooks.callback", "webhook-callback", "URL",
    "Where the hub can be called from outside: a target may give its consent there later; `none`: only by its answer",
    |s, v| { s.webhooks.callback = callback(v.word()?)?; Ok(()) },
    |s| s.webhooks.callback.clone().unwrap_or_else(none) },
];

fn origin(word: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    match !word.is_empty() && word.chars().all(allowed) {
        true => Ok(word.to_owned()),
        false => Err("must be a DNS name such as `hub.example.com`".to_owned()),
    }
}

fn callback(word: &str) -> Result<Option<String>, String> {
    if word == "none" {
        return Ok(None);
    }
    match url::Url::parse(word) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none() => {
            Ok(Some(word.trim_end_matches('/').to_owned()))
        }
        _ => Err("must be an http or https URL such as `https://hub.example.com`, or `none`".to_owned()),
    }
}
