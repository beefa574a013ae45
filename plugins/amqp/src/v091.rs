//! AMQP 0-9-1, the publisher's part: log in, find or declare the exchange, publish with confirms.
//!
//! Why our own and not the crate amqprs (it compiles for WASI): it reads, writes and beats its heart in background
//! tasks, which stand still between two calls, so it learns of a connection that was closed meanwhile only by failing
//! an event; and it can neither give up at a deadline nor tell whether an event had been sent when it failed. What a
//! publisher needs of the protocol is these few hundred lines, and the other dialect needs its own codec anyway.
//!
//! Invariant: at most one publication is under way, so the tag of a confirm is the number published.
//! Invariant: heartbeats are declined (0), because nobody is there to send them between calls.

mod content;
mod frame;
mod method;

use std::time::Instant;

use crate::config::Settings;
use crate::error::Error;
use crate::inbox::{Arrival, Inbox};
use crate::publication::Publication;
use crate::session::{self, Outcome};
use crate::short::Short;
use crate::wire::{Wire, explain};
use frame::Frame;
use method::{Answer, Call, Close};

/// The protocol that is asked for, as both sides write it.
const HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
/// What we take and send at most in one frame, if the broker allows it.
const FRAME_MAX: u32 = 128 << 10;
/// The one channel that is used; 0 is the connection itself.
const CHANNEL: u16 = 1;

/// An open channel in confirm mode.
pub struct Session<W> {
    wire: W,
    inbox: Inbox,
    exchange: Short,
    mandatory: bool,
    persistent: bool,
    frame_max: usize,
    /// How many have been published, which is the tag of the last.
    published: u64,
    /// Why the broker takes nothing at present, if it said so.
    blocked: Option<String>,
}

impl<W: Wire> Session<W> {
    /// Logs in and gets everything ready to publish.
    pub fn open(wire: W, settings: &Settings) -> Result<Self, Error> {
        let mut session = Self {
            wire,
            inbox: Inbox::default(),
            exchange: settings.exchange.clone(),
            mandatory: settings.mandatory,
            persistent: settings.persistent,
            frame_max: frame_size(FRAME_MAX),
            published: 0,
            blocked: None,
        };
        session.log_in(settings)?;
        session.open_channel()?;
        if !session.exchange.as_str().is_empty() {
            session.find_exchange()?;
        }
        session.call(&Call::ConfirmSelect)?;
        match session.answer()? {
            Answer::SelectOk => Ok(session),
            other => Err(refused("confirm.select", other)),
        }
    }

    fn log_in(&mut self, settings: &Settings) -> Result<(), Error> {
        self.send(&HEADER)?;
        let Answer::Start { mechanisms } = self.answer()? else {
            return Err(Error::unexpected("no connection.start"));
        };
        if !mechanisms.split(' ').any(|mechanism| mechanism == "PLAIN") {
            let reason = format!("the broker takes no user and password (PLAIN), only {mechanisms}");
            return Err(Error::Broker(reason));
        }
        let address = &settings.address;
        // The AMQP URI specification's own defaults.
        let user = address.user.as_deref().unwrap_or("guest");
        let password = match &address.password {
            Some(password) => password,
            None if address.user.is_none() => "guest",
            None => "",
        };
        self.call(&Call::StartOk { user, password })?;
        let (channel_max, frame_max) = match self.answer()? {
            Answer::Tune { channel_max, frame_max } => (channel_max, frame_max),
            other => return Err(refused("the login", other)),
        };
        let frame_max = if frame_max == 0 {
            FRAME_MAX
        } else {
            frame_max.min(FRAME_MAX)
        };
        self.frame_max = frame_size(frame_max);
        let vhost = Short::new("the vhost", address.vhost.as_str()).map_err(Error::Broker)?;
        self.call(&Call::TuneOk { channel_max, frame_max })?;
        self.call(&Call::Open { vhost: &vhost })?;
        match self.answer()? {
            Answer::OpenOk => Ok(()),
            other => Err(refused("opening the vhost", other)),
        }
    }

    fn open_channel(&mut self) -> Result<(), Error> {
        self.call(&Call::ChannelOpen)?;
        match self.answer()? {
            Answer::ChannelOpenOk => Ok(()),
            other => Err(refused("opening a channel", other)),
        }
    }

    /// Asks first: who may publish need not be allowed to declare, and what is there may be of any kind.
    fn find_exchange(&mut self) -> Result<(), Error> {
        let exchange = self.exchange.clone();
        self.call(&Call::Declare {
            exchange: &exchange,
            passive: true,
        })?;
        match self.answer()? {
            Answer::DeclareOk => return Ok(()),
            Answer::ChannelClose(Close { code: 404, .. }) => {}
            other => {
                return Err(refused(
                    &format!("looking for the exchange {exchange:?}", exchange = exchange.as_str()),
                    other,
                ));
            }
        }
        self.call(&Call::ChannelCloseOk)?;
        self.open_channel()?;
        self.call(&Call::Declare {
            exchange: &exchange,
            passive: false,
        })?;
        match self.answer()? {
            Answer::DeclareOk => Ok(()),
            other => Err(refused(
                &format!("declaring the exchange {:?}", exchange.as_str()),
                other,
            )),
        }
    }

    fn call(&mut self, call: &Call<'_>) -> Result<(), Error> {
        let bytes = call.frame();
        self.send(&bytes)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sent = self.wire.write_all(bytes).and_then(|()| self.wire.flush());
        sent.map_err(|error| Error::Broker(explain("writing to the broker", &error)))
    }

    /// The next method that matters, waiting for it.
    fn answer(&mut self) -> Result<Answer, Error> {
        loop {
            if let Some(answer) = self.arrived()? {
                return Ok(answer);
            }
            self.inbox
                .wait(&mut self.wire)
                .map_err(|error| self.while_blocked(error))?;
        }
    }

    /// The next method that matters, if it has arrived whole.
    fn arrived(&mut self) -> Result<Option<Answer>, Error> {
        while let Some(frame) = Frame::take(&mut self.inbox, self.frame_max)? {
            // Heartbeats, and the content of a returned publication, which we have ourselves.
            let Frame::Method(payload) = frame else { continue };
            match Answer::read(&payload)? {
                Answer::Blocked { reason } => self.blocked = Some(reason),
                Answer::Unblocked => self.blocked = None,
                Answer::ConnectionClose(close) => {
                    // The broker waits for this before it closes; whether it arrives is its business.
                    let _ = self.call(&Call::ConnectionCloseOk);
                    return Ok(Some(Answer::ConnectionClose(close)));
                }
                Answer::Unknown => {}
                answer => return Ok(Some(answer)),
            }
        }
        Ok(None)
    }

    /// Reads what came between two calls: the session is good only if that was nothing that ends it.
    fn catch_up(&mut self) -> Result<(), Error> {
        let stale = |reason: String| Err(Error::Stale(reason));
        loop {
            while let Some(answer) = self.arrived()? {
                match answer {
                    Answer::ConnectionClose(close) | Answer::ChannelClose(close) => return stale(close.to_string()),
                    // A late confirm of a publication that was given up: its session is not kept, so there is none.
                    _ => return stale("the broker spoke out of turn".to_owned()),
                }
            }
            match self.inbox.look(&mut self.wire) {
                Arrival::Bytes => {}
                Arrival::Nothing => return Ok(()),
                Arrival::End => return stale("the broker had closed the connection".to_owned()),
            }
        }
    }

    /// A broker that is short of memory or disk stops reading: that is why nothing came.
    fn while_blocked(&self, error: Error) -> Error {
        match &self.blocked {
            Some(reason) => Error::Broker(format!("{error}; the broker takes nothing at present: {reason}")),
            None => error,
        }
    }

    fn confirm(&mut self) -> Result<Outcome, Error> {
        let mut returned = None;
        loop {
            match self.answer()? {
                Answer::Return(why) => returned = Some(why),
                Answer::Ack { tag } if tag >= self.published => {
                    return Ok(match returned {
                        None => Outcome::Confirmed,
                        Some(why) => Outcome::Refused(format!("no queue takes it (mandatory): {why}")),
                    });
                }
                Answer::Nack { tag } if tag >= self.published => {
                    return Ok(Outcome::Refused("the broker could not take it (nack)".to_owned()));
                }
                Answer::Ack { .. } | Answer::Nack { .. } => {}
                Answer::ChannelClose(close) => return Err(judge(&close)),
                other => return Err(refused("publishing", other)),
            }
        }
    }
}

impl<W: Wire> session::Session for Session<W> {
    fn publish(&mut self, publication: &Publication, deadline: Instant) -> Result<Outcome, Error> {
        self.wire.finish_by(deadline);
        self.catch_up()?;
        if let Some(reason) = &self.blocked {
            return Ok(Outcome::Refused(format!(
                "the broker takes nothing at present: {reason}"
            )));
        }
        let bytes = content::frames(publication, self);
        self.published += 1;
        self.send(&bytes).map_err(|error| self.while_blocked(error))?;
        self.confirm()
    }
}

/// A channel that is closed over a publication.
fn judge(close: &Close) -> Error {
    let reason = format!("the broker refused it: {close}");
    match close.code {
        // Too large, or a property that it does not take: no other try would differ.
        311 | 406 => Error::Event(reason),
        // The exchange was deleted after it was found: a new connection declares it.
        404 => Error::Stale(reason),
        _ => Error::Broker(reason),
    }
}

/// An answer that is not the one that was waited for.
fn refused(what: &str, answer: Answer) -> Error {
    match answer {
        Answer::ConnectionClose(close) | Answer::ChannelClose(close) => {
            Error::Broker(format!("{what}: the broker refused: {close}"))
        }
        other => Error::unexpected(format!("{other:?} after {what}")),
    }
}

fn frame_size(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
