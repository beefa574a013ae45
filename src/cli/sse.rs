//! Reads server-sent events (WHATWG HTML, 9.2.6) from bytes in any portions.

/// One event as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SseEvent {
    /// `id`, if this event had one.
    pub(super) id: Option<String>,
    /// `event`; `message` if none was named.
    pub(super) name: String,
    /// `data`, lines joined.
    pub(super) data: String,
}

/// The reader: give it bytes, take events.
#[derive(Debug, Default)]
pub(super) struct Sse {
    rest: Vec<u8>,
    id: Option<String>,
    name: String,
    data: Vec<String>,
}

impl Sse {
    /// Takes the next bytes; the events that they complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\n').trim_end_matches('\r');
            if line.is_empty() {
                events.extend(self.end());
            } else {
                self.field(line);
            }
        }
        events
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.name),
            "data" => self.data.push(value.to_owned()),
            // Comments, `retry`, and what the specification says to ignore.
            _ => {}
        }
    }

    fn end(&mut self) -> Option<SseEvent> {
        let (id, name) = (self.id.take(), std::mem::take(&mut self.name));
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

    const STREAM: &str =
        "retry: 1000\n\n: beat\n\nid: 7\nevent: a.b\ndata: {\"x\":\ndata:  1}\n\nevent: gap\ndata: {}\r\n\r\n";

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
        ]
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
                events.extend(reader.take(&STREAM.as_bytes()[pair[0]..pair[1]]));
            }
            prop_assert_eq!(events, expected());
        }
    }
}
