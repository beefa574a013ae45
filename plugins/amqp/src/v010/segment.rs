//! Frames of 0-10, put together to segments and cut from them.

use crate::bytes::{Reader, Writer};
use crate::error::Error;
use crate::inbox::Inbox;

/// The head of a frame.
const HEAD: usize = 12;
// Flags of a frame: its place in the assembly, and in its segment.
const FIRST_SEGMENT: u8 = 8;
const LAST_SEGMENT: u8 = 4;
const FIRST_FRAME: u8 = 2;
const LAST_FRAME: u8 = 1;

/// What is sent together: segments in order.
pub(super) type Assembly = Vec<(Kind, Vec<u8>)>;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Control = 0,
    Command = 1,
    Header = 2,
    Body = 3,
}

/// A control or a command that has arrived whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Control(Vec<u8>),
    Command(Vec<u8>),
}

impl Segment {
    /// Takes the first segment out of the inbox, if it is there whole. Headers and bodies are not for a publisher.
    pub(super) fn take(inbox: &mut Inbox) -> Result<Option<Self>, Error> {
        let (mut at, mut payload, mut of_command) = (0, Vec::new(), false);
        loop {
            let Some((head, rest)) = inbox.bytes().get(at..).unwrap_or_default().split_at_checked(HEAD) else {
                return Ok(None);
            };
            let mut head = Reader(head);
            let (flags, kind) = (head.u8()?, head.u8()?);
            let size = usize::from(head.u16()?);
            let length = size
                .checked_sub(HEAD)
                .ok_or_else(|| Error::unexpected("a frame shorter than its head"))?;
            let Some((piece, _)) = rest.split_at_checked(length) else {
                return Ok(None);
            };
            if kind <= Kind::Command as u8 {
                payload.extend_from_slice(piece);
                of_command = kind == Kind::Command as u8;
            }
            at += size;
            if flags & LAST_FRAME == 0 {
                continue;
            }
            inbox.take(at);
            at = 0;
            if kind <= Kind::Command as u8 {
                return Ok(Some(match of_command {
                    true => Self::Command(payload),
                    false => Self::Control(payload),
                }));
            }
        }
    }
}

/// The session's channel; the connection's own controls go over it as well.
const CHANNEL: u16 = 0;

/// The frames of an assembly, each segment in as many as it needs.
pub(super) fn frames(segments: &Assembly, frame_max: u16) -> Vec<u8> {
    let mut frames = Writer::default();
    let most = usize::from(frame_max).saturating_sub(HEAD).max(1);
    let last_segment = segments.len().saturating_sub(1);
    for (nth, (kind, payload)) in segments.iter().enumerate() {
        let in_assembly = if nth == 0 { FIRST_SEGMENT } else { 0 } | if nth == last_segment { LAST_SEGMENT } else { 0 };
        // An empty segment is one empty frame.
        let pieces: Vec<&[u8]> = if payload.is_empty() {
            vec![&[]]
        } else {
            payload.chunks(most).collect()
        };
        let last_piece = pieces.len().saturating_sub(1);
        for (part, piece) in pieces.into_iter().enumerate() {
            let in_segment = if part == 0 { FIRST_FRAME } else { 0 } | if part == last_piece { LAST_FRAME } else { 0 };
            let track = if *kind == Kind::Control { 0 } else { 1 };
            let size = u16::try_from(piece.len() + HEAD).unwrap_or(u16::MAX);
            frames.u8(in_assembly | in_segment).u8(*kind as u8).u16(size);
            frames.u8(0).u8(track).u16(CHANNEL).u32(0).raw(piece);
        }
    }
    frames.0
}
