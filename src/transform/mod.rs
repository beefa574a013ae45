//! What an event becomes on its way to one subscriber: another text, made by Alibaba's EventBridge's rules.
//!
//! Four forms: ORIGINAL (the event as it is), CONSTANT (a text), JSONPATH (what stands at one path in the event) and
//! TEMPLATE (a text with `${variables}` that are paths or texts). Pure: `path` reads paths, `template` fills templates.
//!
//! Why on the written JSON (`Lexed`) and not on `serde_json::Value`: what is inserted is what the producer wrote, 3.0e2
//! included.
//! Invariant: no event makes a result larger than `LARGEST`, or one that takes more than time proportional to it.

mod path;
mod template;

use serde_json::{Value, json};

use crate::error::Error;
use crate::event::native::eventbridge;
use crate::event::{Event, Lexed};
use crate::nearest::hint;
use path::Source;
use template::Template;

/// The most characters of `value`, and of `template`.
const MOST_CHARS: usize = 10_240;
/// The most bytes of a result.
const LARGEST: usize = 4 << 20;

/// What the body (of a callback) or the data (for a notifier or a bus) becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform(Form);

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Original,
    Constant(String),
    Path { written: String, source: Source },
    Template(Box<Template>),
}

/// What came of a transform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transformed {
    /// The event as it is.
    Same,
    /// This text.
    Text(String),
    /// Nothing: the path leads nowhere.
    Nothing,
}

const FIELDS: [&str; 4] = ["form", "value", "template", "escape"];
const FORMS: [&str; 4] = ["ORIGINAL", "CONSTANT", "JSONPATH", "TEMPLATE"];

impl Transform {
    /// Reads `{"form": …, "value": …, "template": …, "escape": …}`; paths in errors begin with `transform`.
    ///
    /// # Errors
    /// `transform_invalid`: names the field and the rule.
    pub fn parse(json: &Value) -> Result<Self, Error> {
        let Value::Object(members) = json else {
            return Err(refuse("", "must be an object with a `form`"));
        };
        if let Some(unknown) = members.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(refuse(
                &format!(".{unknown}"),
                format!("is not known here; {}", hint(unknown, FIELDS)),
            ));
        }
        let escape = match members.get("escape") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(escape)) => *escape,
            Some(_) => return Err(refuse(".escape", "must be true or false")),
        };
        let (value, template) = (
            text(members.get("value"), ".value")?,
            text(members.get("template"), ".template")?,
        );
        let name = members.get("form").and_then(Value::as_str).unwrap_or_default();
        let form = match (name, value) {
            ("ORIGINAL", _) => Form::Original,
            ("CONSTANT", Some(value)) => Form::Constant(value),
            ("JSONPATH", Some(value)) => Form::Path {
                source: Source::read(&value),
                written: value,
            },
            ("TEMPLATE", Some(value)) => {
                let template =
                    template.ok_or_else(|| refuse(".template", "is missing: the text with `${variables}`"))?;
                return Template::read(value, template, escape)
                    .map(|template| Self(Form::Template(Box::new(template))));
            }
            ("CONSTANT" | "JSONPATH" | "TEMPLATE", None) => {
                return Err(refuse(".value", format!("is missing, which the form {name} needs")));
            }
            (other, _) => {
                let rule = format!("must be one of {}; {}", FORMS.join(", "), hint(other, FORMS));
                return Err(refuse(".form", rule));
            }
        };
        match (&form, template) {
            (Form::Original | Form::Constant(_) | Form::Path { .. }, Some(_)) => {
                Err(refuse(".template", "belongs to the form TEMPLATE"))
            }
            _ => Ok(Self(form)),
        }
    }

    /// The JSON form.
    pub fn to_json(&self) -> Value {
        match &self.0 {
            Form::Original => json!({"form": "ORIGINAL"}),
            Form::Constant(text) => json!({"form": "CONSTANT", "value": text}),
            Form::Path { written, .. } => json!({"form": "JSONPATH", "value": written}),
            Form::Template(template) => template.to_json(),
        }
    }

    /// Whether the event stays as it is.
    pub fn is_original(&self) -> bool {
        self.0 == Form::Original
    }

    /// Makes of an event what this asks for. Paths see it in the JSON format, its data as JSON if it is any.
    ///
    /// # Errors
    /// The result would be too large, in words.
    pub fn apply(&self, event: &Event) -> Result<Transformed, String> {
        let document = || document(event);
        let made = match &self.0 {
            Form::Original => return Ok(Transformed::Same),
            Form::Constant(text) => Some(text.clone()),
            Form::Path { source, .. } => match source {
                Source::Literal(text) => Some(text.clone()),
                path => path.find(&document()).map(|found| path::shown(&found)),
            },
            Form::Template(template) => Some(template.fill(&document())?),
        };
        Ok(made.map_or(Transformed::Nothing, Transformed::Text))
    }
}

/// An event as paths see it: its `time` as the producer wrote it.
fn document(event: &Event) -> Lexed {
    let text = eventbridge::encode(event);
    let mut whole = std::str::from_utf8(&text).ok().and_then(Lexed::parse);
    // JSON that came as base64 is JSON all the same.
    if let (Some(Lexed::Object(members)), Some(_), Some(data)) = (&mut whole, event.json(), event.data())
        && let Some(json) = std::str::from_utf8(&data.bytes).ok().and_then(Lexed::parse)
        && let Some(member) = members.iter_mut().find(|(name, _)| &**name == "data_base64")
    {
        *member = ("data".into(), json);
    }
    // What an event's own rules let through is JSON of a bounded depth; were it not, paths would find nothing.
    whole.unwrap_or(Lexed::Null)
}

fn text(json: Option<&Value>, place: &str) -> Result<Option<String>, Error> {
    match json {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() > MOST_CHARS => {
            Err(refuse(place, format!("is longer than {MOST_CHARS} characters")))
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(refuse(place, "must be a string")),
    }
}

fn refuse(place: &str, rule: impl std::fmt::Display) -> Error {
    Error::invalid("transform_invalid", format!("transform{place}: {rule}"))
}

#[cfg(test)]
mod tests;
