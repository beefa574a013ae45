//! The places of an event that selectors are looked up by, and the buckets behind the values found there.
//!
//! Attributes are a map; data paths are a tree that mirrors the data, so that one walk over what the event and the
//! tree share finds every value, however many different paths subscriptions name.
//! Invariant: what holds no bucket is taken out: the tree is as large as what is subscribed to now.

use std::collections::HashMap;

use serde_json::Value;

use super::super::pattern::{Attribute, Scalar, Seen};
use super::affixes::Affixes;
use super::anchor::{Place, Probe, Spot};
use crate::event::{ATTRIBUTES, Event};

/// All places that are looked at.
#[derive(Debug, Default)]
pub(super) struct Fields {
    attributes: HashMap<Box<str>, Field>,
    data: Node,
}

/// A place in the data and what is below it.
#[derive(Debug, Default)]
struct Node {
    here: Field,
    below: HashMap<Box<str>, Node>,
}

/// The buckets of one place, by what stands there.
#[derive(Debug, Default)]
struct Field {
    texts: HashMap<Box<str>, u32>,
    others: HashMap<Scalar<'static>, u32>,
    prefixes: Affixes,
    suffixes: Affixes,
}

impl Fields {
    /// Calls `found` with every bucket that the event shows, perhaps more than once.
    pub(super) fn each(&self, event: &Event, found: &mut dyn FnMut(u32)) {
        for (name, field) in self.attributes_of(event) {
            if let Some(attribute) = Attribute::of(event, name) {
                field.each(attribute.seen(), found);
            }
        }
        if !self.data.is_empty()
            && let Some(data) = event.json()
        {
            self.data.each(data, found);
        }
    }

    /// The attributes that both know, by way of the shorter list.
    fn attributes_of<'a>(&'a self, event: &'a Event) -> Vec<(&'a str, &'a Field)> {
        if self.attributes.len() <= ATTRIBUTES.len() {
            return self.attributes.iter().map(|(name, field)| (&**name, field)).collect();
        }
        let extensions = event.extensions().iter().map(|(name, _)| name.as_str());
        let names = ATTRIBUTES.into_iter().chain(extensions);
        names
            .filter_map(|name| Some((name, self.attributes.get(name)?)))
            .collect()
    }

    /// The bucket of a spot.
    pub(super) fn at(&self, spot: &Spot<'_>) -> Option<u32> {
        match &spot.place {
            Place::Attribute(name) => self.attributes.get(*name)?.at(spot.probe),
            Place::Data(keys) => {
                let mut node = &self.data;
                for key in keys {
                    node = node.below.get(*key)?;
                }
                node.here.at(spot.probe)
            }
        }
    }

    /// Puts a bucket behind a spot.
    pub(super) fn insert(&mut self, spot: &Spot<'_>, bucket: u32) {
        let field = match &spot.place {
            Place::Attribute(name) => self.attributes.entry((*name).into()).or_default(),
            Place::Data(keys) => {
                let below = |node, key: &&str| Node::below(node, key);
                &mut keys.iter().fold(&mut self.data, below).here
            }
        };
        field.insert(spot.probe, bucket);
    }

    /// Takes the bucket of a spot away, and the place if that was its last.
    pub(super) fn remove(&mut self, spot: &Spot<'_>) {
        match &spot.place {
            Place::Attribute(name) => {
                if let Some(field) = self.attributes.get_mut(*name) {
                    field.remove(spot.probe);
                    if field.is_empty() {
                        self.attributes.remove(*name);
                    }
                }
            }
            Place::Data(keys) => self.data.remove(keys, spot.probe),
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.data.is_empty()
    }
}

impl Node {
    fn each(&self, value: &Value, found: &mut dyn FnMut(u32)) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.each(item, found)),
            Value::Object(members) if members.len() < self.below.len() => {
                for (key, value) in members {
                    if let Some(node) = self.below.get(key.as_str()) {
                        node.each(value, found);
                    }
                }
            }
            Value::Object(members) => {
                for (key, node) in &self.below {
                    if let Some(value) = members.get(&**key) {
                        node.each(value, found);
                    }
                }
            }
            value => {
                if let Some(seen) = Seen::of(value) {
                    self.here.each(seen, found);
                }
            }
        }
    }

    fn below<'a>(&'a mut self, key: &str) -> &'a mut Self {
        self.below.entry(key.into()).or_default()
    }

    fn remove(&mut self, keys: &[&str], probe: Probe<'_>) {
        let Some((key, rest)) = keys.split_first() else {
            return self.here.remove(probe);
        };
        if let Some(node) = self.below.get_mut(*key) {
            node.remove(rest, probe);
            if node.is_empty() {
                self.below.remove(*key);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.here.is_empty() && self.below.is_empty()
    }
}

impl Field {
    fn each(&self, seen: Seen<'_>, found: &mut dyn FnMut(u32)) {
        for scalar in [Some(seen.value), seen.also].into_iter().flatten() {
            if let Some(bucket) = self.value(scalar) {
                found(bucket);
            }
        }
        if let Some(text) = seen.text() {
            if !self.prefixes.is_empty() {
                self.prefixes.each(text.as_bytes(), &mut *found);
            }
            if !self.suffixes.is_empty() {
                self.suffixes.each(&backwards(text), &mut *found);
            }
        }
    }

    fn at(&self, probe: Probe<'_>) -> Option<u32> {
        match probe {
            Probe::Value(scalar) => self.value(scalar),
            Probe::Prefix(text) => self.prefixes.at(text.as_bytes()),
            Probe::Suffix(text) => self.suffixes.at(&backwards(text)),
        }
    }

    fn value(&self, scalar: Scalar<'_>) -> Option<u32> {
        match scalar {
            Scalar::Text(text) => self.texts.get(text).copied(),
            // Most places hold nothing but texts; that costs no hash then.
            _ if self.others.is_empty() => None,
            other => self.others.get(&other.without_text()?).copied(),
        }
    }

    fn insert(&mut self, probe: Probe<'_>, bucket: u32) {
        match probe {
            Probe::Value(Scalar::Text(text)) => {
                self.texts.insert(text.into(), bucket);
            }
            Probe::Value(other) => {
                self.others.extend(other.without_text().map(|key| (key, bucket)));
            }
            Probe::Prefix(text) => self.prefixes.insert(text.as_bytes(), bucket),
            Probe::Suffix(text) => self.suffixes.insert(&backwards(text), bucket),
        }
    }

    fn remove(&mut self, probe: Probe<'_>) {
        match probe {
            Probe::Value(Scalar::Text(text)) => {
                self.texts.remove(text);
            }
            Probe::Value(other) => {
                other.without_text().map(|key| self.others.remove(&key));
            }
            Probe::Prefix(text) => self.prefixes.remove(text.as_bytes()),
            Probe::Suffix(text) => self.suffixes.remove(&backwards(text)),
        }
    }

    fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.others.is_empty() && self.prefixes.is_empty() && self.suffixes.is_empty()
    }
}

/// The bytes of a text, last first: a suffix becomes a prefix.
fn backwards(text: &str) -> Vec<u8> {
    text.bytes().rev().collect()
}
