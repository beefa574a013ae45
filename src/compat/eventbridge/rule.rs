//! A rule as it is kept: the document, in the service's own spelling.
//!
//! The truth is here; the subscriptions that deliver are made of it (`subscribed`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::arn;
use super::fault::Fault;
use super::settings::Settings;
use crate::subscription::is_secret;

/// What stands for a secret when a rule is shown.
const MASK: &str = "***";

/// A rule with its targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Rule {
    /// The bus, by the name that it has here.
    pub(super) event_bus_name: String,
    pub(super) rule_name: String,
    pub(super) description: String,
    pub(super) status: Status,
    /// The pattern as it was written: JSON in a text.
    pub(super) filter_pattern: String,
    pub(super) targets: Vec<Target>,
    pub(super) tags: Value,
    /// When it was made, Unix milliseconds.
    pub(super) ctime: i64,
    /// When it was last changed.
    pub(super) mtime: i64,
}

/// Whether a rule is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Status {
    Enable,
    Disable,
}

/// One target: where events go, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Target {
    pub(super) id: String,
    #[serde(rename = "Type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) push_retry_strategy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) errors_tolerance: Option<String>,
    #[serde(default)]
    pub(super) param_list: Vec<Param>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) concurrent_config: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dead_letter_queue: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run_options: Option<Value>,
    /// What else was given.
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// One parameter of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Param {
    pub(super) resource_key: String,
    #[serde(default)]
    pub(super) form: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) template: Option<String>,
}

impl Status {
    /// Reads `ENABLE` or `DISABLE`.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        match text.to_ascii_uppercase().as_str() {
            "ENABLE" | "ENABLED" => Ok(Self::Enable),
            "DISABLE" | "DISABLED" => Ok(Self::Disable),
            _ => Err(Fault::parameter("Status", "must be ENABLE or DISABLE")),
        }
    }
}

impl Rule {
    /// As the calls show it; secrets are not.
    pub(super) fn shown(&self, settings: &Settings) -> Value {
        json!({
            "EventBusName": self.event_bus_name,
            "RuleName": self.rule_name,
            "RuleARN": arn::rule(settings, &self.event_bus_name, &self.rule_name),
            "Description": self.description,
            "Status": self.status,
            "FilterPattern": self.filter_pattern,
            "Targets": self.targets.iter().map(Target::shown).collect::<Vec<_>>(),
            "Tags": self.tags,
            "Ctime": self.ctime,
            "Mtime": self.mtime,
            "CreatedTimestamp": self.ctime,
        })
    }

    /// The target of this id.
    pub(super) fn target(&self, id: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.id == id)
    }
}

impl Target {
    /// Reads one of a call.
    pub(super) fn read(value: &Value) -> Result<Self, Fault> {
        let id = value.get("Id").and_then(Value::as_str).unwrap_or_default();
        let target: Self = serde_json::from_value(value.clone())
            .map_err(|error| Fault::target(id, format_args!("It is no target: {error}.")))?;
        if target.id.is_empty() || target.id.len() > 255 {
            return Err(Fault::target(id, "Its Id must have 1 to 255 characters."));
        }
        let unknown = target.rest.iter().find(|(name, value)| {
            let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty) || value.as_str() == Some("");
            // What the service shows beside it, and what says where it stands.
            !empty && !["DetailMap", "EventBusName", "RuleName"].contains(&name.as_str())
        });
        match unknown {
            Some((name, _)) => Err(Fault::target(id, format_args!("Its field {name} is not served here."))),
            None => Ok(target),
        }
    }

    pub(super) fn shown(&self) -> Value {
        let mut shown = self.clone();
        for param in shown
            .param_list
            .iter_mut()
            .filter(|param| is_secret(&param.resource_key))
        {
            param.value = param.value.take().map(|_| MASK.to_owned());
        }
        serde_json::to_value(shown).unwrap_or_default()
    }

    /// Puts back what was hidden when the older one was shown.
    ///
    /// # Errors
    /// `EventTargetInvalid`: there is nothing to put back, or the events would go elsewhere: a secret goes only where its
    /// owner sent it, and who may change a rule must not learn it by pointing the target at himself.
    pub(super) fn restored(mut self, old: Option<&Self>) -> Result<Self, Fault> {
        let old = old.filter(|old| old.place() == self.place());
        let id = self.id.clone();
        for param in self
            .param_list
            .iter_mut()
            .filter(|param| is_secret(&param.resource_key) && param.value.as_deref() == Some(MASK))
        {
            let kept = old.and_then(|old| old.param(&param.resource_key)).ok_or_else(|| {
                let text = format!(
                    "Its parameter {} is {MASK}, which is how a secret is shown: send the secret itself for a target that \
                     is new or goes elsewhere.",
                    param.resource_key
                );
                Fault::target(&id, text)
            })?;
            param.value.clone_from(&kept.value);
        }
        Ok(self)
    }

    /// Where it leads: its type, its endpoint, and every parameter that may say so.
    fn place(&self) -> (&str, &str, Vec<&Param>) {
        let mut params: Vec<&Param> = self.param_list.iter().collect();
        params.retain(|param| !is_secret(&param.resource_key) && !param.resource_key.eq_ignore_ascii_case("Body"));
        params.sort_by(|one, other| one.resource_key.cmp(&other.resource_key));
        (&self.kind, &self.endpoint, params)
    }

    /// The parameter of this name, whatever its case.
    pub(super) fn param(&self, name: &str) -> Option<&Param> {
        self.param_list
            .iter()
            .find(|param| param.resource_key.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_and_its_secrets_are_not_shown() {
        let given = json!({"Id": "1", "Type": "http", "Endpoint": "http://a/", "PushSelector": null, "DetailMap": {"x": 1},
            "ParamList": [{"ResourceKey": "Token", "Form": "CONSTANT", "Value": "s3cret"}, {"ResourceKey": "Body", "Form": "ORIGINAL"}]});
        let target = Target::read(&given).unwrap();
        let shown = target.shown();
        assert_eq!(shown["ParamList"][0]["Value"], "***");
        let again = Target::read(&shown).unwrap().restored(Some(&target)).unwrap();
        assert_eq!(again.param("token").unwrap().value.as_deref(), Some("s3cret"));
        // A secret stays where it was sent.
        let moved = |place: &str, value: Value| {
            let mut moved = shown.clone();
            moved[place] = value;
            Target::read(&moved).unwrap()
        };
        for elsewhere in [
            moved("Endpoint", "http://b/".into()),
            moved("Type", "https".into()),
            moved(
                "ParamList",
                json!([{"ResourceKey": "Token", "Value": "***"}, {"ResourceKey": "URL", "Value": "http://b/"}]),
            ),
        ] {
            let fault = elsewhere.restored(Some(&target)).unwrap_err();
            assert!(fault.message.contains("send the secret itself"), "{fault:?}");
        }
        assert!(Target::read(&shown).unwrap().restored(None).is_err());
    }

    #[test]
    fn what_a_target_cannot_have_is_named() {
        for (given, part) in [
            (json!({"Type": "http"}), "missing field `Id`"),
            (json!({"Id": "", "Type": "http"}), "1 to 255"),
            (json!({"Id": "1"}), "missing field `Type`"),
            (json!({"Id": "1", "Type": "http", "Colour": "red"}), "Its field Colour"),
        ] {
            let fault = Target::read(&given).unwrap_err();
            assert!(
                fault.code == "EventTargetInvalid" && fault.message.contains(part),
                "{given}: {fault:?}"
            );
        }
    }
}
