//! What a subscription wants: type patterns and filter dialects, and the index that finds who wants an event.

use std::sync::Arc;

use crate::error::Error;
use crate::event::Event;

/// A pattern for event types: `a.b` exact, `a.*` one segment, `a.**` any number of segments, and plain globs such
/// as `deployment_*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TypePattern {
    text: Arc<str>,
}

/// An EventBridge event pattern (protocols.md 3.6), compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern;

/// A filter that a plugin evaluates: only a name and a config here; `deliver` makes the call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PluginFilter {
    /// The plugin's name.
    pub name: Arc<str>,
    /// The subscription's own config for it: one JSON object, compact, as text.
    pub config: Arc<str>,
}

/// One filter in one of the dialects.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Every named attribute has exactly this value.
    Exact(Vec<(String, String)>),
    /// Every named attribute begins with this value.
    Prefix(Vec<(String, String)>),
    /// Every named attribute ends with this value.
    Suffix(Vec<(String, String)>),
    /// Every one of these passes.
    All(Vec<Filter>),
    /// At least one of these passes.
    Any(Vec<Filter>),
    /// This one does not pass.
    Not(Box<Filter>),
    /// An EventBridge pattern on attributes and data.
    Pattern(Pattern),
    /// A plugin's verdict.
    Plugin(PluginFilter),
}

/// What the native filters alone can say of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It passes, whatever plugins say.
    Yes,
    /// It does not pass, whatever plugins say.
    No,
    /// That depends on plugin filters.
    AskPlugins,
}

/// Everything that decides whether a subscription wants an event: all parts must pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selector {
    /// `source` must equal this.
    pub source: Option<String>,
    /// `type` must match one of these; none means any.
    pub types: Vec<TypePattern>,
    /// All of these must pass.
    pub filters: Vec<Filter>,
}

impl TypePattern {
    /// Compiles a pattern.
    pub fn parse(_text: &str) -> Result<Self, Error> {
        unimplemented!()
    }
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// Whether a type matches.
    pub fn matches(&self, _ty: &str) -> bool {
        unimplemented!()
    }
}

impl Filter {
    /// Reads one filter of the JSON form `{"exact": {...}}`; the error names the path and the dialect.
    pub fn parse(_json: &serde_json::Value) -> Result<Self, Error> {
        unimplemented!()
    }
    /// The JSON form.
    pub fn to_json(&self) -> serde_json::Value {
        unimplemented!()
    }
    /// What the native part says (three-valued: a plugin leaf is unknown).
    pub fn matches(&self, _event: &Event) -> Match {
        unimplemented!()
    }
    /// Decides with plugin verdicts: `verdict(leaf)` says whether that plugin filter passed.
    pub fn decide(&self, _event: &Event, _verdict: &mut dyn FnMut(&PluginFilter) -> bool) -> bool {
        unimplemented!()
    }
    /// Every plugin filter in it, outermost first.
    pub fn plugins(&self) -> Vec<&PluginFilter> {
        unimplemented!()
    }
}

impl Selector {
    /// What the native part says.
    pub fn matches(&self, _event: &Event) -> Match {
        unimplemented!()
    }
}

/// Finds, for an event, the keys of all selectors that may want it, at a cost that grows with the matches.
#[derive(Debug, Default)]
pub struct Index<K> {
    _keys: Vec<K>,
}

impl<K: Copy + Eq + std::hash::Hash> Index<K> {
    /// An empty index.
    pub fn new() -> Self {
        unimplemented!()
    }
    /// Adds a selector under `key`, replacing what was there.
    pub fn insert(&mut self, _key: K, _selector: Arc<Selector>) {
        unimplemented!()
    }
    /// Removes a key; whether it was there.
    pub fn remove(&mut self, _key: K) -> bool {
        unimplemented!()
    }
    /// How many selectors are in it.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }
    /// Appends to `hits` every key that wants the event (`Match::Yes`) or may (`Match::AskPlugins`), each once.
    pub fn matches(&self, _event: &Event, _hits: &mut Vec<(K, Match)>) {
        unimplemented!()
    }
}
