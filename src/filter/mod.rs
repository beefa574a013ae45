//! What a subscription wants: type patterns and filter dialects, and the index that finds who wants an event.
//!
//! `types` are patterns for event types; `dialect` reads and writes the filters of the CloudEvents Subscriptions API
//! and `decide` evaluates them; `pattern` is EventBridge's own language, `sql` that of CloudEvents; `selector` is all
//! that one subscription asks for, and `index` finds the selectors that want an event without asking each.
//!
//! A plugin filter is only a name and a config here: natively it is unknown, and so a filter has three answers
//! (Kleene's logic). Who calls plugins gives their verdicts to [`Filter::decide`].
//! Invariant: nothing here does I/O, and no text from outside can make it panic or take more than time
//! proportional to event × filter; the limits stand beside the parsers.

mod selector;

mod decide;
mod dialect;
mod explain;
mod pattern;
mod sql;
mod types;

mod index;

mod glob;
mod path;

#[cfg(test)]
mod arbitrary;

pub use decide::Match;
pub use dialect::{Filter, PluginFilter};
pub use explain::Reason;
pub use index::Index;
pub use pattern::{Mode, Pattern};
pub use selector::Selector;
pub use sql::{Evaluated, Fault, Sql, Value as SqlValue};
pub use types::TypePattern;
