//! Notifier plugins: an event to a call, its result to an outcome.
//!
//! The plugin's own limits bound the call, so there is no second timeout here.
//! Invariant: a notifier that is not loaded costs no attempt: the delivery is held.

use std::sync::Arc;

use super::retry::Outcome;
use super::webhook::Answered;
use crate::event::Event;
use crate::plugin::{CallError, Delivery, NotifyError, Plugins};

/// Has the plugin deliver; `Err` is the name of a plugin that is not loaded.
pub(super) async fn notify(
    plugins: &Plugins,
    plugin: &Arc<str>,
    settings: &Arc<str>,
    event: &Arc<Event>,
    delivery: Delivery,
) -> Result<Answered, String> {
    answered(plugin, plugins.notify(plugin, settings, event, delivery).await)
}

fn answered(plugin: &str, result: Result<(), NotifyError>) -> Result<Answered, String> {
    let (outcome, words) = match result {
        Ok(()) => (Outcome::Accepted, "delivered".to_owned()),
        Err(NotifyError::Call(CallError::NotLoaded(_))) => return Err(plugin.to_owned()),
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
    Ok(Answered {
        outcome,
        status: None,
        words,
        answer: None,
    })
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
        let table = [
            (Ok(()), Some(Outcome::Accepted)),
            (Err(failure(true, minute)), Some(Outcome::Retry { after: minute })),
            (
                Err(failure(false, minute)),
                Some(Outcome::Rejected {
                    reason: "mailbox full".to_owned(),
                }),
            ),
            (
                Err(NotifyError::Call(CallError::Trap("x".to_owned()))),
                Some(Outcome::Retry { after: None }),
            ),
            (Err(NotifyError::Call(CallError::NotLoaded("email".to_owned()))), None),
        ];
        for (result, want) in table {
            assert_eq!(
                answered("email", result.clone()).ok().map(|answered| answered.outcome),
                want,
                "{result:?}"
            );
        }
    }
}
