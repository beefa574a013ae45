//! What both dialects do: log in, then publish one event after the other, each confirmed.

use std::time::Instant;

use crate::config::Dialect;
use crate::config::Settings;
use crate::error::Error;
use crate::publication::Publication;
use crate::wire::Connection;
use crate::{v010, v091};

/// An open connection to a broker, ready to publish.
pub trait Session {
    /// Publishes and waits for the broker's word. `Err` means that the session is of no more use.
    fn publish(&mut self, publication: &Publication, deadline: Instant) -> Result<Outcome, Error>;
}

/// The broker's word on one publication; the session goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has the event, and answers for it.
    Confirmed,
    /// It does not have it now, in these words.
    Refused(String),
}

/// Connects and logs in.
pub fn open(settings: &Settings, deadline: Instant) -> Result<Box<dyn Session>, Error> {
    let wire = Connection::open(&settings.address, settings.authorities.as_deref(), deadline)?;
    Ok(match settings.dialect {
        Dialect::V091 => Box::new(v091::Session::open(wire, settings)?),
        Dialect::V010 => Box::new(v010::Session::open(wire, settings)?),
    })
}
