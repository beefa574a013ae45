//! `--set NAME=VALUE`: options that a plugin's own schema makes.
//!
//! Why one flag and not one a field: the fields are known only to the hub that runs the plugin, and a command line whose
//! flags change with the hub cannot be completed, documented or tested.
//! Invariant: with a schema every value is read by its field's kind, and an unknown name is refused with the nearest
//! one; without a schema a value is JSON if it can be read as JSON, else text.

use serde_json::{Map, Value};

use super::client::{HubClient, escape};
use super::exit::{Code, Failure};
use crate::nearest::hint;
use crate::plugin::{self, Field, FieldKind};

/// What options may set: the config of one plugin, or the settings of the native protocol.
#[derive(Debug)]
pub(super) struct Target {
    /// The plugin's name, or `HTTP`.
    pub(super) name: String,
    /// None if it has no schema.
    fields: Option<Vec<Field>>,
    /// What is set.
    pub(super) config: Map<String, Value>,
}

impl Target {
    /// What has no schema: it takes any name.
    pub(super) fn free(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            fields: None,
            config: Map::new(),
        }
    }

    /// A plugin of this hub.
    pub(super) async fn plugin(client: &HubClient, name: &str) -> Result<Self, Failure> {
        let found = client.get(&format!("/v1/plugins/{}", escape(name))).await?;
        let schema = found.get("config_schema").filter(|schema| !schema.is_null());
        Ok(Self {
            fields: schema.map(plugin::fields),
            ..Self::free(name)
        })
    }

    /// The field of this name, or the one that it lies in.
    fn field(&self, name: &str) -> Option<Field> {
        let any = || Field {
            name: name.to_owned(),
            kind: FieldKind::Any,
            takes: "anything".to_owned(),
            required: false,
            default: None,
            description: String::new(),
        };
        let Some(fields) = &self.fields else { return Some(any()) };
        let within = |field: &Field| {
            let rest = name.strip_prefix(field.name.as_str())?.strip_prefix('.');
            rest.filter(|_| field.kind == FieldKind::Any).map(drop)
        };
        let exact = fields.iter().find(|field| field.name == name).cloned();
        exact.or_else(|| fields.iter().find_map(within).map(|()| any()))
    }

    fn set(&mut self, field: &Field, text: &str) -> Result<(), String> {
        let value = field
            .kind
            .read(text)
            .map_err(|rule| match rule.contains(&field.takes) {
                true => rule,
                false => format!("{rule} ({})", field.takes),
            })?;
        match (value, self.config.get_mut(&field.name)) {
            // A list may be given item by item.
            (Value::Array(more), Some(Value::Array(list))) => list.extend(more),
            (value, _) => field.put(&mut self.config, value),
        }
        Ok(())
    }
}

/// Sets every option in the target that it is for: the one that it names (`NAME.field=value`), the only one, or the
/// only one that has such a field.
pub(super) fn apply(targets: &mut [Target], options: &[String]) -> Result<(), Failure> {
    options
        .iter()
        .try_for_each(|option| one(targets, option))
        .map_err(|why| Failure::new(Code::Usage, why))
}

fn one(targets: &mut [Target], option: &str) -> Result<(), String> {
    let Some((key, text)) = option.split_once('=') else {
        return Err(format!("--set {option}: write --set NAME=VALUE"));
    };
    let named = targets.iter().position(|target| {
        let rest = key.strip_prefix(target.name.as_str());
        rest.is_some_and(|rest| rest.starts_with('.'))
    });
    let only = (targets.len() == 1).then_some(0);
    let at = match named {
        Some(at) => at,
        None => only.map_or_else(|| search(targets, key), Ok)?,
    };
    let Some(target) = targets.get_mut(at) else {
        return Err(format!("--set {option}: there is nothing to set it in"));
    };
    let name = match named {
        Some(_) => key.get(target.name.len() + 1..).unwrap_or_default(),
        None => key,
    };
    let Some(field) = target.field(name) else {
        return Err(unknown(target, name));
    };
    target.set(&field, text).map_err(|why| format!("--set {key}: {why}"))
}

/// The only target that has this field.
fn search(targets: &[Target], key: &str) -> Result<usize, String> {
    let mut found = (0..targets.len()).filter(|&at| targets.get(at).is_some_and(|target| target.field(key).is_some()));
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (None, _) => {
            let all = targets.iter().flat_map(|target| target.fields.iter().flatten());
            let names: Vec<&str> = all.map(|field| field.name.as_str()).collect();
            Err(format!(
                "--set {key}: no plugin here has such a field; {}",
                hint(key, names)
            ))
        }
        (Some(_), Some(_)) => {
            let ways: Vec<String> = targets.iter().map(|target| format!("{}.{key}", target.name)).collect();
            Err(format!(
                "--set {key}: several plugins have such a field; say {}",
                ways.join(" or ")
            ))
        }
    }
}

fn unknown(target: &Target, name: &str) -> String {
    let names: Vec<&str> = target
        .fields
        .iter()
        .flatten()
        .map(|field| field.name.as_str())
        .collect();
    match names.is_empty() {
        true => format!("--set {name}: {} takes no config", target.name),
        false => format!(
            "--set {name}: {} has no such field; {} (`busway plugin show {}` lists them)",
            target.name,
            hint(name, names),
            target.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn target(name: &str, schema: Value) -> Target {
        Target {
            fields: Some(plugin::fields(&schema)),
            ..Target::free(name)
        }
    }

    fn mail() -> Target {
        target(
            "email",
            json!({"properties": {
                "host": {"type": "string"},
                "port": {"type": "integer", "maximum": 65535},
                "to": {"type": "array", "items": {"type": "string"}},
                "tls": {"properties": {"verify": {"type": "boolean"}}},
                "headers": {"type": "object"},
            }}),
        )
    }

    fn bounds() -> Target {
        target(
            "bounds",
            json!({"properties": {"min": {"type": "number"}, "host": {"type": "string"}}}),
        )
    }

    #[test]
    fn options_are_read_by_the_schema() {
        let mut targets = [mail(), bounds()];
        let options = [
            "email.host=a",
            "bounds.host=b",
            "port=25",
            "to=a@x,b@x",
            "to=c@x",
            "tls.verify=false",
            "headers.x-n=1",
            "min=1.5",
        ];
        apply(&mut targets, &options.map(str::to_owned)).unwrap();
        let [mail, bounds] = targets;
        let expected = json!({
            "host": "a", "port": 25, "to": ["a@x", "b@x", "c@x"], "tls": {"verify": false}, "headers": {"x-n": 1},
        });
        assert_eq!(Value::Object(mail.config), expected);
        assert_eq!(Value::Object(bounds.config), json!({"host": "b", "min": 1.5}));
    }

    #[test]
    fn without_a_schema_anything_goes() {
        let mut targets = [Target::free("HTTP")];
        apply(&mut targets, &["format=raw".to_owned(), "headers.x-a=b".to_owned()]).unwrap();
        let [http] = targets;
        assert_eq!(
            Value::Object(http.config),
            json!({"format": "raw", "headers": {"x-a": "b"}})
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |targets: &mut [Target], option: &str, says: &str| {
            let why = one(targets, option).unwrap_err();
            assert!(why.contains(says), "{option}: {why}");
        };
        check(&mut [mail()], "port", "write --set NAME=VALUE");
        check(&mut [mail()], "prot=1", "did you mean `port`?");
        check(
            &mut [mail()],
            "port=x",
            "must be a whole number (integer, at most 65535)",
        );
        check(&mut [mail()], "email.prot=1", "did you mean `port`?");
        check(&mut [mail(), bounds()], "host=a", "say email.host or bounds.host");
        check(&mut [mail(), bounds()], "mni=1", "did you mean `min`?");
        check(&mut [target("none", json!({}))], "a=1", "none takes no config");
    }
}
