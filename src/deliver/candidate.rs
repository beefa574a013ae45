//! A record on its way to several subscriptions, and the work on it that they share.
//!
//! The same (plugin, config) judges an event once however many subscriptions ask, and each form of its body is
//! written once. A verdict is a shared future that nobody has to drive: the first lane that waits for it does, and
//! the plugin that serves then is the one that judges. A record may have waited in its lane since: then the verdict of
//! a load that has been replaced is thrown away, and it is judged anew.
//! Invariant: nothing in here depends on a subscription.
//! Invariant: no delivery that begins after a swap goes by a verdict from before it; one that waits for a call in
//! flight takes that call's.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::event::Event;
use crate::event::http::{Encoded, Mode, encode};
use crate::filter::PluginFilter;
use crate::log::{Offset, Record};
use crate::plugin::{By, CallError, Plugins, Verdict};

/// What a filter says of one event.
pub(super) type Answer = Result<Verdict, CallError>;
/// What it says of several, in order, and which load of it does.
type Answers = Shared<BoxFuture<'static, Arc<(By, Vec<Answer>)>>>;

/// A record that some subscriptions may want.
pub(super) struct Candidate {
    /// The record.
    pub(super) record: Arc<Record>,
    asked: Mutex<Vec<Asked>>,
    structured: OnceLock<Encoded>,
    binary: OnceLock<Encoded>,
    raw: OnceLock<Encoded>,
}

/// A filter that has been asked about this record, among others.
#[derive(Clone)]
struct Asked {
    filter: PluginFilter,
    answers: Answers,
    nth: usize,
}

impl Asked {
    /// Whether the answer is in, and is that of another load than this one (0: of none, for none was loaded).
    fn is_outdated(&self, generation: u64) -> bool {
        let by = self.answers.peek().map(|answers| answers.0);
        by.is_some_and(|by| by.generation == 0 || by.generation != generation)
    }
}

impl Candidate {
    /// A record that nobody has looked at yet.
    pub(super) fn new(record: Arc<Record>) -> Self {
        Self {
            record,
            asked: Mutex::default(),
            structured: OnceLock::new(),
            binary: OnceLock::new(),
            raw: OnceLock::new(),
        }
    }

    /// Its place.
    pub(super) fn offset(&self) -> Offset {
        self.record.offset
    }

    /// The event.
    pub(super) fn event(&self) -> &Arc<Event> {
        &self.record.event
    }

    /// The filter's verdict on the event as it was published.
    pub(super) async fn verdict(&self, plugins: &Plugins, filter: &PluginFilter) -> (By, Answer) {
        let asked = self.asked(plugins, filter);
        let answers = asked.answers.await;
        // One answer an event is the plugin host's contract; were one missing, it would be as if nobody answered.
        let answer = answers.1.get(asked.nth).cloned().unwrap_or(Err(CallError::Busy));
        (answers.0, answer)
    }

    /// The event in a form that is the same for every subscription.
    pub(super) fn encoded(&self, mode: Mode) -> Encoded {
        let cell = match mode {
            Mode::Structured => &self.structured,
            Mode::Binary => &self.binary,
            Mode::Raw => &self.raw,
            Mode::Batch | Mode::Pulp => return encode(mode, self.event()),
        };
        cell.get_or_init(|| encode(mode, self.event())).clone()
    }

    fn asked(&self, plugins: &Plugins, filter: &PluginFilter) -> Asked {
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        // That nobody was there to ask is no verdict; and what begins after a swap is judged by what serves now,
        // however long ago the record was asked about together with others.
        let generation = plugins.generation_of(&filter.name);
        all.retain(|asked| asked.filter != *filter || !asked.is_outdated(generation));
        if let Some(known) = all.iter().find(|asked| asked.filter == *filter) {
            return known.clone();
        }
        let answers = ask(plugins, filter, vec![self.event().clone()]);
        let asked = Asked {
            filter: filter.clone(),
            answers,
            nth: 0,
        };
        all.push(asked.clone());
        asked
    }
}

/// Has a filter judge all of these in one call, as soon as somebody wants to know about one of them.
pub(super) fn ask_together(plugins: &Plugins, filter: &PluginFilter, candidates: &[Arc<Candidate>]) {
    let events = candidates.iter().map(|candidate| candidate.event().clone()).collect();
    let answers = ask(plugins, filter, events);
    for (nth, candidate) in candidates.iter().enumerate() {
        let mut all = candidate.asked.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Asked {
            filter: filter.clone(),
            answers: answers.clone(),
            nth,
        });
    }
}

fn ask(plugins: &Plugins, filter: &PluginFilter, events: Vec<Arc<Event>>) -> Answers {
    let (plugins, filter) = (plugins.clone(), filter.clone());
    let answers = async move { Arc::new(plugins.judge(&filter.name, &filter.config, events).await) };
    answers.boxed().shared()
}
