//! Reads server-sent events (WHATWG HTML, 9.2.6) from bytes in any portions.
//!
//! Invariant: what a sender without end or sense sends is held no further than [`LARGEST`].

use std::fmt;

/// The largest event that is read: many times what any hub accepts.
pub const LARGEST: usize = 64 << 20;
/// What a line of data costs besides its text.
const LINE: usize = 32;

/// One event as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// `id`, if this event had one.
    pub id: Option<String>,
    /// `event`; `message` if none was named.
    pub name: String,
    /// `data`, lines joined.
    pub data: String,
}

/// An event of more than [`LARGEST`] bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "it sent an event of more than {} MiB", LARGEST >> 20)
    }
}

/// The reader: give it bytes, take events.
#[derive(Debug, Default)]
pub struct Sse {
    rest: Vec<u8>,
    after_return: bool,
    id: Option<String>,
    name: String,
    data: Vec<String>,
    size: usize,
}

impl Sse {
    /// Takes the next bytes; the events that they complete.
    ///
    /// # Errors
    /// One is too large. The reader is of no further use.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, TooLarge> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let after_return = std::mem::replace(&mut self.after_return, piece.ends_with(b"\r"));
            if piece == b"\n" && after_return {
                continue;
            }
            self.rest.extend_from_slice(piece);
            if self.size.saturating_add(self.rest.len()) > LARGEST {
                return Err(TooLarge);
            }
            if !piece.ends_with(b"\n") && !self.after_return {
                break;
            }
            let line = std::mem::take(&mut self.rest);
            let line = String::from_utf8_lossy(&line);
            match line.trim_end_matches(['\n', '\r']) {
                "" => events.extend(self.end()),
                line => self.field(line),
            }
        }
        Ok(events)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.size = self.size.saturating_add(value.len() + LINE);
                self.data.push(value.to_owned());
            }
            // Comments, `retry`, and what the specification says to ignore.
            _ => {}
        }
    }

    fn end(&mut self) -> Option<SseEvent> {
        let (id, name) = (self.id.take(), std::mem::take(&mut self.name));
        self.size = 0;
        if self.data.is_empty() {
            return None;
        }
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(SseEvent {
            id,
            name,
            data: std::mem::take(&mut self.data).join("\n"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = "retry: 1000\n\n: beat\n\nid: 7\nevent: a.b\ndata: {\"x\":\ndata:  1}\n\nevent: gap\ndata: {}\r\n\r\n\
         data: old\r\r";

    fn expected() -> Vec<SseEvent> {
        vec![
            SseEvent {
                id: Some("7".into()),
                name: "a.b".into(),
                data: "{\"x\":\n 1}".into(),
            },
            SseEvent {
                id: None,
                name: "gap".into(),
                data: "{}".into(),
            },
            SseEvent {
                id: None,
                name: "message".into(),
                data: "old".into(),
            },
        ]
    }

    #[test]
    fn a_sender_without_end_is_not_held() {
        let portion = vec![b'x'; LARGEST / 4];
        let lines = b"data\n".repeat(LARGEST / LINE / 4 + 1);
        for portion in [portion, lines] {
            let mut reader = Sse::default();
            let taken: Vec<_> = (0..5).map(|_| reader.take(&portion)).collect();
            assert_eq!(taken.first(), Some(&Ok(Vec::new())));
            assert_eq!(taken.last(), Some(&Err(TooLarge)));
        }
        // What is complete counts no more.
        let mut reader = Sse::default();
        let event = [b"data: ", vec![b'x'; LARGEST / 3].as_slice(), b"\n\n"].concat();
        for _ in 0..5 {
            assert_eq!(reader.take(&event).map(|events| events.len()), Ok(1));
        }
    }

    proptest! {
        /// However the bytes are cut, the same events come out.
        #[test]
        fn portions_do_not_matter(cuts in prop::collection::vec(0..STREAM.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut reader = Sse::default();
            let mut events = Vec::new();
            for pair in cuts.windows(2) {
                events.extend(reader.take(&STREAM.as_bytes()[pair[0]..pair[1]]).unwrap());
            }
            prop_assert_eq!(events, expected());
        }
    }
}
