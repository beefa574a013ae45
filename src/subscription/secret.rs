//! Secrets are write-only: shown as `"***"`, and a `"***"` that is sent back keeps the one that is stored.
//!
//! A notifier's settings are its own, so the hub cannot know which of them are secret: it goes by the name, on the
//! safe side. The same rule covers custom headers (`authorization`, `x-api-key`) and the native settings. A private key
//! in PEM form is a secret whatever its name. What a
//! plugin's schema calls secret besides is kept with the subscription as places (`write_only`), so that it stays hidden
//! while the plugin is away.
//! Invariant: [`restore`] only ever fills a place that [`mask`] would have masked, [`restore_at`] one of [`mask_at`]'s.

use serde_json::Value;

/// What stands for a secret.
pub(super) const MASK: &str = "***";
/// What is wrong with one that stands for none.
pub(super) const NOT_KEPT: &str =
    "\"***\" stands for a secret that is already kept, and there is none here; send the secret itself";

/// Hides every secret under `settings`.
pub(super) fn mask(settings: &mut Value) {
    each_secret(settings, "", &mut |_, text| *text = MASK.into());
}

/// Hides what stands at these places of a subscription's JSON.
pub(super) fn mask_at(shown: &mut Value, places: &[String]) {
    for place in places {
        if let Some(value) = shown.pointer_mut(place) {
            *value = MASK.into();
        }
    }
}

/// Puts what is stored where `incoming` has `"***"` at one of these places, if it is still the same plugin's; whether
/// any of a notifier's was put back.
pub(super) fn restore_at(incoming: &mut Value, stored: &Value, places: &[String]) -> bool {
    places.iter().fold(false, |any, place| {
        let of_filter = place
            .split_once("/plugin/config")
            .map(|(filter, _)| format!("{filter}/plugin/name"));
        if of_filter
            .as_ref()
            .is_some_and(|name| incoming.pointer(name) != stored.pointer(name))
        {
            return any;
        }
        match (incoming.pointer_mut(place), stored.pointer(place)) {
            (Some(value), Some(kept)) if *value == MASK => {
                value.clone_from(kept);
                any || of_filter.is_none()
            }
            _ => any,
        }
    })
}

/// The JSON Pointers of what is secret by its name, below a config.
pub fn secrets_by_name(config: &Value) -> Vec<String> {
    let named = |(name, value): (&String, &Value)| {
        let place = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        match is_secret_at(name, value) && (value.is_string() || value.is_array() || value.is_object()) {
            true => vec![place],
            false => below(&place, value),
        }
    };
    let below_item = |(i, item): (usize, &Value)| below(&format!("/{i}"), item);
    match config {
        Value::Object(members) => members.iter().flat_map(named).collect(),
        Value::Array(items) => items.iter().enumerate().flat_map(below_item).collect(),
        _ => Vec::new(),
    }
}

fn below(place: &str, value: &Value) -> Vec<String> {
    let found = secrets_by_name(value);
    found.into_iter().map(|rest| format!("{place}{rest}")).collect()
}

/// The path of a `"***"` that stands where a secret should, below `path`.
pub(super) fn unresolved(settings: &Value, path: &str) -> Option<String> {
    let mut found = None;
    // The walk is shared with those that change: a copy of a few settings costs nothing here.
    each_secret(&mut settings.clone(), path, &mut |path, text| {
        if text == MASK {
            found.get_or_insert_with(|| path.to_owned());
        }
    });
    found
}

/// Puts the stored secrets where `incoming` has `"***"`; whether any but signing secrets were put back.
///
/// In a list the first `"***"` stands for the first stored secret, and so on, so that a new one can be put in front.
pub(super) fn restore(incoming: &mut Value, stored: &Value) -> bool {
    match (incoming, stored) {
        (Value::Object(incoming), Value::Object(stored)) => incoming.iter_mut().fold(false, |any, (name, value)| {
            let Some(kept) = stored.get(name) else {
                return any;
            };
            let put_back = if is_secret_at(name, kept) {
                put_back(value, kept) && !is_signing(name)
            } else {
                restore(value, kept)
            };
            put_back || any
        }),
        (Value::Array(incoming), Value::Array(stored)) => incoming
            .iter_mut()
            .zip(stored)
            .fold(false, |any, (value, kept)| restore(value, kept) || any),
        _ => false,
    }
}

fn put_back(value: &mut Value, kept: &Value) -> bool {
    match (value, kept) {
        (Value::String(text), Value::String(kept)) if text == MASK => {
            text.clone_from(kept);
            true
        }
        (Value::Array(items), Value::Array(kept)) => {
            let masked = items.iter_mut().filter(|item| item.as_str() == Some(MASK));
            masked.zip(kept).fold(false, |_, (item, kept)| {
                item.clone_from(kept);
                true
            })
        }
        (Value::Object(items), Value::Object(kept)) => items.iter_mut().fold(false, |any, (name, item)| {
            kept.get(name).is_some_and(|kept| put_back(item, kept)) || any
        }),
        _ => false,
    }
}

fn each_secret(value: &mut Value, path: &str, found: &mut dyn FnMut(&str, &mut String)) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                if is_secret_at(name, value) {
                    each_text(value, &path, found)
                } else {
                    each_secret(value, &path, found)
                }
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .enumerate()
            .for_each(|(i, item)| each_secret(item, &format!("{path}[{i}]"), found)),
        _ => {}
    }
}

fn each_text(value: &mut Value, path: &str, found: &mut dyn FnMut(&str, &mut String)) {
    match value {
        Value::String(text) => found(path, text),
        Value::Array(items) => items
            .iter_mut()
            .enumerate()
            .for_each(|(i, item)| each_text(item, &format!("{path}[{i}]"), found)),
        Value::Object(map) => map
            .iter_mut()
            .for_each(|(name, item)| each_text(item, &format!("{path}.{name}"), found)),
        _ => {}
    }
}

/// Whether a setting is a secret by its name or its form.
fn is_secret_at(name: &str, value: &Value) -> bool {
    is_secret(name) || value.as_str().is_some_and(|text| text.contains("PRIVATE KEY-----"))
}

/// Whether a setting of this name is taken to be a secret.
pub fn is_secret(name: &str) -> bool {
    const MARKS: [&str; 11] = [
        "password",
        "passwd",
        "secret",
        "token",
        "credential",
        "authorization",
        "cookie",
        "apikey",
        "privatekey",
        "accesskey",
        "signature",
    ];
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    // Where OAuth2 tokens are fetched is none.
    plain != "tokenurl" && MARKS.iter().any(|mark| plain.contains(mark))
}

fn is_signing(name: &str) -> bool {
    matches!(name, "secret" | "secrets")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_by_name_wherever_they_stand() {
        let mut settings = json!({
            "host": "h", "smtp_password": "p", "auth": {"basic": {"username": "u", "password": "p"}},
            "headers": {"X-Api-Key": "k", "x-a": "b", "Authorization": "z"}, "tokens": ["a", "b"],
            "credentials": {"user": "u", "deep": {"pass": "p"}}, "list": [{"secret": "s", "plain": 1}], "token": 7,
        });
        mask(&mut settings);
        let expected = json!({
            "host": "h", "smtp_password": "***", "auth": {"basic": {"username": "u", "password": "***"}},
            "headers": {"X-Api-Key": "***", "x-a": "b", "Authorization": "***"}, "tokens": ["***", "***"],
            "credentials": {"user": "***", "deep": {"pass": "***"}}, "list": [{"secret": "***", "plain": 1}], "token": 7,
        });
        assert_eq!(settings, expected);
    }

    #[test]
    fn what_was_masked_is_put_back_and_nothing_else() {
        let stored = json!({"secrets": ["old"], "password": "p", "plain": "q", "credentials": {"user": "u"}});
        for (sent, expected, credentials) in [
            (
                json!({"secrets": ["new", "***"]}),
                json!({"secrets": ["new", "old"]}),
                false,
            ),
            (
                json!({"secrets": ["***", "***"]}),
                json!({"secrets": ["old", "***"]}),
                false,
            ),
            (json!({"password": "***"}), json!({"password": "p"}), true),
            (json!({"password": "new"}), json!({"password": "new"}), false),
            (json!({"plain": "***"}), json!({"plain": "***"}), false),
            (
                json!({"credentials": {"user": "***"}}),
                json!({"credentials": {"user": "u"}}),
                true,
            ),
            (
                json!({"other_password": "***"}),
                json!({"other_password": "***"}),
                false,
            ),
        ] {
            let mut restored = sent.clone();
            assert_eq!(
                (restore(&mut restored, &stored), restored),
                (credentials, expected),
                "{sent}"
            );
        }
    }

    #[test]
    fn a_mask_without_a_secret_is_found() {
        let check = |json: Value| unresolved(&json, "s");
        assert_eq!(
            check(json!({"auth": {"basic": {"password": "***"}}})),
            Some("s.auth.basic.password".into())
        );
        assert_eq!(check(json!({"secrets": ["a", "***"]})), Some("s.secrets[1]".into()));
        assert_eq!(check(json!({"plain": "***", "secret": "x"})), None);
    }

    #[test]
    fn what_a_plugin_calls_secret_is_put_back_for_that_plugin_only() {
        let body = |name: &str, pin: &str, url: &str| json!({"filters": [{"plugin": {"name": name, "config": {"pin": pin}}}], "protocolsettings": {"url": url}});
        let places = ["/filters/0/plugin/config/pin", "/protocolsettings/url"].map(str::to_owned);
        let stored = body("mine", "1234", "https://a");
        let mut shown = stored.clone();
        mask_at(&mut shown, &places);
        assert_eq!(shown, body("mine", "***", "***"));
        for (sent, expected, of_notifier) in [
            (body("mine", "***", "***"), stored.clone(), true),
            (body("mine", "***", "new"), body("mine", "1234", "new"), false),
            (body("other", "***", "new"), body("other", "***", "new"), false),
            (json!({"filters": []}), json!({"filters": []}), false),
        ] {
            let mut restored = sent.clone();
            let kept = restore_at(&mut restored, &stored, &places);
            assert_eq!((kept, restored), (of_notifier, expected), "{sent}");
        }
    }

    #[test]
    fn secrets_of_a_config_are_found_by_name() {
        let config =
            json!({"a": {"api_key": "k", "plain": "p"}, "list": [{"pass/word": "p"}], "tokens": ["t"], "token": 7});
        assert_eq!(
            secrets_by_name(&config),
            ["/a/api_key", "/list/0/pass~1word", "/tokens"]
        );
    }
}
