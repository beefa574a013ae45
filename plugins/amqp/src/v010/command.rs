//! The controls and commands that a publisher sends, and those that it is sent.

use std::fmt;

use super::segment::{Assembly, Kind, Segment};
use super::values::{Fields, Packed, map, ranges, text, texts};
use crate::bytes::{Reader, Writer};
use crate::error::Error;
use crate::publication::Publication;
use crate::short::Short;

const DELIVERY_PROPERTIES: u16 = 0x0401;
const MESSAGE_PROPERTIES: u16 = 0x0403;
const EXCHANGE_QUERY_RESULT: u16 = 0x0701;
/// The delivery mode that survives the broker.
const PERSISTENT: u8 = 2;
/// The header of a command, and the bit in it that asks for its completion at once.
const SESSION_HEADER: u8 = 1;
const SYNC: u8 = 1;

pub(super) fn start_ok(mechanism: &Short, response: &str) -> Assembly {
    let [product, version, locale] = ["product", "version", "en_US"].map(Short::known);
    let properties = map([(&product, "busway"), (&version, env!("CARGO_PKG_VERSION"))]);
    let fields = Packed::default()
        .with(|to| to.raw(&properties))
        .with(|to| to.short(mechanism))
        .with(|to| to.long(response.as_bytes()))
        .with(|to| to.short(&locale));
    control(1, 2, &fields)
}

/// Heartbeats are declined: nobody is there to send them between calls.
pub(super) fn tune_ok(channel_max: u16, frame_max: u16) -> Assembly {
    let fields = Packed::default()
        .with(|to| to.u16(channel_max))
        .with(|to| to.u16(frame_max))
        .with(|to| to.u16(0));
    control(1, 6, &fields)
}

pub(super) fn open(vhost: &Short) -> Assembly {
    control(1, 7, &Packed::default().with(|to| to.short(vhost)))
}

pub(super) fn close_ok() -> Assembly {
    control(1, 12, &Packed::default())
}

pub(super) fn attach(name: &Short) -> Assembly {
    let fields = Packed::default().with(|to| to.u16(name.length().into()).raw(name.as_str().as_bytes()));
    control(2, 1, &fields)
}

/// Our commands are counted from 0.
pub(super) fn command_point() -> Assembly {
    control(2, 7, &Packed::default().with(|to| to.u32(0)).with(|to| to.u64(0)))
}

/// The broker's first so many commands are done.
pub(super) fn completed(count: u32) -> Assembly {
    let fields = Packed::default();
    let fields = match count.checked_sub(1) {
        Some(last) => fields.with(|to| sequence_set(to, &[(0, last)])),
        None => fields,
    };
    control(2, 10, &fields)
}

pub(super) fn known_completed(ranges: &[(u32, u32)]) -> Assembly {
    control(2, 11, &Packed::default().with(|to| sequence_set(to, ranges)))
}

pub(super) fn query(exchange: &Short) -> Assembly {
    vec![command(7, 3, &Packed::default().with(|to| to.short(exchange)))]
}

pub(super) fn declare(exchange: &Short, durable: bool) -> Assembly {
    let fields = Packed::default()
        .with(|to| to.short(exchange))
        .with(|to| to.short(&Short::known("topic")));
    // Neither an alternate exchange nor passive.
    vec![command(7, 1, &fields.without(2).bit(durable))]
}

/// One publication; `Err` if a header is longer than 0-10 can carry.
pub(super) fn transfer(exchange: &Short, publication: &Publication, persistent: bool) -> Result<Assembly, Error> {
    let subject = Short::known("qpid.subject");
    let own = publication.headers.iter().map(|(name, value)| (name, value.as_str()));
    let headers: Vec<_> = [(&subject, publication.routing_key.as_str())]
        .into_iter()
        .chain(own)
        .collect();
    if let Some((name, _)) = headers.iter().find(|(_, value)| value.len() > usize::from(u16::MAX)) {
        return Err(Error::Event(format!(
            "the header {name} is longer than 65535 bytes, which AMQP 0-10 cannot carry"
        )));
    }
    let delivery = Packed::default().without(4);
    let delivery = match persistent {
        true => delivery.with(|to| to.u8(PERSISTENT)),
        false => delivery.without(1),
    };
    let delivery = delivery.without(4).with(|to| to.short(&publication.routing_key));
    let properties = Packed::default().without(4);
    let properties = match &publication.content_type {
        Some(content_type) => properties.with(|to| to.short(content_type)),
        None => properties.without(1),
    };
    let properties = properties.without(3).with(|to| to.raw(&map(headers)));
    let mut header = delivery.structure(DELIVERY_PROPERTIES);
    header.extend(properties.structure(MESSAGE_PROPERTIES));
    let destination = Packed::default().with(|to| to.short(exchange));
    Ok(vec![
        command(4, 1, &destination),
        (Kind::Header, header),
        (Kind::Body, publication.body.clone()),
    ])
}

fn control(class: u8, code: u8, fields: &Packed) -> Assembly {
    let mut bytes = Writer::default();
    bytes.u8(class).u8(code).raw(&fields.bytes());
    vec![(Kind::Control, bytes.0)]
}

fn command(class: u8, code: u8, fields: &Packed) -> (Kind, Vec<u8>) {
    let mut bytes = Writer::default();
    bytes
        .u8(class)
        .u8(code)
        .u8(SESSION_HEADER)
        .u8(SYNC)
        .raw(&fields.bytes());
    (Kind::Command, bytes.0)
}

fn sequence_set<'a>(to: &'a mut Writer, ranges: &[(u32, u32)]) -> &'a mut Writer {
    let mut set = Writer::default();
    for (lower, upper) in ranges {
        set.u32(*lower).u32(*upper);
    }
    to.u16(u16::try_from(set.0.len()).unwrap_or(u16::MAX)).raw(&set.0)
}

/// What the broker tells us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Start {
        mechanisms: Vec<String>,
    },
    Tune {
        channel_max: u16,
        frame_max: u16,
    },
    OpenOk,
    Close(Close),
    Attached,
    Detached,
    Completed {
        ranges: Vec<(u32, u32)>,
        timely_reply: bool,
    },
    Flush,
    QueryResult {
        not_found: bool,
    },
    Exception(Close),
    /// Nothing that concerns a publisher.
    Unknown,
}

/// Why something was closed or refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) text: String,
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// Reads a segment; and whether the broker wants to hear at once that it is completed.
pub(super) fn read(segment: &Segment) -> Result<(Signal, bool), Error> {
    match segment {
        Segment::Control(bytes) => Ok((read_control(Reader(bytes))?, false)),
        Segment::Command(bytes) => {
            let mut from = Reader(bytes);
            let method = (from.u8()?, from.u8()?);
            let length = from.u8()?;
            let sync = from
                .take(length.into())?
                .first()
                .is_some_and(|bits| bits & SYNC == SYNC);
            Ok((read_command(method, from)?, sync))
        }
    }
}

fn read_control(mut from: Reader<'_>) -> Result<Signal, Error> {
    let method = (from.u8()?, from.u8()?);
    let mut fields = Fields::read(from)?;
    Ok(match method {
        (1, 1) => {
            fields.next(|from| from.long().map(drop))?;
            Signal::Start {
                mechanisms: fields.next(texts)?.unwrap_or_default(),
            }
        }
        (1, 5) => {
            let channel_max = fields.next(Reader::u16)?.unwrap_or(u16::MAX);
            let frame_max = fields.next(Reader::u16)?.unwrap_or(u16::MAX);
            Signal::Tune { channel_max, frame_max }
        }
        (1, 8) => Signal::OpenOk,
        (1, 11) => {
            let code = fields.next(Reader::u16)?.unwrap_or_default();
            Signal::Close(Close {
                code,
                text: fields.next(Reader::short)?.unwrap_or_default(),
            })
        }
        (2, 2) => Signal::Attached,
        (2, 3 | 4) => Signal::Detached,
        (2, 10) => {
            let ranges = fields.next(ranges)?.unwrap_or_default();
            Signal::Completed {
                ranges,
                timely_reply: fields.is_there(),
            }
        }
        (2, 12) => Signal::Flush,
        _ => Signal::Unknown,
    })
}

fn read_command(method: (u8, u8), from: Reader<'_>) -> Result<Signal, Error> {
    match method {
        (3, 2) => {
            let mut fields = Fields::read(from)?;
            fields.next(Reader::u32)?;
            let not_found = fields.next(exchange_not_found)?.unwrap_or_default();
            Ok(Signal::QueryResult { not_found })
        }
        (3, 3) => {
            let mut fields = Fields::read(from)?;
            let code = fields.next(Reader::u16)?.unwrap_or_default();
            fields.next(Reader::u32)?;
            for _class_command_and_field in 0..3 {
                fields.next(Reader::u8)?;
            }
            Ok(Signal::Exception(Close {
                code,
                text: fields.next(text)?.unwrap_or_default(),
            }))
        }
        _ => Ok(Signal::Unknown),
    }
}

fn exchange_not_found(from: &mut Reader<'_>) -> Result<bool, Error> {
    let mut structure = Reader(from.long()?);
    if structure.u16()? != EXCHANGE_QUERY_RESULT {
        return Err(Error::unexpected("a result of another kind than was asked for"));
    }
    let mut fields = Fields::read(structure)?;
    fields.next(Reader::short)?;
    let _durable = fields.is_there();
    Ok(fields.is_there())
}
