//! A listener: what Pulp keeps of one, how requests make and change it, and how it is shown.
//!
//! The order of the checks and what is *not* checked are Pulp's: the content of `notifier_config` is free, so a listener
//! may be accepted that can never be notified.
//! Invariant: what [`Listener::to_document`] writes, [`Listener::from_document`] reads back equal.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use crate::event::native::pulp::python;
use crate::time::Timestamp;

/// What is shown in the place of a password. Pulp itself shows it to whoever may read listeners.
const MASK: &str = "***";

/// Where the collection is.
pub(super) const COLLECTION: &str = "/pulp/api/v2/events/";

/// Everything that may be listened to, besides `*`.
const EVENT_TYPES: [&str; 4] = [
    "repo.publish.start",
    "repo.publish.finish",
    "repo.sync.start",
    "repo.sync.finish",
];
/// The one wildcard.
pub(super) const EVERY_TYPE: &str = "*";

/// What carries an event to whom it may concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notifier {
    Http,
    Email,
    Amqp,
}

impl Notifier {
    const ALL: [Self; 3] = [Self::Http, Self::Email, Self::Amqp];

    /// Its `notifier_type_id`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Email => super::settings::EMAIL,
            Self::Amqp => super::settings::AMQP,
        }
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        let word = value?.as_str()?;
        Self::ALL.into_iter().find(|known| known.word() == word)
    }
}

/// An event listener.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listener {
    /// 24 hex digits.
    pub(super) id: String,
    /// How it is notified; for good.
    pub(super) notifier: Notifier,
    /// The notifier's own settings.
    pub(super) config: Map<String, Value>,
    /// What it listens to.
    pub(super) event_types: Vec<String>,
    /// When it was last made or changed.
    pub(super) since: Timestamp,
    /// The digest of the subscription that stands for it, once there is one: so that a start leaves alone what is as
    /// it should be, with whatever its owner has changed in it since.
    pub(super) stands: Option<String>,
}

impl Listener {
    /// Makes one from the body of a POST.
    pub(super) fn create(body: &Map<String, Value>, now: Timestamp, chance: u128) -> Result<Self, Refusal> {
        let event_types = event_types(body.get("event_types"))?;
        let notifier = Notifier::read(body.get("notifier_type_id"));
        Ok(Self {
            notifier: notifier.ok_or(Refusal::Invalid("notifier_type_id"))?,
            config: config(body)?.cloned().unwrap_or_default(),
            event_types,
            id: id(now, chance),
            since: now,
            stands: None,
        })
    }

    /// This one with what the body of a PUT says: the config merged, a null taking a key away; the types as a whole.
    pub(super) fn changed(&self, body: &Map<String, Value>, now: Timestamp) -> Result<Self, Refusal> {
        let mut next = Self {
            since: now,
            stands: None,
            ..self.clone()
        };
        for (key, value) in config(body)?.into_iter().flatten() {
            match value {
                // Whoever sends back what they were shown means what is there.
                value
                    if self
                        .config
                        .get(key)
                        .is_some_and(|old| hidden(key, old).as_ref() == Some(value)) => {}
                Value::Null => drop(next.config.remove(key)),
                value => drop(next.config.insert(key.clone(), value.clone())),
            }
        }
        if body.get("event_types").is_some_and(|types| !types.is_null()) {
            next.event_types = event_types(body.get("event_types"))?;
        }
        Ok(next)
    }

    /// A string of the notifier's settings, if it is one and not empty.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.config.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// Where it is.
    pub(super) fn href(&self) -> String {
        format!("{COLLECTION}{}/", self.id)
    }

    /// As Pulp shows it.
    pub(super) fn to_json(&self) -> String {
        let mut config = self.config.clone();
        for (key, value) in &mut config {
            if let Some(hidden) = hidden(key, value) {
                *value = hidden;
            }
        }
        let shown = Shown {
            _href: self.href(),
            _id: ObjectId { oid: &self.id },
            _ns: "event_listeners",
            id: &self.id,
            event_types: &self.event_types,
            notifier_config: &config,
            notifier_type_id: self.notifier.word(),
        };
        python::spelled(&serde_json::to_string(&shown).unwrap_or_default())
    }

    /// As it is kept.
    pub(super) fn to_document(&self) -> Value {
        json!({
            "notifier_type_id": self.notifier.word(),
            "notifier_config": self.config,
            "event_types": self.event_types,
            "since": self.since.0,
            "stands": self.stands,
        })
    }

    /// Reads what was kept under this id.
    pub(super) fn from_document(id: &str, document: &Value) -> Option<Self> {
        Some(Self {
            id: id.to_owned(),
            notifier: Notifier::read(document.get("notifier_type_id"))?,
            config: document.get("notifier_config")?.as_object()?.clone(),
            event_types: event_types(document.get("event_types")).ok()?,
            since: Timestamp(document.get("since")?.as_i64()?),
            stands: document.get("stands")?.as_str().map(str::to_owned),
        })
    }
}

/// What is shown in the place of a value that holds a password; none if it holds none.
fn hidden(key: &str, value: &Value) -> Option<Value> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    if key == "password" {
        return Some(MASK.into());
    }
    let mut url = url::Url::parse(text).ok().filter(|url| url.password().is_some())?;
    // A URL with a password may have one.
    let _ = url.set_password(Some(MASK));
    Some(url.to_string().into())
}

/// The keys and their order.
#[derive(Serialize)]
struct Shown<'a> {
    _href: String,
    _id: ObjectId<'a>,
    _ns: &'static str,
    id: &'a str,
    event_types: &'a [String],
    notifier_config: &'a Map<String, Value>,
    notifier_type_id: &'static str,
}

#[derive(Serialize)]
struct ObjectId<'a> {
    #[serde(rename = "$oid")]
    oid: &'a str,
}

/// As MongoDB makes them: the seconds first, then what no other has. Here the milliseconds come second, so that a
/// listing by id is in the order of creation.
fn id(now: Timestamp, chance: u128) -> String {
    let (seconds, millis) = (now.0.div_euclid(1_000), now.0.rem_euclid(1_000));
    format!(
        "{:08x}{millis:04x}{:012x}",
        seconds & 0xffff_ffff,
        chance & 0xffff_ffff_ffff
    )
}

/// Whether this can be a listener's id; then as it is kept.
pub(super) fn known_form(id: &str) -> Option<String> {
    let good = id.len() == 24 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    good.then(|| id.to_ascii_lowercase())
}

fn event_types(value: Option<&Value>) -> Result<Vec<String>, Refusal> {
    let refusal = || Refusal::Invalid("event_types");
    let items = value.and_then(Value::as_array).filter(|items| !items.is_empty());
    let known = |item: &Value| {
        let ty = item.as_str()?;
        (ty == EVERY_TYPE || EVENT_TYPES.contains(&ty)).then(|| ty.to_owned())
    };
    let all: Option<Vec<String>> = items.ok_or_else(refusal)?.iter().map(known).collect();
    all.ok_or_else(refusal)
}

/// Pulp takes anything for a config, and fails on each event if it is no object: that is refused here.
fn config(body: &Map<String, Value>) -> Result<Option<&Map<String, Value>>, Refusal> {
    match body.get("notifier_config") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(config)) => Ok(Some(config)),
        Some(_) => Err(Refusal::Invalid("notifier_config")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn listener() -> Listener {
        let body = json!({"notifier_type_id": "http", "notifier_config": {"url": "http://a", "username": "u"},
            "event_types": ["repo.sync.start", "*"], "other": 1});
        Listener::create(&object(body), Timestamp(1_350_673_756_789), 0xabc).unwrap()
    }

    #[test]
    fn a_listener_is_shown_and_kept() {
        let made = listener();
        assert_eq!(made.id, "5081a55c0315000000000abc");
        let shown = r#"{"_href": "/pulp/api/v2/events/5081a55c0315000000000abc/", "_id": {"$oid": "5081a55c0315000000000abc"}, "_ns": "event_listeners", "id": "5081a55c0315000000000abc", "event_types": ["repo.sync.start", "*"], "notifier_config": {"url": "http://a", "username": "u"}, "notifier_type_id": "http"}"#;
        assert_eq!(made.to_json(), shown);
        let kept = Listener {
            stands: Some("x".into()),
            ..made
        };
        assert_eq!(Listener::from_document(&kept.id, &kept.to_document()).unwrap(), kept);
    }

    #[test]
    fn a_change_is_merged() {
        let check = |body: Value, config: Value, types: &[&str]| {
            let changed = listener().changed(&object(body.clone()), Timestamp(5)).unwrap();
            assert_eq!(Value::Object(changed.config), config, "{body}");
            assert_eq!(changed.event_types, types, "{body}");
            assert_eq!((changed.notifier, changed.stands), (Notifier::Http, None));
        };
        let (whole, both) = (json!({"url": "http://a", "username": "u"}), ["repo.sync.start", "*"]);
        check(json!({}), whole.clone(), &both);
        check(
            json!({"notifier_config": null, "event_types": null}),
            whole.clone(),
            &both,
        );
        check(json!({"notifier_type_id": "email"}), whole.clone(), &both);
        check(
            json!({"notifier_config": {"username": null, "password": "p", "gone": null}}),
            json!({"url": "http://a", "password": "p"}),
            &both,
        );
        check(json!({"event_types": ["*"]}), whole, &["*"]);
    }

    #[test]
    fn passwords_are_hidden_and_stay_when_they_are_sent_back() {
        let given = json!({"password": "secret", "url": "http://u:secret@a/"});
        let body = json!({"notifier_config": given});
        let made = listener().changed(&object(body), Timestamp(0)).unwrap();
        let shown = made.to_json();
        assert!(
            shown.contains("http://u:***@a/") && !shown.contains("secret"),
            "{shown}"
        );
        let back = json!({"notifier_config": {"password": "***", "url": "http://u:***@a/"}});
        let same = made.changed(&object(back), Timestamp(0)).unwrap();
        assert_eq!(same.config, made.config);
    }

    #[test]
    fn checks_come_in_their_order() {
        let check = |body: Value, at_fault: &str| {
            let refused = Listener::create(&object(body.clone()), Timestamp(0), 0).unwrap_err();
            assert!(
                matches!(refused, Refusal::Invalid(name) if name == at_fault),
                "{body}: {refused:?}"
            );
        };
        check(json!({}), "event_types");
        check(json!({"notifier_type_id": "http", "event_types": []}), "event_types");
        check(json!({"notifier_type_id": "http", "event_types": "*"}), "event_types");
        check(
            json!({"notifier_type_id": "http", "event_types": ["repo.*"]}),
            "event_types",
        );
        check(
            json!({"notifier_type_id": "http", "event_types": ["*", 1]}),
            "event_types",
        );
        check(json!({"event_types": ["*"]}), "notifier_type_id");
        check(
            json!({"notifier_type_id": "rest-api", "event_types": ["*"]}),
            "notifier_type_id",
        );
        check(
            json!({"notifier_type_id": "http", "event_types": ["*"], "notifier_config": []}),
            "notifier_config",
        );
        let change = object(json!({"event_types": []}));
        assert!(listener().changed(&change, Timestamp(0)).is_err());
    }
}
