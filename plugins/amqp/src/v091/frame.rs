//! Frames: a kind, a channel, a length, the payload, and an octet that ends it.

use crate::bytes::{Reader, Writer, size};
use crate::error::Error;
use crate::inbox::Inbox;

const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const CONTENT_BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xCE;
/// Kind, channel, length; and the octet at the end.
const AROUND: usize = 8;
const HEAD: usize = 7;

/// A frame that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A method, without its frame.
    Method(Vec<u8>),
    /// The rest that a publisher may be sent.
    Other,
}

impl Frame {
    /// Takes the first frame out of the inbox, if it is there whole.
    pub(super) fn take(inbox: &mut Inbox, frame_max: usize) -> Result<Option<Self>, Error> {
        let bytes = inbox.bytes();
        if bytes.len() < AROUND {
            return Ok(None);
        }
        let mut head = Reader(bytes);
        let kind = head.u8()?;
        // A broker that speaks no 0-9-1 answers with the header of what it speaks.
        if bytes.starts_with(b"AMQP") {
            let version: Vec<String> = bytes.iter().skip(4).take(4).map(u8::to_string).collect();
            let reason = format!(
                "the broker does not speak AMQP 0-9-1; it offers {} (see protocol)",
                version.join("-")
            );
            return Err(Error::Broker(reason));
        }
        let _channel = head.u16()?;
        let length = usize::try_from(head.u32()?).unwrap_or(usize::MAX);
        if length > frame_max {
            return Err(Error::unexpected(format!("a frame of {length} bytes")));
        }
        if bytes.len() < length + AROUND {
            return Ok(None);
        }
        let mut frame = inbox.take(length + AROUND);
        if frame.pop() != Some(END) {
            return Err(Error::unexpected("a frame without its end"));
        }
        match kind {
            METHOD => Ok(Some(Self::Method(frame.split_off(HEAD)))),
            CONTENT_HEADER | CONTENT_BODY | HEARTBEAT => Ok(Some(Self::Other)),
            other => Err(Error::unexpected(format!("a frame of kind {other}"))),
        }
    }
}

/// A frame with a method.
pub(super) fn method(channel: u16, payload: &[u8]) -> Vec<u8> {
    frame(METHOD, channel, payload)
}

/// The frames of a content: its header, and its body in pieces that fit.
pub(super) fn content(channel: u16, header: &[u8], body: &[u8], frame_max: usize) -> Vec<u8> {
    let mut frames = frame(CONTENT_HEADER, channel, header);
    for piece in body.chunks(frame_max.saturating_sub(AROUND).max(1)) {
        frames.extend(frame(CONTENT_BODY, channel, piece));
    }
    frames
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Writer::default();
    frame
        .u8(kind)
        .u16(channel)
        .u32(size(payload.len()))
        .raw(payload)
        .u8(END);
    frame.0
}
