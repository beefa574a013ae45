//! AMQP 0-10, the publisher's part, as Apache Qpid speaks it: log in, attach a session, find or declare the exchange,
//! then one synchronous transfer an event, which the broker completes when it has it.
//!
//! Each side counts the commands it sends, and tells the other which it has completed. Ours are the query, the
//! declaration and the transfers; the broker's are its results and exceptions.
//! Invariant: a command is under way alone, so an exception is about that one.

mod command;
mod segment;
mod values;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Instant;

use crate::config::Settings;
use crate::error::Error;
use crate::inbox::{Arrival, Inbox};
use crate::publication::Publication;
use crate::session::{self, Outcome};
use crate::short::Short;
use crate::wire::{Wire, explain};
use command::{Close, Signal};
use segment::{Assembly, Segment};

/// The protocol that is asked for, as both sides write it.
const HEADER: [u8; 8] = *b"AMQP\x01\x01\x00\x0A";
/// The largest frame there is: its size has two bytes.
const FRAME_MAX: u16 = u16::MAX;

/// An attached session.
pub struct Session<W> {
    wire: W,
    inbox: Inbox,
    exchange: Short,
    persistent: bool,
    frame_max: u16,
    /// The id of our next command.
    next: u32,
    /// How many commands the broker has sent.
    received: u32,
}

impl<W: Wire> Session<W> {
    /// Logs in and gets everything ready to publish.
    pub fn open(wire: W, settings: &Settings) -> Result<Self, Error> {
        let mut session = Self {
            wire,
            inbox: Inbox::default(),
            exchange: settings.exchange.clone(),
            persistent: settings.persistent,
            frame_max: FRAME_MAX,
            next: 0,
            received: 0,
        };
        session.greet()?;
        session.log_in(settings)?;
        session.attach()?;
        if !session.exchange.as_str().is_empty() {
            session.find_exchange()?;
        }
        Ok(session)
    }

    /// Both sides begin with the same eight bytes.
    fn greet(&mut self) -> Result<(), Error> {
        self.send(&HEADER)?;
        while self.inbox.bytes().len() < HEADER.len() {
            self.inbox.wait(&mut self.wire)?;
        }
        let theirs = self.inbox.take(HEADER.len());
        if theirs == HEADER {
            return Ok(());
        }
        let reason = match theirs.strip_prefix(b"AMQP") {
            Some(version) => {
                let version: Vec<String> = version.iter().map(u8::to_string).collect();
                format!(
                    "the broker does not speak AMQP 0-10; it offers {} (see protocol)",
                    version.join("-")
                )
            }
            None => "the broker does not speak AMQP 0-10 (see protocol)".to_owned(),
        };
        Err(Error::Broker(reason))
    }

    fn log_in(&mut self, settings: &Settings) -> Result<(), Error> {
        let mechanisms = match self.signal()? {
            Signal::Start { mechanisms } => mechanisms,
            other => return Err(refused("the greeting", other)),
        };
        let address = &settings.address;
        let (mechanism, response) = match &address.user {
            None => (Short::known("ANONYMOUS"), "busway".to_owned()),
            Some(user) => (
                Short::known("PLAIN"),
                format!("\0{user}\0{}", address.password.as_deref().unwrap_or_default()),
            ),
        };
        if !mechanisms.iter().any(|known| known == mechanism.as_str()) {
            let offered = mechanisms.join(" ");
            return Err(Error::Broker(format!(
                "the broker does not take the login {mechanism}, only {offered}"
            )));
        }
        self.tell(&command::start_ok(&mechanism, &response))?;
        let channel_max = match self.signal()? {
            Signal::Tune { channel_max, frame_max } => {
                self.frame_max = frame_max;
                channel_max
            }
            other => return Err(refused("the login", other)),
        };
        // The vhost of no name is Qpid's own default, and `/` is what an address without one says.
        let vhost = if address.vhost == "/" {
            ""
        } else {
            address.vhost.as_str()
        };
        let vhost = Short::new("the vhost", vhost).map_err(Error::Broker)?;
        self.tell(&command::tune_ok(channel_max, self.frame_max))?;
        self.tell(&command::open(&vhost))?;
        match self.signal()? {
            Signal::OpenOk => Ok(()),
            other => Err(refused("opening the connection", other)),
        }
    }

    fn attach(&mut self) -> Result<(), Error> {
        self.tell(&command::attach(&session_name()))?;
        match self.signal()? {
            Signal::Attached => self.tell(&command::command_point()),
            other => Err(refused("attaching a session", other)),
        }
    }

    /// Asks first: who may publish need not be allowed to declare, and Qpid refuses to declare names of its own.
    fn find_exchange(&mut self) -> Result<(), Error> {
        let exchange = self.exchange.clone();
        if self.command(&command::query(&exchange))? {
            return Ok(());
        }
        self.command(&command::declare(&exchange, true)).map(drop)
    }

    /// Sends a command and waits until the broker has completed it; whether nothing said that something was not found.
    fn command(&mut self, command: &Assembly) -> Result<bool, Error> {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.tell(command)?;
        let mut found = true;
        loop {
            match self.signal()? {
                Signal::Completed { ranges, .. }
                    if ranges.iter().any(|&(lower, upper)| (lower..=upper).contains(&id)) =>
                {
                    return Ok(found);
                }
                Signal::Completed { .. } => {}
                Signal::QueryResult { not_found } => found = !not_found,
                Signal::Exception(close) => return Err(judge(&close)),
                other => return Err(refused("a command", other)),
            }
        }
    }

    fn tell(&mut self, what: &Assembly) -> Result<(), Error> {
        let bytes = segment::frames(what, self.frame_max);
        self.send(&bytes)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sent = self.wire.write_all(bytes).and_then(|()| self.wire.flush());
        sent.map_err(|error| Error::Broker(explain("writing to the broker", &error)))
    }

    /// The next signal that matters, waiting for it.
    fn signal(&mut self) -> Result<Signal, Error> {
        loop {
            if let Some(signal) = self.arrived()? {
                return Ok(signal);
            }
            self.inbox.wait(&mut self.wire)?;
        }
    }

    /// The next signal that matters, if it has arrived whole.
    fn arrived(&mut self) -> Result<Option<Signal>, Error> {
        while let Some(segment) = Segment::take(&mut self.inbox)? {
            let is_command = matches!(segment, Segment::Command(_));
            self.received = self.received.wrapping_add(u32::from(is_command));
            let (signal, sync) = command::read(&segment)?;
            if sync {
                self.tell(&command::completed(self.received))?;
            }
            match signal {
                Signal::Unknown => {}
                Signal::Flush => self.tell(&command::completed(self.received))?,
                Signal::Completed {
                    ranges,
                    timely_reply: true,
                } => {
                    self.tell(&command::known_completed(&ranges))?;
                    return Ok(Some(Signal::Completed {
                        ranges,
                        timely_reply: true,
                    }));
                }
                Signal::Close(close) => {
                    // The broker waits for this before it closes; whether it arrives is its business.
                    let _ = self.tell(&command::close_ok());
                    return Ok(Some(Signal::Close(close)));
                }
                signal => return Ok(Some(signal)),
            }
        }
        Ok(None)
    }

    /// Reads what came between two calls: the session is good only if that was nothing that ends it.
    fn catch_up(&mut self) -> Result<(), Error> {
        loop {
            while let Some(signal) = self.arrived()? {
                match signal {
                    Signal::Completed { .. } => {}
                    Signal::Close(close) | Signal::Exception(close) => return Err(Error::Stale(close.to_string())),
                    _ => return Err(Error::Stale("the broker ended the session".to_owned())),
                }
            }
            match self.inbox.look(&mut self.wire) {
                Arrival::Bytes => {}
                Arrival::Nothing => return Ok(()),
                Arrival::End => return Err(Error::Stale("the broker had closed the connection".to_owned())),
            }
        }
    }
}

impl<W: Wire> session::Session for Session<W> {
    fn publish(&mut self, publication: &Publication, deadline: Instant) -> Result<Outcome, Error> {
        self.wire.finish_by(deadline);
        self.catch_up()?;
        let exchange = self.exchange.clone();
        let transfer = command::transfer(&exchange, publication, self.persistent)?;
        self.command(&transfer)?;
        Ok(Outcome::Confirmed)
    }
}

/// An exception over a command.
fn judge(close: &Close) -> Error {
    let reason = format!("the broker refused it: {close}");
    match close.code {
        // The exchange was deleted after it was found: a new session declares it.
        404 => Error::Stale(reason),
        _ => Error::Broker(reason),
    }
}

/// A signal that is not the one that was waited for.
fn refused(what: &str, signal: Signal) -> Error {
    match signal {
        Signal::Close(close) | Signal::Exception(close) => {
            Error::Broker(format!("{what}: the broker refused: {close}"))
        }
        other => Error::unexpected(format!("{other:?} after {what}")),
    }
}

/// A name that no other session has: the seed of a fresh map is the host's random.
fn session_name() -> Short {
    let word = || RandomState::new().build_hasher().finish();
    Short::new("", format!("busway-{:016x}{:016x}", word(), word())).unwrap_or_else(|_| Short::known("busway"))
}
