//! Plugin filters: what a subscription's own say of a candidate that the native ones let through.
//!
//! Top-level filters are asked in their order. `replace` makes an event for this subscription alone, and the filters
//! after it see that one, unshared; inside `any`, `not` and `all` it counts as `pass`, since there is no order there
//! that could say whose data wins.
//! Invariant: a filter that is not loaded is neither a pass nor a drop: the delivery is held.

use std::sync::Arc;

use crate::event::Event;
use crate::filter::{Filter, PluginFilter};
use crate::plugin::{By, CallError, Plugins, Verdict};
use crate::subscription::{OnError, Subscription};

use super::candidate::{Answer, Candidate};

/// What the filters said.
#[derive(Debug)]
pub(super) enum Judged {
    /// It goes out, with other data if some filter replaced it.
    Passed(Option<Arc<Event>>),
    /// It ends here.
    Dropped(String),
    /// A filter failed, and the subscription wants it tried again.
    Failed(Failed),
    /// This plugin is not loaded.
    Held(String),
}

/// How a plugin failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// Which one.
    pub(super) plugin: Arc<str>,
    /// Which load of it.
    pub(super) by: By,
    /// In words.
    pub(super) words: String,
    /// Whether it is the plugin's own doing, and not that all of its instances were busy.
    pub(super) own: bool,
}

/// One filter's word after `on_error`.
enum Word {
    Pass,
    Drop(String),
    Replace(bytes::Bytes),
}

/// Asks the subscription's plugin filters.
pub(super) async fn judge(plugins: &Plugins, subscription: &Subscription, candidate: &Candidate) -> Judged {
    let mut replaced: Option<Arc<Event>> = None;
    for filter in &subscription.selector.filters {
        let judged = match filter {
            Filter::Plugin(leaf) => {
                let answer = ask(plugins, leaf, candidate, replaced.as_ref()).await;
                match settle(leaf, answer, subscription.config.on_error) {
                    Ok(Word::Pass) => continue,
                    Ok(Word::Drop(why)) => Judged::Dropped(why),
                    Ok(Word::Replace(data)) => {
                        let event = replaced.as_ref().unwrap_or(candidate.event());
                        replaced = Some(Arc::new(event.with_data(data)));
                        continue;
                    }
                    Err(stopped) => stopped,
                }
            }
            nested => match judge_nested(plugins, subscription, candidate, (nested, replaced.as_ref())).await {
                None => continue,
                Some(stopped) => stopped,
            },
        };
        return judged;
    }
    Judged::Passed(replaced)
}

/// The plugin filter that is asked first, if the selector has one.
pub(super) fn first_asked(subscription: &Subscription) -> Option<PluginFilter> {
    subscription
        .selector
        .filters
        .iter()
        .find_map(|filter| filter.plugins().first().copied().cloned())
}

/// A filter with plugins inside; `None` if it passes.
async fn judge_nested(
    plugins: &Plugins,
    subscription: &Subscription,
    candidate: &Candidate,
    (filter, replaced): (&Filter, Option<&Arc<Event>>),
) -> Option<Judged> {
    let leaves = filter.plugins();
    if leaves.is_empty() {
        return None;
    }
    let mut passed: Vec<(&PluginFilter, bool)> = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        if passed.iter().any(|(known, _)| *known == leaf) {
            continue;
        }
        let answer = ask(plugins, leaf, candidate, replaced).await;
        match settle(leaf, answer, subscription.config.on_error) {
            Ok(word) => passed.push((leaf, !matches!(word, Word::Drop(_)))),
            Err(stopped) => return Some(stopped),
        }
    }
    let event = replaced.unwrap_or(candidate.event());
    let mut verdict = |leaf: &PluginFilter| passed.iter().any(|(known, pass)| *known == leaf && *pass);
    match filter.decide(event, &mut verdict) {
        true => None,
        false => Some(Judged::Dropped("the filters around its plugins do not pass".to_owned())),
    }
}

async fn ask(
    plugins: &Plugins,
    leaf: &PluginFilter,
    candidate: &Candidate,
    replaced: Option<&Arc<Event>>,
) -> (By, Answer) {
    match replaced {
        None => candidate.verdict(plugins, leaf).await,
        Some(event) => {
            let (by, answers) = plugins.judge(&leaf.name, &leaf.config, vec![event.clone()]).await;
            (by, answers.into_iter().next().unwrap_or(Err(CallError::Busy)))
        }
    }
}

/// What an answer means under `on_error`.
fn settle(leaf: &PluginFilter, (by, answer): (By, Answer), on_error: OnError) -> Result<Word, Judged> {
    match (answer, on_error) {
        (Ok(Verdict::Pass), _) => Ok(Word::Pass),
        (Ok(Verdict::Drop(why)), _) => Ok(Word::Drop(why)),
        (Ok(Verdict::Replace(data)), _) => Ok(Word::Replace(data)),
        (Err(CallError::NotLoaded(_)), _) => Err(Judged::Held(leaf.name.to_string())),
        (Err(error), OnError::Retry | OnError::Hold) => Err(Judged::Failed(Failed {
            plugin: leaf.name.clone(),
            by,
            own: error != CallError::Busy,
            words: format!("filter {}: {error}", leaf.name),
        })),
        (Err(_), OnError::Pass) => Ok(Word::Pass),
        (Err(error), OnError::Drop) => Ok(Word::Drop(format!("filter {}: {error}", leaf.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_filter_follows_on_error_and_a_missing_one_holds() {
        let leaf = PluginFilter {
            name: "f".into(),
            config: "{}".into(),
        };
        let of = |answer: Answer, on_error| match settle(&leaf, (By::default(), answer), on_error) {
            Ok(Word::Pass) => "pass",
            Ok(Word::Drop(_)) => "drop",
            Ok(Word::Replace(_)) => "replace",
            Err(Judged::Failed(Failed { own: false, .. })) => "busy",
            Err(Judged::Failed(_)) => "retry",
            Err(Judged::Held(_)) => "held",
            Err(_) => "?",
        };
        let trap = || Err(CallError::Trap("unreachable".to_owned()));
        let missing = || Err(CallError::NotLoaded("f".to_owned()));
        for on_error in [OnError::Retry, OnError::Hold, OnError::Pass, OnError::Drop] {
            assert_eq!(of(Ok(Verdict::Pass), on_error), "pass");
            assert_eq!(of(Ok(Verdict::Drop("no".to_owned())), on_error), "drop");
            assert_eq!(of(Ok(Verdict::Replace("x".into())), on_error), "replace");
            assert_eq!(of(missing(), on_error), "held");
        }
        assert_eq!(of(trap(), OnError::Retry), "retry");
        assert_eq!(of(trap(), OnError::Hold), "retry");
        assert_eq!(of(Err(CallError::Busy), OnError::Hold), "busy");
        assert_eq!(of(trap(), OnError::Pass), "pass");
        assert_eq!(of(trap(), OnError::Drop), "drop");
        assert_eq!(of(Err(CallError::Config("limit".to_owned())), OnError::Retry), "retry");
    }
}
