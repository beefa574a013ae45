//! Notifier plugins: an event to a call, its result to an outcome.
//!
//! The plugin's own limits bound the call, so there is no second timeout here.
//! What the plugin says of its sink is its answer; that the call itself failed is the plugin's failure.
//! Invariant: a notifier that is not loaded costs no attempt: the delivery is held.

use std::sync::Arc;

use super::evaluate::Failed;
use super::retry::Outcome;
use super::webhook::Answered;
use crate::event::Event;
use crate::plugin::{By, CallError, Delivery, NotifyError, Plugins};

/// What came of having the plugin deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notified {
    /// It answered.
    Answered(Answered),
    /// It failed; or said of a delivery that no try will ever help, while it may yet be rolled back.
    Failed(Failed, Answered),
    /// It is not loaded.
    Missing(String),
}

/// Has the plugin deliver.
pub(super) async fn notify(
    plugins: &Plugins,
    plugin: &Arc<str>,
    settings: &Arc<str>,
    event: &Arc<Event>,
    delivery: Delivery,
) -> Notified {
    let (by, result) = plugins.carry(plugin, settings, event, delivery).await;
    notified(plugin, by, result)
}

fn notified(plugin: &Arc<str>, by: By, result: Result<(), NotifyError>) -> Notified {
    let failed = match &result {
        Err(NotifyError::Call(CallError::NotLoaded(_))) => return Notified::Missing(plugin.to_string()),
        Err(NotifyError::Call(error)) => *error != CallError::Busy,
        Err(NotifyError::Failure { retry: false, .. }) => by.on_probation,
        _ => false,
    };
    let answered = answered(plugin, result);
    match failed {
        false => Notified::Answered(answered),
        true => {
            let failed = Failed {
                plugin: plugin.clone(),
                by,
                own: true,
                words: answered.words.clone(),
            };
            Notified::Failed(failed, answered)
        }
    }
}

fn answered(plugin: &str, result: Result<(), NotifyError>) -> Answered {
    let (outcome, words) = match result {
        Ok(()) => (Outcome::Accepted, "delivered".to_owned()),
        Err(NotifyError::Call(error)) => (Outcome::Retry { after: None }, format!("notifier {plugin}: {error}")),
        Err(NotifyError::Failure {
            reason,
            retry: true,
            retry_after,
        }) => (Outcome::Retry { after: retry_after }, reason),
        Err(NotifyError::Failure {
            reason, retry: false, ..
        }) => (Outcome::Rejected { reason: reason.clone() }, reason),
    };
    Answered {
        outcome,
        status: None,
        words,
        answer: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_plugins_word_decides() {
        let failure = |retry, retry_after| NotifyError::Failure {
            reason: "mailbox full".to_owned(),
            retry,
            retry_after,
        };
        let minute = Some(Duration::from_secs(60));
        let never = || Outcome::Rejected {
            reason: "mailbox full".to_owned(),
        };
        let trap = || Err(NotifyError::Call(CallError::Trap("x".to_owned())));
        let busy = || Err(NotifyError::Call(CallError::Busy));
        let again = |after| Outcome::Retry { after };
        // Whether it counts as the plugin's failure: of a proven load, and of one on probation.
        let table = [
            (Ok(()), Outcome::Accepted, [false, false]),
            (Err(failure(true, minute)), again(minute), [false, false]),
            (Err(failure(false, minute)), never(), [false, true]),
            (trap(), again(None), [true, true]),
            (busy(), again(None), [false, false]),
        ];
        for (result, want, fails) in table {
            for (on_probation, fails) in [false, true].into_iter().zip(fails) {
                let by = By {
                    generation: 1,
                    on_probation,
                };
                let (failed, outcome) = match notified(&"email".into(), by, result.clone()) {
                    Notified::Answered(answered) => (false, answered.outcome),
                    Notified::Failed(_, answered) => (true, answered.outcome),
                    Notified::Missing(_) => panic!("{result:?}"),
                };
                assert_eq!((failed, &outcome), (fails, &want), "{result:?} of {by:?}");
            }
        }
        let missing = Err(NotifyError::Call(CallError::NotLoaded("email".to_owned())));
        let missing = notified(&"email".into(), By::default(), missing);
        assert_eq!(missing, Notified::Missing("email".to_owned()));
    }
}
