//! One SMTP connection: opened, greeted, encrypted, logged in, and then one letter after the other.
//!
//! lettre speaks the protocol, command by command: its own `send` gives up a letter for the first receiver that is
//! refused, and writes the end of the letter in a piece of its own, which costs a delayed acknowledgement each time.
//! Invariant: nothing outlasts the deadline: every wait on the socket is bounded by what is left of it.
//! Invariant: no password goes over a connection that is not encrypted, but to this machine.

use std::error::Error as _;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::SmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};

use crate::config::{Security, Server};
use crate::notes::Answer;

/// Why a connection is of no more use.
#[derive(Debug, PartialEq)]
pub struct Trouble {
    pub words: String,
    /// Whether another try can help.
    pub retry: bool,
    /// Whether the server may have the letter all the same: its end was sent, and no answer came.
    pub sent: bool,
}

/// A letter and who is to get it.
pub struct Post<'a> {
    pub from: &'a Address,
    pub to: Vec<&'a Address>,
    pub text: &'a str,
}

/// An open connection.
pub struct Session(SmtpConnection);

impl Session {
    /// Connects, greets, encrypts and logs in, as the config says.
    pub fn open(server: &Server, deadline: Instant) -> Result<Self, Trouble> {
        let hello = ClientId::Domain(server.hello.clone());
        let mut session = Self(connect(server, &hello, deadline)?);
        let wants = match server.security {
            Security::StartTls => true,
            Security::Opportunistic => session.0.can_starttls(),
            Security::None | Security::Tls => false,
        };
        if wants {
            session.wait_until(deadline)?;
            let started = session.0.starttls(&server.tls, &hello);
            started.map_err(|error| trouble("starttls", &error))?;
        }
        if let Some(login) = &server.login {
            if !session.0.is_encrypted() && !server.trusts_plain() {
                return Err(later(
                    "the server offers no STARTTLS, and the password is not sent in the clear",
                ));
            }
            session.wait_until(deadline)?;
            let known = session.0.auth(&login.mechanisms, &login.credentials);
            known.map_err(|error| trouble("login", &error))?;
        }
        Ok(session)
    }

    /// Hands over one letter: what the server said to each receiver, in their order.
    pub fn send(&mut self, post: &Post, deadline: Instant) -> Result<Vec<Answer>, Trouble> {
        let parameters = match self.parameters(post) {
            Ok(parameters) => parameters,
            Err(why) => return Ok(vec![Answer::Never(why); post.to.len()]),
        };
        if let Some(refused) = self.ask(Mail::new(Some(post.from.clone()), parameters), deadline)? {
            return Ok(vec![refused; post.to.len()]);
        }
        let mut answers = Vec::with_capacity(post.to.len());
        for to in &post.to {
            let refused = self.ask(Rcpt::new((*to).clone(), Vec::new()), deadline)?;
            answers.push(refused.unwrap_or(Answer::Accepted));
        }
        let mut refused = None;
        if answers.contains(&Answer::Accepted) {
            refused = match self.ask(Data, deadline)? {
                Some(refused) => Some(refused),
                None => self
                    .ask(stuffed(post.text), deadline)
                    .map_err(|trouble| Trouble { sent: true, ..trouble })?,
            };
        } else {
            // So that the next letter finds no half of this one.
            self.ask(Rset, deadline)?;
        }
        if let Some(refused) = refused {
            for answer in answers.iter_mut().filter(|answer| **answer == Answer::Accepted) {
                answer.clone_from(&refused);
            }
        }
        Ok(answers)
    }

    /// What the letter needs of the server, or why it cannot have it.
    fn parameters(&self, post: &Post) -> Result<Vec<MailParameter>, String> {
        let ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
        let mut parameters = Vec::new();
        if !ascii(post.from) || !post.to.iter().all(|to| ascii(to)) {
            if !self.0.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err("the server takes only ASCII addresses (it has no SMTPUTF8)".to_owned());
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !post.text.is_ascii() && self.0.server_info().supports_feature(Extension::EightBitMime) {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Ok(parameters)
    }

    /// One command: nothing if the server agreed, its refusal if it said one, trouble if the connection is over.
    fn ask(&mut self, command: impl std::fmt::Display, deadline: Instant) -> Result<Option<Answer>, Trouble> {
        self.wait_until(deadline)?;
        match self.0.command(command) {
            Ok(_) => Ok(None),
            Err(error) => answer(&error).map(Some),
        }
    }

    fn wait_until(&mut self, deadline: Instant) -> Result<(), Trouble> {
        let left = left_of(deadline)?;
        let set = self.0.set_timeout(Some(left));
        set.map_err(|error| later(&format!("the connection broke: {error}")))
    }
}

/// Tries each address that the name has, so that a dead one leaves time for the next.
fn connect(server: &Server, hello: &ClientId, deadline: Instant) -> Result<SmtpConnection, Trouble> {
    let place = format!("{}:{}", server.host, server.port);
    let found = (server.host.as_str(), server.port).to_socket_addrs();
    let found: Vec<SocketAddr> = found.map_err(|error| unreachable(&place, &error))?.collect();
    let tls = (server.security == Security::Tls).then_some(&server.tls);
    let mut last = later(&format!("{place} has no address"));
    for (nth, address) in found.iter().enumerate() {
        let share = u32::try_from(found.len() - nth).unwrap_or(1);
        let patience = left_of(deadline)? / share;
        match SmtpConnection::connect(address, Some(patience), hello, tls, None) {
            Ok(connection) => return Ok(connection),
            Err(error) => {
                last = match io_cause(&error) {
                    Some(cause) if error.status().is_none() => unreachable(&place, cause),
                    _ => trouble("greeting", &error),
                }
            }
        }
    }
    Err(last)
}

/// A refusal in the server's words, or the end of the connection.
fn answer(error: &Error) -> Result<Answer, Trouble> {
    let words = words(error);
    match error.status().map(u16::from) {
        // The server is closing: whatever it was asked, it did not do.
        Some(421) => Err(later(&words)),
        // It wants a login or encryption first: the operator mends that, and the letter is none the worse.
        Some(530) => Err(later(&words)),
        Some(500..) => Ok(Answer::Never(words)),
        Some(_) => Ok(Answer::Later(words)),
        None => Err(later(&words)),
    }
}

/// Trouble before any letter: whatever the server said, it said it of the connection, so the letters wait for the operator.
fn trouble(step: &str, error: &Error) -> Trouble {
    later(&format!("{step}: {}", words(error)))
}

fn unreachable(place: &str, error: &io::Error) -> Trouble {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let words = match error.kind() {
        io::ErrorKind::PermissionDenied => format!("the hub does not allow {place}: grant it in grants.tcp"),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => format!("{place} did not answer in time"),
        _ => format!("{place}: {error}"),
    };
    Trouble {
        retry: !denied,
        ..later(&words)
    }
}

fn later(words: &str) -> Trouble {
    Trouble {
        words: words.to_owned(),
        retry: true,
        sent: false,
    }
}

/// The code and the text of a server's refusal, or what went wrong.
fn words(error: &Error) -> String {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    match (error.status(), io_cause(error)) {
        (Some(code), _) => format!("{code} {cause}").trim_end().to_owned(),
        (None, Some(io)) if is_timeout(io) => "the server did not answer in time".to_owned(),
        (None, Some(io)) => format!("the connection broke: {io}"),
        // lettre's word for an end in place of an answer.
        (None, None) if cause == "incomplete response" => "the server closed the connection".to_owned(),
        (None, None) if cause.is_empty() => error.to_string(),
        (None, None) => cause,
    }
}

fn io_cause(error: &Error) -> Option<&io::Error> {
    error.source().and_then(|source| source.downcast_ref())
}

/// A socket that ran out of patience says either, after the platform.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

fn left_of(deadline: Instant) -> Result<Duration, Trouble> {
    let left = deadline.saturating_duration_since(Instant::now());
    // Zero would mean no limit to a socket.
    if left < Duration::from_millis(1) {
        return Err(later("the time for one delivery (`timeout`) is over"));
    }
    Ok(left)
}

/// The letter with its dots doubled and its end, in one piece.
fn stuffed(text: &str) -> String {
    let mut stuffed = text.replace("\r\n.", "\r\n..");
    if !stuffed.ends_with("\r\n") {
        stuffed.push_str("\r\n");
    }
    stuffed.push_str(".\r\n");
    stuffed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled() {
        let check = |text: &str, expected: &str| assert_eq!(stuffed(text), expected);
        check("a: b\r\n\r\nc\r\n", "a: b\r\n\r\nc\r\n.\r\n");
        check("a\r\n.\r\nQUIT\r\n", "a\r\n..\r\nQUIT\r\n.\r\n");
        check("a\r\n..b.", "a\r\n...b.\r\n.\r\n");
    }
}
