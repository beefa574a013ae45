//! The methods that a publisher sends, and those that it is sent.

use std::fmt;

use super::{CHANNEL, frame};
use crate::bytes::{Reader, Writer};
use crate::error::Error;
use crate::short::Short;

/// What we ask of the broker.
#[derive(Debug)]
pub(super) enum Call<'a> {
    StartOk {
        user: &'a str,
        password: &'a str,
    },
    TuneOk {
        channel_max: u16,
        frame_max: u32,
    },
    Open {
        vhost: &'a Short,
    },
    ConnectionCloseOk,
    ChannelOpen,
    ChannelCloseOk,
    Declare {
        exchange: &'a Short,
        passive: bool,
    },
    ConfirmSelect,
    Publish {
        exchange: &'a Short,
        routing_key: &'a Short,
        mandatory: bool,
    },
}

impl Call<'_> {
    /// Its frame.
    pub(super) fn frame(&self) -> Vec<u8> {
        let mut payload = Writer::default();
        let channel = match self {
            Self::StartOk { .. } | Self::TuneOk { .. } | Self::Open { .. } | Self::ConnectionCloseOk => 0,
            _ => CHANNEL,
        };
        self.write(&mut payload);
        frame::method(channel, &payload.0)
    }

    fn write(&self, to: &mut Writer) {
        match self {
            Self::StartOk { user, password } => {
                let response = format!("\0{user}\0{password}");
                to.u16(10).u16(11).long(&client_properties()).raw(b"\x05PLAIN");
                to.long(response.as_bytes()).raw(b"\x05en_US")
            }
            Self::TuneOk { channel_max, frame_max } => to.u16(10).u16(31).u16(*channel_max).u32(*frame_max).u16(0),
            Self::Open { vhost } => to.u16(10).u16(40).short(vhost).raw(&[0, 0]),
            Self::ConnectionCloseOk => to.u16(10).u16(51),
            Self::ChannelOpen => to.u16(20).u16(10).u8(0),
            Self::ChannelCloseOk => to.u16(20).u16(41),
            Self::Declare { exchange, passive } => {
                // Bits: passive, durable, auto-delete, internal, no-wait; then arguments, none.
                let bits = u8::from(*passive) | 0b10;
                to.u16(40)
                    .u16(10)
                    .u16(0)
                    .short(exchange)
                    .raw(b"\x05topic")
                    .u8(bits)
                    .u32(0)
            }
            Self::ConfirmSelect => to.u16(85).u16(10).u8(0),
            Self::Publish {
                exchange,
                routing_key,
                mandatory,
            } => {
                let bits = u8::from(*mandatory);
                to.u16(60).u16(40).u16(0).short(exchange).short(routing_key).u8(bits)
            }
        };
    }
}

/// Who we are, and that we understand confirms, a refused login, and a blocked connection.
fn client_properties() -> Vec<u8> {
    let mut able = Writer::default();
    for name in [
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "publisher_confirms",
    ] {
        able.u8(length(name)).raw(name.as_bytes()).raw(b"t\x01");
    }
    let mut table = Writer::default();
    for (name, value) in [("product", "busway"), ("version", env!("CARGO_PKG_VERSION"))] {
        table
            .u8(length(name))
            .raw(name.as_bytes())
            .u8(b'S')
            .long(value.as_bytes());
    }
    table.raw(b"\x0ccapabilitiesF").long(&able.0);
    table.0
}

fn length(name: &str) -> u8 {
    u8::try_from(name.len()).unwrap_or(u8::MAX)
}

/// What the broker tells us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Start {
        mechanisms: String,
    },
    Tune {
        channel_max: u16,
        frame_max: u32,
    },
    OpenOk,
    ConnectionClose(Close),
    Blocked {
        reason: String,
    },
    Unblocked,
    ChannelOpenOk,
    ChannelClose(Close),
    DeclareOk,
    SelectOk,
    Ack {
        tag: u64,
    },
    Nack {
        tag: u64,
    },
    Return(Close),
    /// Nothing that concerns a publisher.
    Unknown,
}

/// Why something was closed or returned.
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

impl Answer {
    /// Reads a method.
    pub(super) fn read(payload: &[u8]) -> Result<Self, Error> {
        let mut from = Reader(payload);
        let method = (from.u16()?, from.u16()?);
        let close = |from: &mut Reader<'_>| {
            Ok(Close {
                code: from.u16()?,
                text: from.short()?,
            })
        };
        Ok(match method {
            (10, 10) => {
                let (_version, _properties) = (from.u16()?, from.long()?);
                Self::Start {
                    mechanisms: String::from_utf8_lossy(from.long()?).into_owned(),
                }
            }
            (10, 30) => Self::Tune {
                channel_max: from.u16()?,
                frame_max: from.u32()?,
            },
            (10, 41) => Self::OpenOk,
            (10, 50) => Self::ConnectionClose(close(&mut from)?),
            (10, 60) => Self::Blocked { reason: from.short()? },
            (10, 61) => Self::Unblocked,
            (20, 11) => Self::ChannelOpenOk,
            (20, 40) => Self::ChannelClose(close(&mut from)?),
            (40, 11) => Self::DeclareOk,
            (85, 11) => Self::SelectOk,
            (60, 80) => Self::Ack { tag: from.u64()? },
            (60, 120) => Self::Nack { tag: from.u64()? },
            (60, 50) => Self::Return(close(&mut from)?),
            _ => Self::Unknown,
        })
    }
}
