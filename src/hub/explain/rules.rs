//! What a subscription's rules say of an event now, asked as delivery asks them.
//!
//! Native rules settle what they can before any plugin is asked; plugin filters are asked in their order, and each
//! sees the data that one before it put in the event's place.
//! Invariant: a plugin that is asked here has its effects suppressed and an instance of its own.

use std::sync::Arc;

use serde::Serialize;

use crate::error::Error;
use crate::event::Event;
use crate::filter::{Filter, Match, PluginFilter, Reason};
use crate::hub::Hub;
use crate::plugin::{CallError, Delivery, Effects, NotifyError, Observation, Observed, Trace, Verdict, World};
use crate::subscription::{OnError, Sink, Subscription};

/// One rule.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// Where it stands: `source`, `types`, `filters[0]` …
    pub rule: String,
    /// Whether it passes the event; none if that was not asked, or could not be.
    pub passes: Option<bool>,
    /// Why.
    pub because: String,
    /// The plugins that were asked for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<Heard>,
}

/// What a plugin said.
#[derive(Debug, Serialize)]
pub struct Heard {
    /// Its name.
    pub plugin: String,
    /// The generation that was asked; none if nothing is loaded.
    pub generation: Option<u64>,
    /// Hex SHA-256 of its component.
    pub digest: Option<String>,
    /// `pass`, `drop`, `replace`; `delivered`, `retry`, `reject`; `error`.
    pub verdict: &'static str,
    /// In words: a reason, new data, an error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub words: String,
    /// What the call cost, in microseconds: the first of a new instance, so more than a warm one.
    pub took_us: u64,
    /// What it asked of the hub.
    #[serde(flatten)]
    pub trace: Trace,
}

/// What came of all rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    /// All pass.
    Passes,
    /// A native rule does not.
    Unwanted,
    /// A plugin filter does not.
    Filtered,
    /// A plugin failed or is not loaded.
    Unknown,
}

/// What one filter with plugins came to.
enum Word {
    Pass,
    Replace(bytes::Bytes),
    Drop(String),
    Unknown(String),
}

/// Asks every rule, until one has decided; what they say, what came of it, and the event with other data if some
/// filter replaced it.
pub(super) async fn ask(
    hub: &Hub,
    subscription: &Subscription,
    event: &Arc<Event>,
) -> (Vec<Rule>, Decided, Option<Arc<Event>>) {
    let selector = &subscription.selector;
    let mut rules: Vec<Rule> = Vec::new();
    rules.extend(selector.explain_source(event).map(|reason| native("source", reason)));
    rules.push(native("types", selector.explain_types(event)));
    for (at, filter) in selector.filters.iter().enumerate() {
        rules.push(match filter.matches(event) {
            Match::AskPlugins => Rule {
                rule: format!("filters[{at}]"),
                passes: None,
                because: "not asked: another rule had decided".to_owned(),
                plugins: Vec::new(),
            },
            // No verdict can change it, so any will do.
            _ => native(&format!("filters[{at}]"), filter.explain(event, &mut |_| false)),
        });
    }
    if rules.iter().any(|rule| rule.passes == Some(false)) {
        return (rules, Decided::Unwanted, None);
    }
    let mut replaced: Option<Arc<Event>> = None;
    let plugins = selector.filters.iter().enumerate();
    let asking = plugins.filter(|(_, filter)| filter.matches(event) == Match::AskPlugins);
    let first = rules.len() - selector.filters.len();
    for (at, filter) in asking {
        let now = replaced.as_ref().unwrap_or(event);
        let (word, heard) = ask_filter(hub, subscription, filter, now).await;
        let (passes, because, decided) = match word {
            Word::Pass => (Some(true), "the plugin passes it".to_owned(), None),
            Word::Replace(data) => {
                replaced = Some(Arc::new(now.with_data(data)));
                (Some(true), "the plugin passes it with other data".to_owned(), None)
            }
            Word::Drop(why) => (Some(false), why, Some(Decided::Filtered)),
            Word::Unknown(why) => (None, why, Some(Decided::Unknown)),
        };
        if let Some(rule) = rules.get_mut(first + at) {
            (rule.passes, rule.because, rule.plugins) = (passes, because, heard);
        }
        if let Some(decided) = decided {
            return (rules, decided, None);
        }
    }
    (rules, Decided::Passes, replaced)
}

/// What the notifier does with the event, its effects suppressed; none if the subscription has none.
pub(super) async fn notify(hub: &Hub, subscription: &Subscription, event: &Arc<Event>) -> Result<Option<Heard>, Error> {
    let Sink::Notifier { plugin, settings, .. } = &subscription.sink else {
        return Ok(None);
    };
    let observer = hub
        .0
        .plugins
        .observer(World::Notifier, plugin, settings, Effects::Suppressed);
    let Ok(mut observer) = observer else {
        return Ok(Some(missing(plugin)));
    };
    let delivery = Delivery {
        subscription: subscription.id.to_string(),
        attempt: 1,
        id: event.id().to_owned(),
    };
    let seen = observer.notify(event.clone(), delivery).await;
    let (verdict, words) = match &seen.result {
        Ok(()) => ("delivered", String::new()),
        Err(NotifyError::Failure { reason, retry, .. }) => (if *retry { "retry" } else { "reject" }, reason.clone()),
        Err(NotifyError::Call(error)) => ("error", error.to_string()),
    };
    Ok(Some(heard(observer.observed(), (verdict, words), seen)))
}

fn native(rule: &str, reason: Reason) -> Rule {
    Rule {
        rule: rule.to_owned(),
        passes: Some(reason.passes),
        because: reason.because,
        plugins: Vec::new(),
    }
}

/// Asks the plugins of one filter.
async fn ask_filter(hub: &Hub, subscription: &Subscription, filter: &Filter, event: &Arc<Event>) -> (Word, Vec<Heard>) {
    let on_error = subscription.config.on_error;
    if let Filter::Plugin(leaf) = filter {
        let (answer, heard) = ask_plugin(hub, leaf, event).await;
        return (settle(leaf, answer, on_error), vec![heard]);
    }
    let (mut passed, mut all): (Vec<(&PluginFilter, bool)>, Vec<Heard>) = (Vec::new(), Vec::new());
    for leaf in filter.plugins() {
        if passed.iter().any(|(known, _)| *known == leaf) {
            continue;
        }
        let (answer, heard) = ask_plugin(hub, leaf, event).await;
        all.push(heard);
        match settle(leaf, answer, on_error) {
            unknown @ Word::Unknown(_) => return (unknown, all),
            word => passed.push((leaf, !matches!(word, Word::Drop(_)))),
        }
    }
    let mut verdict = |leaf: &PluginFilter| passed.iter().any(|(known, pass)| *known == leaf && *pass);
    let reason = filter.explain(event, &mut verdict);
    let word = if reason.passes {
        Word::Pass
    } else {
        Word::Drop(reason.because)
    };
    (word, all)
}

async fn ask_plugin(hub: &Hub, leaf: &PluginFilter, event: &Arc<Event>) -> (Result<Verdict, CallError>, Heard) {
    let plugins = &hub.0.plugins;
    let mut observer = match plugins.observer(World::Filter, &leaf.name, &leaf.config, Effects::Suppressed) {
        Ok(observer) => observer,
        Err(error) => return (Err(error), missing(&leaf.name)),
    };
    let Some(seen) = observer.evaluate(vec![event.clone()]).await.into_iter().next() else {
        return (Err(CallError::Busy), missing(&leaf.name));
    };
    let said = match &seen.result {
        Ok(Verdict::Pass) => ("pass", String::new()),
        Ok(Verdict::Drop(why)) => ("drop", why.clone()),
        Ok(Verdict::Replace(data)) => ("replace", String::from_utf8_lossy(data).chars().take(300).collect()),
        Err(error) => ("error", error.to_string()),
    };
    (seen.result.clone(), heard(observer.observed(), said, seen))
}

/// What an answer means under `on_error`.
fn settle(leaf: &PluginFilter, answer: Result<Verdict, CallError>, on_error: OnError) -> Word {
    match (answer, on_error) {
        (Ok(Verdict::Pass), _) => Word::Pass,
        (Ok(Verdict::Replace(data)), _) => Word::Replace(data),
        (Ok(Verdict::Drop(why)), _) => Word::Drop(format!("the plugin {} drops it: {why}", leaf.name)),
        (Err(CallError::NotLoaded(_)), _) => Word::Unknown(format!("the plugin {} is not loaded", leaf.name)),
        (Err(_), OnError::Pass) => Word::Pass,
        (Err(error), OnError::Drop) => Word::Drop(format!(
            "the plugin {} failed, which drops it (on_error): {error}",
            leaf.name
        )),
        (Err(error), _) => Word::Unknown(format!("the plugin {} failed: {error}", leaf.name)),
    }
}

fn heard<T>(observed: Observed, (verdict, words): (&'static str, String), seen: Observation<T>) -> Heard {
    Heard {
        plugin: observed.plugin,
        generation: Some(observed.generation),
        digest: Some(observed.digest),
        verdict,
        words,
        took_us: u64::try_from(seen.took.as_micros()).unwrap_or(u64::MAX),
        trace: seen.trace,
    }
}

/// Of a plugin that is not loaded.
fn missing(plugin: &str) -> Heard {
    Heard {
        plugin: plugin.to_owned(),
        generation: None,
        digest: None,
        verdict: "error",
        words: "it is not loaded".to_owned(),
        took_us: 0,
        trace: Trace::default(),
    }
}
