//! Shows settings: the effective ones with where each came from, or the reference of all keys.
//!
//! Invariant: secrets do not leave: values of `grants.env`, config entries that sound like one, and of a URL all but
//! the host show as `***`.

use serde_json::{Map, Value, json};

use super::{Config, Settings, keys};
use crate::plugin::{PluginSettings, Rollback};
use crate::subscription::is_secret;
use crate::units::{show_duration, show_size};

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// The effective settings as rows: key, value, where from.
pub fn rows(config: &Config) -> Vec<[String; 3]> {
    let mut rows: Vec<[String; 3]> = keys()
        .map(|key| {
            [
                key.name.to_owned(),
                (key.show)(&config.settings),
                config.origin(key).to_string(),
            ]
        })
        .collect();
    for (name, plugin) in &config.settings.plugins {
        let shown = show_plugin(plugin);
        for (key, value) in shown {
            rows.push([format!("plugins.{name}.{key}"), value.to_string(), "file".to_owned()]);
        }
    }
    for (name, account) in &config.settings.accounts {
        let scopes: Vec<String> = account.permissions.iter().map(ToString::to_string).collect();
        rows.push([format!("auth.{name}.secret"), HIDDEN.to_owned(), "file".to_owned()]);
        rows.push([format!("auth.{name}.scopes"), scopes.join(", "), "file".to_owned()]);
        let rate = account.pace.map(|pace| ("rate", pace.rate.to_string()));
        let expires = account.expires.map(|at| ("expires", at.to_string()));
        for (key, value) in rate.into_iter().chain(expires) {
            rows.push([format!("auth.{name}.{key}"), value, "file".to_owned()]);
        }
    }
    rows
}

/// The effective settings for a program: `{"key": {"value", "from"}}`.
pub fn json(config: &Config) -> Value {
    let rows = rows(config);
    let entries = rows
        .into_iter()
        .map(|[key, value, from]| (key, json!({ "value": value, "from": from })));
    Value::Object(entries.collect())
}

/// The reference of all keys, as the README has it.
pub fn reference() -> String {
    let defaults = Settings::default();
    let mut text = String::from("| key | default | flag, variable | meaning |\n|---|---|---|---|\n");
    for key in keys() {
        let default = (key.show)(&defaults);
        let default = if default.is_empty() {
            "(none)".to_owned()
        } else {
            format!("`{default}`")
        };
        let live = if key.live { " (changes live)" } else { "" };
        let (name, flag, variable, about) = (key.name, key.flag, key.variable(), key.about);
        text.push_str(&format!(
            "| `{name}` | {default} | `--{flag}`, `{variable}` | {about}{live} |\n"
        ));
    }
    text
}

/// One plugin's entry, secrets hidden.
fn show_plugin(plugin: &PluginSettings) -> Map<String, Value> {
    let env: Map<String, Value> = plugin
        .grants
        .env
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(reference_or_hidden(value))))
        .collect();
    let mut shown = Map::new();
    shown.insert("config".to_owned(), hide(&Value::Object(plugin.config.clone())));
    shown.insert(
        "grants".to_owned(),
        json!({
            "http": plugin.grants.http,
            "tcp": plugin.grants.tcp,
            "tls": plugin.grants.tls,
            "tls_ca": plugin.grants.tls_ca.as_deref().map(reference_or_hidden),
            "env": env,
            "kv": plugin.grants.kv.map(|size| show_size(size as u64)),
        }),
    );
    shown.insert("limits".to_owned(), json!(plugin.limits.show(None)));
    shown.insert(
        "rollback".to_owned(),
        match plugin.rollback {
            Rollback::Off => Value::Bool(false),
            Rollback::On {
                window,
                calls,
                failures,
            } => json!({ "window": show_duration(window), "calls": calls, "failures": failures }),
        },
    );
    shown
}

/// `file:…` and `env:…` only say where a secret is.
fn reference_or_hidden(value: &str) -> &str {
    if value.starts_with("file:") || value.starts_with("env:") {
        value
    } else {
        HIDDEN
    }
}

fn hide(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let hidden = entries.iter().map(|(name, value)| {
                let shown = if is_secret(name) {
                    Value::from(HIDDEN)
                } else {
                    hide(value)
                };
                (name.clone(), shown)
            });
            Value::Object(hidden.collect())
        }
        Value::Array(items) => items.iter().map(hide).collect(),
        Value::String(text) => Value::from(without_secrets(text)),
        other => other.clone(),
    }
}

/// Of a URL the host: what is secret in one stands as the user, in the path (chat webhooks) or in the query.
fn without_secrets(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(url) if url.has_host() => {
            let credentials = url.password().is_some() || !url.username().is_empty();
            let user = if credentials {
                format!("{HIDDEN}@")
            } else {
                String::new()
            };
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let rest = match url.path().len() > 1 || url.query().is_some() {
                true => format!("/{HIDDEN}"),
                false => String::new(),
            };
            format!(
                "{}://{user}{}{port}{rest}",
                url.scheme(),
                url.host_str().unwrap_or_default()
            )
        }
        _ => text.to_owned(),
    }
}
