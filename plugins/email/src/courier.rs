//! Carries a delivery's letters over a connection that is kept, and judges what came of them.
//!
//! Invariant: a connection that broke, or that a server closed while it was idle, costs no attempt: the letter goes over a new
//! one, unless its end was sent already (then the server may have it).
//! Invariant: a receiver who accepted a letter is not written to again by a retry on this instance.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use lettre::message::Mailbox;

use crate::config::Config;
use crate::letter::Origin;
use crate::notes::{Answer, Notes};
use crate::occurrence::Occurrence;
use crate::session::{Post, Session, Trouble};

/// Why a delivery failed.
#[derive(Debug, PartialEq)]
pub struct Failed {
    pub reason: String,
    pub retry: bool,
}

impl Failed {
    /// A failure that another try cannot mend.
    pub fn never(reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            retry: false,
        }
    }
}

/// One instance's connection and memory.
pub struct Courier {
    config: Config,
    kept: Option<Session>,
    notes: Notes,
}

impl Courier {
    /// A courier without a connection: the first delivery makes it.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            kept: None,
            notes: Notes::default(),
        }
    }

    /// Sends the event to every address that does not have it.
    pub fn deliver(&mut self, event: &Occurrence, origin: Origin, now: SystemTime) -> Result<(), Failed> {
        #[allow(clippy::disallowed_methods, reason = "the clock of a guest is its host's")]
        let deadline = Instant::now() + self.config.timeout;
        let mut answers = self.notes.take(origin.id);
        let addresses = std::mem::take(&mut self.config.addresses);
        let at_once = if self.config.together { addresses.len() } else { 1 };
        let mut trouble = None;
        for receivers in addresses.chunks(at_once) {
            let receivers: Vec<&Mailbox> = receivers.iter().collect();
            if let Err(met) = self.write(&receivers, event, (origin, now), (&mut answers, deadline)) {
                trouble = Some(met);
                break;
            }
        }
        self.config.addresses = addresses;
        let judged = judge(&answers, trouble);
        if judged.is_err() {
            self.notes.keep(origin.id, answers);
        }
        judged
    }

    /// One letter, to those of its receivers who do not have it.
    fn write(
        &mut self,
        receivers: &[&Mailbox],
        event: &Occurrence,
        (origin, now): (Origin, SystemTime),
        (answers, deadline): (&mut BTreeMap<String, Answer>, Instant),
    ) -> Result<(), Trouble> {
        let lacks = |receiver: &&&Mailbox| answers.get(&receiver.email.to_string()) != Some(&Answer::Accepted);
        let to: Vec<_> = receivers.iter().filter(lacks).map(|receiver| &receiver.email).collect();
        if to.is_empty() {
            return Ok(());
        }
        let text = self.config.letter.write(receivers, event, origin, now);
        let text = text.map_err(|words| Trouble {
            words: format!("the letter cannot be written: {words}"),
            retry: false,
            sent: false,
        })?;
        let from = self.config.letter.from.email.clone();
        let post = Post {
            from: &from,
            to,
            text: &text,
        };
        let said = self.send(&post, deadline)?;
        answers.extend(post.to.iter().map(ToString::to_string).zip(said));
        Ok(())
    }

    /// Over the kept connection; if that is no more, over a new one.
    fn send(&mut self, post: &Post, deadline: Instant) -> Result<Vec<Answer>, Trouble> {
        if let Some(mut session) = self.kept.take() {
            match session.send(post, deadline) {
                Ok(said) => {
                    self.kept = Some(session);
                    return Ok(said);
                }
                Err(trouble) if trouble.sent => return Err(trouble),
                Err(_) => {}
            }
        }
        let mut session = Session::open(&self.config.server, deadline)?;
        let said = session.send(post, deadline)?;
        self.kept = Some(session);
        Ok(said)
    }
}

/// A retry can help if anything was not refused for good.
fn judge(answers: &BTreeMap<String, Answer>, trouble: Option<Trouble>) -> Result<(), Failed> {
    let mut retry = trouble.as_ref().is_some_and(|trouble| trouble.retry);
    let mut accepted = 0;
    let mut reasons = Vec::new();
    for (address, answer) in answers {
        match answer {
            Answer::Accepted => accepted += 1,
            Answer::Later(words) => {
                retry = true;
                reasons.push(format!("{address}: {words}"));
            }
            Answer::Never(words) => reasons.push(format!("{address}: {words}")),
        }
    }
    reasons.extend(trouble.map(|trouble| trouble.words));
    if reasons.is_empty() {
        return Ok(());
    }
    let mut reason = reasons.join("; ");
    if accepted > 0 {
        reason.push_str(&format!(" (accepted for {accepted} of the addresses)"));
    }
    Err(Failed { reason, retry })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_must_be_able_to_help() {
        let (ok, busy, gone) = (
            Answer::Accepted,
            Answer::Later("450 busy".to_owned()),
            Answer::Never("550 gone".to_owned()),
        );
        let lost = |retry| Trouble {
            words: "lost".to_owned(),
            retry,
            sent: false,
        };
        let check = |said: &[&Answer], trouble: Option<Trouble>, expected: Option<(&str, bool)>| {
            let named = said
                .iter()
                .enumerate()
                .map(|(nth, &answer)| (format!("a{nth}"), answer.clone()));
            let judged = judge(&named.collect(), trouble).err();
            let judged = judged.as_ref().map(|failed| (failed.reason.as_str(), failed.retry));
            assert_eq!(judged, expected);
        };
        check(&[&ok, &ok], None, None);
        check(&[&gone], None, Some(("a0: 550 gone", false)));
        check(&[&busy], None, Some(("a0: 450 busy", true)));
        check(
            &[&ok, &busy, &gone],
            None,
            Some(("a1: 450 busy; a2: 550 gone (accepted for 1 of the addresses)", true)),
        );
        check(
            &[&ok, &gone],
            None,
            Some(("a1: 550 gone (accepted for 1 of the addresses)", false)),
        );
        check(&[&gone], Some(lost(true)), Some(("a0: 550 gone; lost", true)));
        check(&[], Some(lost(false)), Some(("lost", false)));
    }
}
