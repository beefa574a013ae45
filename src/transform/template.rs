//! A text with `${variables}`.
//!
//! - `${v}` is the value of v; `${v:-text}` is the text if v has none; what has neither stays as it stands.
//! - `$${v}` is the text `${v}`.
//! - Values are inserted as they are, quotes and all, and filled in their turn; a variable inside of itself stays as it
//!   stands. With `escape` a text is inserted as JSON writes it between its quotes, and is not filled again: an event can
//!   then break neither the JSON around it nor reach for another variable.
//! - `{"EB_SYS_EMBED_OBJECT": "${o}"}` puts the members of the object o in place of itself.
//!
//! Invariant: filling ends: each value is filled inside a stack of the variables it stands in, and the result is bounded.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::path::{Source, shown};
use super::{LARGEST, refuse};
use crate::error::Error;
use crate::event::{Lexed, quoted};

/// How deep variables may stand in variables; deeper ones stay as they stand.
const DEEPEST: usize = 32;
/// How often variables may be filled in one result.
const MOST_FILLED: usize = 100_000;
/// The name that stands for the members of an object.
const EMBED: &str = "EB_SYS_EMBED_OBJECT";

/// A template and its variables.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    value: String,
    text: String,
    escape: bool,
    variables: BTreeMap<String, Source>,
    /// The text as JSON, if something is embedded in it.
    around: Option<Lexed>,
}

impl Template {
    /// Reads the variables, a JSON object in `value`, and the template.
    pub(super) fn read(value: String, text: String, escape: bool) -> Result<Self, Error> {
        let Some(Lexed::Object(members)) = Lexed::parse(&value) else {
            return Err(refuse(
                ".value",
                "must be a JSON object in a string: the variables of the template",
            ));
        };
        if members.is_empty() {
            return Err(refuse(
                ".value",
                "names no variable; for a text without any use the form CONSTANT",
            ));
        }
        let mut variables = BTreeMap::new();
        for (name, source) in &members {
            let Some(source) = source.primitive() else {
                let rule = format!("the variable `{name}` must be a string: a path such as $.data.name, or a text");
                return Err(refuse(".value", rule));
            };
            variables.insert(name.to_string(), Source::read(&source));
        }
        let around = match text.contains(EMBED) {
            true => match Lexed::parse(&text) {
                Some(json @ Lexed::Object(_)) => Some(json),
                _ => {
                    return Err(refuse(
                        ".template",
                        format!("must be a JSON object, since it has {EMBED}"),
                    ));
                }
            },
            false => None,
        };
        Ok(Self {
            value,
            text,
            escape,
            variables,
            around,
        })
    }

    pub(super) fn to_json(&self) -> Value {
        match self.escape {
            false => json!({"form": "TEMPLATE", "value": self.value, "template": self.text}),
            true => json!({"form": "TEMPLATE", "value": self.value, "template": self.text, "escape": true}),
        }
    }

    /// Fills it with what the document has.
    pub(super) fn fill(&self, document: &Lexed) -> Result<String, String> {
        let find = |(name, source): (&String, &Source)| Some((name.clone(), source.find(document)?.into_owned()));
        let values: BTreeMap<String, Lexed> = self.variables.iter().filter_map(find).collect();
        let filler = Filler {
            values: &values,
            escape: self.escape,
            filled: Cell::new(0),
        };
        let mut out = String::new();
        match &self.around {
            None => filler.fill(&self.text, &mut Vec::new(), &mut out)?,
            Some(around) => {
                let mut around = around.clone();
                embed(&mut around, &filler);
                filler.fill(&around.to_compact(), &mut Vec::new(), &mut out)?;
            }
        }
        Ok(out)
    }
}

/// Puts objects in place of what stands for their members.
fn embed(json: &mut Lexed, filler: &Filler<'_>) {
    match json {
        Lexed::Array(items) => items.iter_mut().for_each(|item| embed(item, filler)),
        Lexed::Object(members) => {
            members.iter_mut().for_each(|(_, value)| embed(value, filler));
            let Some(at) = members.iter().position(|(name, _)| &**name == EMBED) else {
                return;
            };
            let named = members.get(at).and_then(|(_, value)| value.primitive());
            let name = named.and_then(|text| Some(text.strip_prefix("${")?.strip_suffix('}')?.to_owned()));
            match name.map(|name| filler.values.get(&name)) {
                Some(Some(Lexed::Object(embedded))) => {
                    members.remove(at);
                    for (name, value) in embedded {
                        let value = filler.guarded(value.clone());
                        match members.iter_mut().find(|(known, _)| known == name) {
                            Some((_, old)) => *old = value,
                            None => members.push((name.clone(), value)),
                        }
                    }
                }
                // Without a value it goes; what is no object stays, and is filled like any text.
                Some(None) => drop(members.remove(at)),
                _ => {}
            }
        }
        _ => {}
    }
}

struct Filler<'a> {
    values: &'a BTreeMap<String, Lexed>,
    escape: bool,
    /// How often something has been filled.
    filled: Cell<usize>,
}

impl Filler<'_> {
    /// Appends `text` with its variables filled; `inside` are the variables that it is the value of.
    fn fill(&self, text: &str, inside: &mut Vec<String>, out: &mut String) -> Result<(), String> {
        self.filled.set(self.filled.get() + 1);
        if self.filled.get() > MOST_FILLED {
            return Err(format!("the transform would fill more than {MOST_FILLED} variables"));
        }
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, here) = rest.split_at_checked(at).unwrap_or((rest, ""));
            if let Some(literal) = before.strip_suffix('$') {
                push(literal, out)?;
                // The dollar is gone, and what follows the bracket is a text like any other.
                push("${", out)?;
                rest = here.get(2..).unwrap_or_default();
                continue;
            }
            push(before, out)?;
            let Some((variable, after)) = here.get(2..).unwrap_or_default().split_once('}') else {
                rest = here;
                break;
            };
            rest = after;
            let whole = here.get(..variable.len() + 3).unwrap_or_default();
            let (name, default) = match variable.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (variable, None),
            };
            let stays = inside.len() >= DEEPEST || inside.iter().any(|outer| outer == name);
            match (stays, self.values.get(name), default) {
                (false, Some(value), _) => self.insert(name, value, inside, out)?,
                (false, None, Some(default)) => {
                    inside.push(name.to_owned());
                    self.fill(default, inside, out)?;
                    inside.pop();
                }
                _ => push(whole, out)?,
            }
        }
        push(rest, out)
    }

    fn insert(&self, name: &str, value: &Lexed, inside: &mut Vec<String>, out: &mut String) -> Result<(), String> {
        match (self.escape, value) {
            (true, Lexed::Text(text)) => {
                let quoted = quoted(text);
                push(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default(), out)
            }
            (true, value) => push(&shown(value), out),
            (false, value) => {
                inside.push(name.to_owned());
                self.fill(&shown(value), inside, out)?;
                inside.pop();
                Ok(())
            }
        }
    }

    /// A value that is filled once more with what is around it: with `escape` it must come out as it went in.
    fn guarded(&self, value: Lexed) -> Lexed {
        match value {
            value if !self.escape => value,
            Lexed::Text(text) => Lexed::Text(text.replace("${", "$${").into()),
            Lexed::Array(items) => Lexed::Array(items.into_iter().map(|item| self.guarded(item)).collect()),
            Lexed::Object(members) => {
                let guard = |(name, value): (Box<str>, Lexed)| (name.replace("${", "$${").into(), self.guarded(value));
                Lexed::Object(members.into_iter().map(guard).collect())
            }
            value => value,
        }
    }
}

fn push(text: &str, out: &mut String) -> Result<(), String> {
    if out.len() + text.len() > LARGEST {
        return Err(format!("the transform's result would be larger than {LARGEST} bytes"));
    }
    out.push_str(text);
    Ok(())
}
