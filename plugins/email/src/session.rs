//! One SMTP connection: opened, greeted, encrypted, logged in, and then one letter after the other.
//!
//! Command by command, with lettre's commands and answers: its own `send` gives up a letter for the first receiver that is
//! refused, and writes the end of the letter in a piece of its own, which costs a delayed acknowledgement each time.
//! Invariant: no password goes over a connection that is not encrypted, but to this machine.

use std::io;
use std::time::Instant;

use lettre::Address;
use lettre::transport::smtp::commands::{Auth, Data, Ehlo, Mail, Rcpt, Rset, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter, ServerInfo};
use lettre::transport::smtp::response::Response;

use crate::config::{Login, Security, Server};
use crate::notes::Answer;
use crate::wire::{Wire, is_timeout};

/// A login that takes more steps is none of ours.
const MOST_CHALLENGES: usize = 10;

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

/// An open connection, and what the server can do.
pub struct Session {
    wire: Wire,
    server: ServerInfo,
}

impl Session {
    /// Connects, greets, encrypts and logs in, as the config says.
    pub fn open(server: &Server, deadline: Instant) -> Result<Self, Trouble> {
        let place = format!("{}:{}", server.host, server.port);
        let wire = Wire::connect(&server.host, server.port, deadline).map_err(|error| unreachable(&place, &error))?;
        let encrypt = |wire: Wire| {
            let encrypted = wire.encrypt(&server.tls, deadline);
            encrypted.map_err(|error| later(&format!("TLS with {place}: {}", broken(&error))))
        };
        let mut wire = if server.security == Security::Tls {
            encrypt(wire)?
        } else {
            wire
        };
        let greeting = wire.answer(deadline);
        agreed(
            "greeting",
            greeting.map_err(|error| later(&format!("{place}: {}", broken(&error))))?,
        )?;
        let mut session = Self::greet(wire, server, deadline)?;
        let offered = session.server.supports_feature(Extension::StartTls);
        if server.security == Security::StartTls || (server.security == Security::Opportunistic && offered) {
            if !offered {
                return Err(later(&format!(
                    "{place} offers no STARTTLS (`security` says that it must)"
                )));
            }
            session.must("starttls", &Starttls.to_string(), deadline)?;
            session = Self::greet(encrypt(session.wire)?, server, deadline)?;
        }
        if let Some(login) = &server.login {
            if !session.wire.is_encrypted() && !server.trusts_plain() {
                return Err(later(
                    "the server offers no STARTTLS, and the password is not sent in the clear",
                ));
            }
            session.log_in(login, deadline)?;
        }
        Ok(session)
    }

    fn greet(wire: Wire, server: &Server, deadline: Instant) -> Result<Self, Trouble> {
        let mut session = Self {
            wire,
            server: ServerInfo::default(),
        };
        let hello = Ehlo::new(ClientId::Domain(server.hello.clone())).to_string();
        let answer = session.must("hello", &hello, deadline)?;
        session.server = ServerInfo::from_response(&answer).map_err(|error| later(&format!("hello: {error}")))?;
        Ok(session)
    }

    fn log_in(&mut self, login: &Login, deadline: Instant) -> Result<(), Trouble> {
        let Some(mechanism) = self.server.get_auth_mechanism(&login.mechanisms) else {
            return Err(later("login: the server offers none of the ways in `auth`"));
        };
        let first = Auth::new(mechanism, login.credentials.clone(), None);
        let first = first.map_err(|error| later(&format!("login: {error}")))?;
        let mut answer = self.must("login", &first.to_string(), deadline)?;
        for _ in 0..MOST_CHALLENGES {
            if !answer.has_code(334) {
                return Ok(());
            }
            // XOAUTH2 tells its refusal as a challenge; an empty answer gets it in words.
            let next = Auth::new_from_response(mechanism, login.credentials.clone(), &answer);
            let next = next.map_or_else(|_| "\r\n".to_owned(), |next| next.to_string());
            answer = self.must("login", &next, deadline)?;
        }
        Err(later("login: the server asks without end"))
    }

    /// A command that the server has to agree to before there can be letters.
    fn must(&mut self, step: &str, command: &str, deadline: Instant) -> Result<Response, Trouble> {
        let answer = self.wire.ask(command, deadline);
        agreed(
            step,
            answer.map_err(|error| later(&format!("{step}: {}", broken(&error))))?,
        )
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
            if !self.server.supports_feature(Extension::SmtpUtfEight) {
                return Err("the server takes only ASCII addresses (it has no SMTPUTF8)".to_owned());
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !post.text.is_ascii() && self.server.supports_feature(Extension::EightBitMime) {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Ok(parameters)
    }

    /// One command: nothing if the server agreed, its refusal if it said one, trouble if the connection is over.
    fn ask(&mut self, command: impl std::fmt::Display, deadline: Instant) -> Result<Option<Answer>, Trouble> {
        let answer = self.wire.ask(&command.to_string(), deadline);
        let answer = answer.map_err(|error| later(&broken(&error)))?;
        match u16::from(answer.code()) {
            // The server is closing: whatever it was asked, it did not do.
            421 => Err(later(&words(&answer))),
            // It wants a login or encryption first: the operator mends that, and the letter is none the worse.
            530 => Err(later(&words(&answer))),
            500.. => Ok(Some(Answer::Never(words(&answer)))),
            400.. => Ok(Some(Answer::Later(words(&answer)))),
            _ => Ok(None),
        }
    }
}

/// Before any letter, whatever the server says, it says of the connection: the letters wait for the operator.
fn agreed(step: &str, answer: Response) -> Result<Response, Trouble> {
    match answer.is_positive() {
        true => Ok(answer),
        false => Err(later(&format!("{step}: {}", words(&answer)))),
    }
}

fn unreachable(place: &str, error: &io::Error) -> Trouble {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Trouble {
            retry: false,
            ..later(&format!("the hub does not allow {place}: grant it in grants.tcp"))
        };
    }
    later(&format!("{place}: {}", broken(error)))
}

fn later(words: &str) -> Trouble {
    Trouble {
        words: words.to_owned(),
        retry: true,
        sent: false,
    }
}

/// The code and the text of a server's answer, on one line.
fn words(answer: &Response) -> String {
    let lines: Vec<&str> = answer.message().map(str::trim).collect();
    format!("{} {}", answer.code(), lines.join(" ")).trim_end().to_owned()
}

fn broken(error: &io::Error) -> String {
    match error.kind() {
        _ if is_timeout(error) => "the server did not answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        _ => error.to_string(),
    }
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
