//! The kept connection: used while it lives, made anew when it does not.

use std::time::Instant;

use crate::error::Error;
use crate::publication::Publication;
use crate::session::{Outcome, Session};

/// Publishes over one connection after the other.
pub struct Publisher {
    session: Option<Box<dyn Session>>,
}

impl Publisher {
    /// Without a connection yet.
    pub const fn new() -> Self {
        Self { session: None }
    }

    /// Publishes within the deadline. A kept connection that turns out to be ended is replaced at once, since nothing of
    /// this event went over it; one that breaks while the event is under way is a failed attempt, since the broker may
    /// have the event.
    pub fn publish(
        &mut self,
        publication: &Publication,
        deadline: Instant,
        open: impl Fn(Instant) -> Result<Box<dyn Session>, Error>,
    ) -> Result<(), Error> {
        if let Some(kept) = self.session.take() {
            match self.publish_over(kept, publication, deadline) {
                Err(Error::Stale(_)) => {}
                done => return done,
            }
        }
        let fresh = open(deadline)?;
        self.publish_over(fresh, publication, deadline)
    }

    /// Keeps the session if it is still good after this.
    fn publish_over(
        &mut self,
        mut session: Box<dyn Session>,
        publication: &Publication,
        deadline: Instant,
    ) -> Result<(), Error> {
        let outcome = session.publish(publication, deadline)?;
        self.session = Some(session);
        match outcome {
            Outcome::Confirmed => Ok(()),
            Outcome::Refused(reason) => Err(Error::Broker(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use super::*;
    use crate::config::Settings;
    use crate::publication::Seen;
    use crate::wire;

    type Answers = Rc<RefCell<Vec<Result<Outcome, Error>>>>;

    /// Gives one answer after the other, whichever session is asked.
    struct Scripted(Answers);

    impl Session for Scripted {
        fn publish(&mut self, _: &Publication, _: Instant) -> Result<Outcome, Error> {
            self.0.borrow_mut().remove(0)
        }
    }

    #[test]
    fn a_connection_is_kept_while_it_is_good() {
        let check = |answers: Vec<Result<Outcome, Error>>, results: Vec<Result<(), Error>>, connections: u32| {
            let shown = format!("{answers:?}");
            let (answers, opened) = (Rc::new(RefCell::new(answers)), Cell::new(0));
            let open = |_| {
                opened.set(opened.get() + 1);
                Ok(Box::new(Scripted(answers.clone())) as Box<dyn Session>)
            };
            let settings = Settings::parse(r#"{"url": "amqp://h"}"#, |_| None).unwrap();
            let seen = Seen {
                attributes: Vec::new(),
                data: Vec::new(),
            };
            let publication = Publication::of(seen, &settings, "1", "k".to_owned()).unwrap();
            let mut publisher = Publisher::new();
            for result in results {
                assert_eq!(publisher.publish(&publication, wire::now(), open), result, "{shown}");
            }
            assert_eq!(opened.get(), connections, "{shown}");
            assert!(answers.borrow().is_empty(), "{shown}");
        };
        let (yes, no) = (|| Ok(Outcome::Confirmed), || Ok(Outcome::Refused("no".to_owned())));
        let (stale, lost) = (|| Error::Stale("old".to_owned()), || Error::Broker("lost".to_owned()));
        check(vec![yes(), yes()], vec![Ok(()), Ok(())], 1);
        check(vec![no(), yes()], vec![Err(Error::Broker("no".to_owned())), Ok(())], 1);
        check(vec![yes(), Err(stale()), yes()], vec![Ok(()), Ok(())], 2);
        check(vec![yes(), Err(lost()), yes()], vec![Ok(()), Err(lost()), Ok(())], 2);
        check(vec![Err(stale()), yes()], vec![Err(stale()), Ok(())], 2);
    }
}
