//! A JSON object whose members can be taken out, added and replaced, the others staying letter for letter as they are.
//!
//! Why not `serde_json::Value`: it would sort the members and respell numbers, and Marathon's clients have seen both
//! go wrong.
//! Invariant: what is not touched is written as it was read, in its order.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's members: names, and values as JSON text.
pub(super) struct Members<'a>(Vec<(String, Cow<'a, str>)>);

impl<'a> Members<'a> {
    /// Of a JSON text; `None` if it is no object.
    pub(super) fn of(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// An object without members.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// A member's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_ref())
    }

    /// Sets a member, where it stands or at the end, to a JSON text.
    pub(super) fn set(&mut self, name: &str, json: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = Cow::Owned(json),
            None => self.0.push((name.to_owned(), Cow::Owned(json))),
        }
    }

    /// Sets a member to a string.
    pub(super) fn set_text(&mut self, name: &str, text: &str) {
        self.set(name, serde_json::Value::from(text).to_string());
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }
}

impl fmt::Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            write!(f, "{open}{}:{value}", serde_json::Value::from(name.as_str()))?;
        }
        f.write_str(if self.0.is_empty() { "{}" } else { "}" })
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((name, Cow::Borrowed(value.get())));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    proptest! {
        /// Whatever the object, it is the same one after it was read and written, and after a member came and went.
        #[test]
        fn nothing_is_lost(pairs in prop::collection::btree_map(".{0,8}", prop::collection::vec("[ -~]{0,4}", 0..3), 0..6)) {
            let json = serde_json::to_string_pretty(&pairs).unwrap();
            let value: Value = serde_json::from_str(&json).unwrap();
            let mut members = Members::of(&json).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(&members.to_string()).unwrap(), &value);
            members.set_text("a name longer than eight", "x");
            members.remove("a name longer than eight");
            prop_assert_eq!(serde_json::from_str::<Value>(&members.to_string()).unwrap(), value);
        }
    }

    #[test]
    fn the_rest_stays_as_it_was() {
        let mut members = Members::of(r#" {"b": 1.50, "a" : {"x":[ 1 ]}, "ü":"\u00e4"} "#).unwrap();
        assert_eq!(members.get("a"), Some(r#"{"x":[ 1 ]}"#));
        assert_eq!(members.to_string(), r#"{"b":1.50,"a":{"x":[ 1 ]},"ü":"\u00e4"}"#);
        members.remove("a");
        members.set_text("b", "say \"hi\"");
        members.set("c", "[]".to_owned());
        assert_eq!(members.to_string(), r#"{"b":"say \"hi\"","ü":"\u00e4","c":[]}"#);
        assert_eq!(Members::none().to_string(), "{}");
        assert!(Members::of("[1]").is_none() && Members::of("{").is_none());
    }
}
