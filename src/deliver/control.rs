//! What a receiver says of its deliveries in the header `webhook-delivery` of its answer.
//!
//! As proposed for Standard Webhooks: `disable` ends deliveries to this sink, whatever the status; `abort-message` ends
//! the attempts at what was just sent, and has no effect where there would be none anyhow. What was sent is the whole
//! request: of a batch, every event in it. A value that is neither is nobody's business but a developer's.
//!
//! Why disabled is a pause and not the end: events wait in the log, so whoever disabled by mistake loses nothing.
//! Invariant: a header can end attempts, and never adds one.

use http::HeaderMap;
use tracing::debug;

use super::retry::Outcome;

const HEADER: &str = "webhook-delivery";

/// What one value of the header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Disable,
    Abort,
}

/// What the status says, after what the header says. `status` is for the reason.
pub(super) fn heed(outcome: Outcome, headers: &HeaderMap, status: u16) -> Outcome {
    let wishes = wishes(headers);
    let (disables, aborts) = (wishes.contains(&Wish::Disable), wishes.contains(&Wish::Abort));
    match outcome {
        Outcome::Accepted if disables => Outcome::Disabled { accepted: true },
        Outcome::Retry { .. } if disables => Outcome::Disabled { accepted: false },
        Outcome::Retry { .. } if aborts => Outcome::Rejected {
            reason: format!("the sink answered {status} and wants no other attempt ({HEADER}: abort-message)"),
        },
        other => other,
    }
}

fn wishes(headers: &HeaderMap) -> Vec<Wish> {
    let values = headers.get_all(HEADER).iter().filter_map(|value| value.to_str().ok());
    let words = values.flat_map(|value| value.split(',')).map(str::trim);
    words
        .filter_map(|word| match word {
            "disable" => Some(Wish::Disable),
            "abort-message" => Some(Wish::Abort),
            other => {
                debug!(
                    value = other,
                    "a sink's webhook-delivery header says nothing that is known"
                );
                None
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_attempts_and_never_adds_one() {
        let retry = || Outcome::Retry { after: None };
        let aborted = || Outcome::Rejected {
            reason: "the sink answered 503 and wants no other attempt (webhook-delivery: abort-message)".to_owned(),
        };
        let disabled = |accepted| Outcome::Disabled { accepted };
        for (values, outcome, want) in [
            (&[][..], retry(), retry()),
            (&["disable"], Outcome::Accepted, disabled(true)),
            (&["disable"], retry(), disabled(false)),
            (&["disable"], Outcome::Gone, Outcome::Gone),
            (&["abort-message"], Outcome::Accepted, Outcome::Accepted),
            (&["abort-message"], retry(), aborted()),
            (&["abort-message"], Outcome::Gone, Outcome::Gone),
            (&["abort-message, disable"], retry(), disabled(false)),
            (&["pause", " abort-message "], retry(), aborted()),
            (
                &["Disable", "disabled", "enable", ""],
                Outcome::Accepted,
                Outcome::Accepted,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, value.parse().unwrap());
            }
            assert_eq!(heed(outcome.clone(), &headers, 503), want, "{values:?} {outcome:?}");
        }
    }
}
