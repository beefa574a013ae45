//! One sentence for a person, and what they should know when they read the rest. Pure.

use super::rules::Rule;
use super::standing::{Case, Standing};
use crate::subscription::{Attempt, Subscription, UNLIMITED};
use crate::time::Timestamp;

/// Why it did, or did not, arrive.
pub(super) fn why(subscription: &Subscription, rules: &[Rule], standing: &Standing) -> String {
    let reason = standing.reason.as_deref().unwrap_or("its state says no more");
    let id = &subscription.id;
    match standing.state {
        "delivered" => match standing.attempts.last() {
            Some(last) => format!("it was delivered: attempt {}, {}", last.number, attempt(last)),
            None => {
                "it was delivered, or would not have been passed over: its rules pass it and nothing of it is left \
                     to do; the attempt itself is not remembered any more"
                    .to_owned()
            }
        },
        "unwanted" | "filtered" => format!("it was not wanted: {}", decisive(rules)),
        "before_start" => format!("it came before the subscription `{id}` was made, which began later in the log"),
        "dead" => {
            let letter = standing.dead_letter.unwrap_or_default();
            format!(
                "it is dead letter {letter} after {} attempts: {reason}; `busway dead redeliver --id {letter}` tries again",
                standing.tries
            )
        }
        "retrying" => {
            let last = standing.attempts.last().map(attempt).unwrap_or_default();
            let next = standing
                .next
                .as_deref()
                .map(|at| format!("; the next is due at {at}"))
                .unwrap_or_default();
            let most = match subscription.config.max_attempts {
                UNLIMITED => "any number of".to_owned(),
                most => most.to_string(),
            };
            let resting = standing
                .reason
                .as_deref()
                .map(|why| format!("; the subscription rests: {why}"))
                .unwrap_or_default();
            format!("{} of {most} attempts failed ({last}){next}{resting}", standing.tries,)
        }
        "parked" => {
            let plugin = standing.parked_for.as_deref().unwrap_or_default();
            format!("it is parked until another generation of the plugin {plugin} is loaded: {reason}")
        }
        "in_flight" => "it is on its way now".to_owned(),
        "held" => format!("it is held: {reason}; it goes on by itself once that is mended"),
        "paused" => format!("the subscription is paused ({reason}); `busway subscription resume {id}` lets it go on"),
        "waiting" => match &standing.reason {
            Some(reason) => format!("it has not come up yet, the sink keeps failing: {reason}"),
            None => "it has not come up yet: the subscription is still busy with events before it".to_owned(),
        },
        _ => {
            "it is settled, and how is not remembered: its rules have changed since, or cannot be asked now".to_owned()
        }
    }
}

/// The rule that does not pass, in words.
fn decisive(rules: &[Rule]) -> String {
    let decided = rules.iter().find(|rule| rule.passes == Some(false));
    decided.map_or_else(
        || "no rule says why".to_owned(),
        |rule| format!("{}: {}", rule.rule, rule.because),
    )
}

fn attempt(attempt: &Attempt) -> String {
    let status = attempt
        .status
        .map(|status| format!(", status {status}"))
        .unwrap_or_default();
    format!("{}{status}, at {}", attempt.outcome, Timestamp(attempt.at))
}

/// What else is to be known.
pub(super) fn notes(subscription: &Subscription, case: &Case, rules: &[Rule]) -> Vec<String> {
    let mut notes = Vec::new();
    if rules.iter().any(|rule| !rule.plugins.is_empty()) {
        notes.push(
            "plugins were asked now, with their effects suppressed: the generation that judged the event then may have \
             been another"
                .to_owned(),
        );
    }
    if subscription.updated > case.received && subscription.updated > subscription.created {
        notes.push(format!(
            "the subscription was changed at {}, after the event came: its rules may have been others then",
            subscription.updated
        ));
    }
    if case.is_trimmed {
        notes.push("retention has removed the event from the log; its dead letter keeps it".to_owned());
    }
    notes
}
