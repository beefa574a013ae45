//! What a call was given: one JSON object, or the query and the form of an RPC call, read alike.
//!
//! RPC has text only: there a list is JSON in a text, and a number is its digits. Both forms are taken in both places.
//! An empty text counts as nothing given, as the service has it.

use serde_json::{Map, Value};

use super::fault::Fault;

/// Parts of the longest name of an RPC parameter (`Targets.1.ParamList.2.ResourceKey` has five).
const DEEPEST: usize = 8;

/// The parameters of one call.
#[derive(Debug, Default)]
pub(super) struct Params(Map<String, Value>);

/// One page of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: usize,
    pub(super) limit: usize,
}

impl Params {
    /// Those of a JSON body; an empty one has none.
    pub(super) fn of_json(body: &[u8]) -> Result<Self, Fault> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(Fault::new(
                400,
                "JsonAttributeInvalid",
                "The body must be a JSON object.",
            )),
            Err(error) => Err(Fault::new(
                400,
                "JsonAttributeInvalid",
                format!("The body is not JSON: {error}."),
            )),
        }
    }

    /// Those of an RPC call. `Targets.1.Id` is the field of the first of a list: how older clients spell lists.
    pub(super) fn of_pairs(pairs: Vec<(String, String)>) -> Self {
        let mut map = Map::new();
        for (name, value) in pairs {
            let path: Vec<&str> = name.split('.').collect();
            if path.len() <= DEEPEST {
                put(&mut map, &path, value);
            }
        }
        Self(map.into_iter().map(|(name, value)| (name, listed(value))).collect())
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let value = self.0.get(name)?;
        (!value.is_null() && value.as_str() != Some("")).then_some(value)
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Fault> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Fault::parameter(name, "must be a string")),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Fault> {
        self.text(name)?.ok_or_else(|| {
            Fault::new(
                400,
                "MissingParameter",
                format!("The input parameter {name} is mandatory."),
            )
        })
    }

    /// Whether it was given at all, be it empty.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// The bus that is meant.
    pub(super) fn bus(&self) -> Result<&str, Fault> {
        Ok(self.text("EventBusName")?.unwrap_or("default"))
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Fault> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
        number
            .map(Some)
            .ok_or_else(|| Fault::parameter(name, "must be a whole number"))
    }

    /// A list.
    pub(super) fn list(&self, name: &str) -> Result<Option<Vec<Value>>, Fault> {
        match self.structured(name)? {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(Fault::parameter(name, "must be an array")),
        }
    }

    /// An object or a list: as it is, or as JSON in a text.
    pub(super) fn structured(&self, name: &str) -> Result<Option<Value>, Fault> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text)
                .map(Some)
                .map_err(|error| Fault::parameter(name, format_args!("must be JSON: {error}"))),
            Some(value) => Ok(Some(value.clone())),
        }
    }

    /// The first of these that was given.
    pub(super) fn first_of<'a>(&self, names: &[&'a str]) -> &'a str {
        let given = names.iter().find(|name| self.is_given(name));
        given.or(names.first()).copied().unwrap_or_default()
    }

    /// Which part of a listing.
    pub(super) fn window(&self) -> Result<Window, Fault> {
        let limit = match self.number("Limit")? {
            None | Some(0) => 10,
            Some(limit) => usize::try_from(limit)
                .ok()
                .filter(|limit| (1..=100).contains(limit))
                .ok_or_else(|| {
                    Fault::conflict(
                        "LimitSizeInvalid",
                        "The limit size is invalid. It must be from 1 to 100.",
                    )
                })?,
        };
        let from = match self.text("NextToken")? {
            None => 0,
            Some(text) => text.parse().map_err(|_| {
                Fault::conflict(
                    "NextTokenInvalid",
                    "The next token is invalid. Send the one that the last answer gave.",
                )
            })?,
        };
        Ok(Window { from, limit })
    }
}

/// Puts a value at a path of names.
fn put(map: &mut Map<String, Value>, path: &[&str], value: String) {
    match path {
        [] => {}
        [name] => {
            map.insert((*name).to_owned(), value.into());
        }
        [name, rest @ ..] => {
            let inner = map.entry(*name).or_insert_with(|| Map::new().into());
            if let Some(inner) = inner.as_object_mut() {
                put(inner, rest, value);
            }
        }
    }
}

/// An object whose names are numbers is a list in their order, however deep it stands.
fn listed(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let number = |name: &String| name.parse::<u32>().ok();
    if map.is_empty() || !map.keys().all(|name| number(name).is_some()) {
        return Value::Object(map.into_iter().map(|(name, value)| (name, listed(value))).collect());
    }
    let mut items: Vec<(String, Value)> = map.into_iter().collect();
    items.sort_by_key(|(name, _)| number(name));
    items.into_iter().map(|(_, value)| listed(value)).collect()
}

impl Window {
    /// This part of all items, and the token of the next part.
    pub(super) fn cut<T>(self, items: Vec<T>) -> (Vec<T>, String) {
        let total = items.len();
        let part: Vec<T> = items.into_iter().skip(self.from).take(self.limit).collect();
        let next = self.from.saturating_add(part.len());
        let token = if next < total { next.to_string() } else { String::new() };
        (part, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_alike() {
        let json = Params::of_json(br#"{"Limit":2,"Targets":[{"Id":"1"}],"Name":"n","Empty":""}"#).unwrap();
        let rpc = Params::of_pairs(
            [
                ("Limit", "2"),
                ("Targets", r#"[{"Id":"1"}]"#),
                ("Name", "n"),
                ("Empty", ""),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        );
        for params in [json, rpc] {
            assert_eq!(params.window().unwrap(), Window { from: 0, limit: 2 });
            assert_eq!(params.list("Targets").unwrap().unwrap().len(), 1);
            assert_eq!(
                (params.text("Name").unwrap(), params.text("Empty").unwrap()),
                (Some("n"), None)
            );
            assert_eq!(params.required("Empty").unwrap_err().code, "MissingParameter");
            assert_eq!(params.bus().unwrap(), "default");
        }
    }

    #[test]
    fn lists_may_be_spelt_item_by_item() {
        let given = [
            ("Targets.2.Id", "b"),
            ("Targets.10.Id", "c"),
            ("Targets.1.Id", "a"),
            ("Targets.1.ParamList.1.ResourceKey", "Body"),
            ("TargetIds.1", "x"),
            ("TargetIds", "[]"),
        ];
        let rpc = Params::of_pairs(given.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        let expected =
            serde_json::json!([{"Id": "a", "ParamList": [{"ResourceKey": "Body"}]}, {"Id": "b"}, {"Id": "c"}]);
        assert_eq!(Value::Array(rpc.list("Targets").unwrap().unwrap()), expected);
        assert_eq!(rpc.list("TargetIds").unwrap().unwrap().len(), 0);
        let deep = vec![("a.".repeat(100_000), "x".to_owned())];
        assert!(!Params::of_pairs(deep).is_given("a"));
    }

    #[test]
    fn bad_parameters_are_named() {
        for (body, code) in [
            (r#"{"Limit":101}"#, "LimitSizeInvalid"),
            (r#"{"Limit":"x"}"#, "InvalidArgument"),
            (r#"{"NextToken":"x"}"#, "NextTokenInvalid"),
        ] {
            assert_eq!(
                Params::of_json(body.as_bytes()).unwrap().window().unwrap_err().code,
                code,
                "{body}"
            );
        }
        assert_eq!(Params::of_json(b"[1]").unwrap_err().code, "JsonAttributeInvalid");
    }

    #[test]
    fn pages_follow_one_another() {
        let cut = |from| Window { from, limit: 2 }.cut(vec![1, 2, 3]);
        assert_eq!(cut(0), (vec![1, 2], "2".to_owned()));
        assert_eq!(cut(2), (vec![3], String::new()));
        assert_eq!(cut(9), (vec![], String::new()));
    }
}
