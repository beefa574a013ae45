//! From an event to the bytes of a letter (RFC 5322, MIME).
//!
//! Pure: the time is an argument. What an event holds is text of strangers, so nothing of it can make a header:
//! every value is put on one line, cut, and kept from looking like an encoded word, before lettre encodes it.
//! Invariant: the letter is 7-bit, with CRLF at every line's end and no line longer than RFC 5321 allows; only an address
//! that is itself not ASCII makes it otherwise.
//! Invariant: the Message-ID is the same for every try of one delivery to the same receivers, and of no other.

use std::time::SystemTime;

use lettre::message::header::{ContentType, Date, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};

use crate::config::{Body, Letter};
use crate::occurrence::Occurrence;
use crate::pulp;

/// More of a value in a header helps nobody, and a line may hold 998 bytes.
const MOST_IN_HEADER: usize = 250;

/// Which delivery a letter is of.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub subscription: &'a str,
    pub id: &'a str,
}

impl Letter {
    /// The letter to these receivers, whole, as it goes over the wire but for its dots.
    pub fn write(
        &self,
        to: &[&Mailbox],
        event: &Occurrence,
        origin: Origin,
        now: SystemTime,
    ) -> Result<String, String> {
        if self.body == Body::Pulp {
            return pulp::letter(self, to, event);
        }
        let mut builder = Message::builder()
            .header(Date::new(now))
            .message_id(Some(self.message_id(to, event, origin)))
            .from(self.from.clone());
        for receiver in to {
            builder = builder.to((*receiver).clone());
        }
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        builder = builder
            .subject(one_line(&self.subject.fill(event)))
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("X-Busway-Subscription", origin.subscription))
            .raw_header(raw("X-Busway-Delivery", origin.id));
        for (name, value) in event.attributes() {
            if let Ok(name) = HeaderName::new_from_ascii(format!("ce-{name}")) {
                builder = builder.raw_header(HeaderValue::new(name, one_line(value)));
            }
        }
        let (kind, body) = self.body.write(event, origin);
        let content_type = ContentType::parse(kind).map_err(|error| error.to_string())?;
        let message = builder.header(MIME_VERSION_1_0).header(content_type).body(crlf(&body));
        let message = message.map_err(|error| error.to_string())?;
        String::from_utf8(message.formatted()).map_err(|error| error.to_string())
    }

    /// The delivery's id is unique to one hub; with the event's own it is unique anywhere.
    fn message_id(&self, to: &[&Mailbox], event: &Occurrence, origin: Origin) -> String {
        let mut parts = vec![origin.id];
        parts.extend(["source", "id", "time"].map(|name| event.attribute(name).unwrap_or_default()));
        parts.extend(to.iter().map(|receiver| receiver.email.as_ref() as &str));
        let clean = |c: char| {
            if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
                c
            } else {
                '-'
            }
        };
        let id: String = origin.id.chars().map(clean).take(MOST_IN_HEADER).collect();
        let domain = Some(self.from.email.domain()).filter(|domain| domain.is_ascii());
        format!(
            "<{id}.{:016x}@{}>",
            fingerprint(&parts),
            domain.unwrap_or("busway.invalid")
        )
    }
}

impl Body {
    /// Its media type, and the text.
    fn write(&self, event: &Occurrence, origin: Origin) -> (&'static str, String) {
        const ASCII: &str = "text/plain; charset=\"us-ascii\"";
        const UTF8: &str = "text/plain; charset=\"utf-8\"";
        match self {
            Self::Text => (UTF8, outlined(event, origin)),
            Self::Json => (ASCII, escaped(&event.pretty_data())),
            Self::Pulp => (ASCII, escaped(&event.report())),
            Self::Event => (ASCII, escaped(&event.pretty_event())),
            Self::Own(template) => (UTF8, template.fill(event)),
        }
    }
}

/// What happened, the data, and where it came from.
fn outlined(event: &Occurrence, origin: Origin) -> String {
    let of = |name| event.attribute(name).unwrap_or_default();
    let mut text = format!("{}\n", format!("{} {}", of("type"), of("subject")).trim());
    let data = event.outline();
    if !data.is_empty() {
        text.push('\n');
        text.push_str(&data);
    }
    text.push('\n');
    let shown = |(name, _): &&(String, String)| {
        !matches!(name.as_str(), "specversion" | "type" | "subject" | "datacontenttype")
    };
    let rest = event.attributes().iter().filter(shown);
    let rows: Vec<(&str, &str)> = rest
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain([("subscription", origin.subscription)])
        .collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in rows {
        text.push_str(&format!("{name:<width$}  {value}\n"));
    }
    text
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), one_line(value))
}

/// Text that may stand in a header: no line end, no other control character, not too long, and nothing that a reader would
/// decode (`=?utf-8?...`).
pub fn one_line(text: &str) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut words = flat
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace("=?", "= ?");
    if let Some((at, _)) = words.char_indices().nth(MOST_IN_HEADER) {
        words.truncate(at);
        words.push_str("...");
    }
    words
}

/// JSON in ASCII alone, as Python writes it: outside strings JSON is ASCII already, so every other character stands in one.
pub fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\x7f' {
            text.push(c);
        } else {
            let mut pair = [0; 2];
            for unit in c.encode_utf16(&mut pair) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

/// Lines that end in CRLF, the last one too, and no control characters but tabs.
pub fn crlf(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + text.len() / 16 + 2);
    for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
        lines.extend(line.chars().filter(|&c| c == '\t' || !c.is_control()));
        lines.push_str("\r\n");
    }
    if text.ends_with(['\n', '\r']) {
        lines.truncate(lines.len() - 2);
    }
    lines
}

/// FNV-1a over the parts, each ended by a byte that no text holds.
fn fingerprint(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::template::Template;

    const ORIGIN: Origin = Origin {
        subscription: "ops",
        id: "msg_ops_17",
    };

    fn letter(subject: &str, body: Body) -> Letter {
        Letter {
            from: "Hub <hub@example.com>".parse().unwrap(),
            reply_to: None,
            subject: Template::parse(subject).unwrap(),
            body,
        }
    }

    fn write(letter: &Letter, to: &[&str], event: &Occurrence) -> String {
        let to: Vec<Mailbox> = to.iter().map(|text| text.parse().unwrap()).collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_887_151);
        let written = letter
            .write(&to.iter().collect::<Vec<_>>(), event, ORIGIN, now)
            .unwrap();
        for line in written.split("\r\n") {
            assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?}");
        }
        written
    }

    /// The values of a header of this name, unfolded.
    fn header(written: &str, name: &str) -> Vec<String> {
        let (head, _) = written.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ");
        let values = head.lines().filter_map(|line| line.strip_prefix(&format!("{name}: ")));
        values.map(str::to_owned).collect()
    }

    #[test]
    fn pulps_form_is_ascii_json_indented_by_two() {
        let event = Occurrence::of(
            &[("id", "1"), ("source", "/pulp"), ("type", "repo.sync.start")],
            r#"{"event_type": "repo.sync.start", "payload": {"repo_id": "pülp \ud83d\ude00"}, "call_report": null}"#,
        );
        let written = write(&letter("pulp notification", Body::Json), &["a@example.org"], &event);
        let (_, body) = written.split_once("\r\n\r\n").unwrap();
        let expected = "{\n  \"event_type\": \"repo.sync.start\",\n  \"payload\": {\n    \"repo_id\": \"p\\u00fclp \\ud83d\\ude00\"\n  },\n  \"call_report\": null\n}\n";
        assert_eq!(body, expected.replace('\n', "\r\n"));
        let check = |name: &str, value: &str| assert_eq!(header(&written, name), [value], "{written}");
        check("Subject", "pulp notification");
        check("From", "Hub <hub@example.com>");
        check("To", "a@example.org");
        check("Date", "Tue, 15 Nov 1994 08:12:31 +0000");
        check("MIME-Version", "1.0");
        check("Content-Type", "text/plain; charset=\"us-ascii\"");
        check("Content-Transfer-Encoding", "7bit");
        check("Auto-Submitted", "auto-generated");
        check("X-Busway-Subscription", "ops");
        check("X-Busway-Delivery", "msg_ops_17");
        check("ce-type", "repo.sync.start");
        check("ce-source", "/pulp");
    }

    #[test]
    fn a_person_reads_what_happened_first() {
        let event = Occurrence::of(
            &[
                ("specversion", "1.0"),
                ("id", "e-1"),
                ("source", "/marathon"),
                ("type", "deployment_failed"),
                ("subject", "/my-app"),
                ("time", "2016-04-26T09:04:21.276Z"),
                ("datacontenttype", "application/json"),
            ],
            r#"{"id": "7a87", "reason": "no room"}"#,
        );
        let written = write(&letter("{type} {subject}", Body::Text), &["a@example.org"], &event);
        let (_, body) = written.split_once("\r\n\r\n").unwrap();
        let expected = "deployment_failed /my-app

  id:     7a87
  reason: no room

id            e-1
source        /marathon
time          2016-04-26T09:04:21.276Z
subscription  ops
";
        assert_eq!(body, expected.replace('\n', "\r\n"));
        assert_eq!(header(&written, "Subject"), ["deployment_failed /my-app"]);
    }

    #[test]
    fn no_event_makes_a_header() {
        let hostile = "x\r\nBcc: victim@example.org\r\n\r\nbody\u{2028}\0 =?utf-8?q?=0D=0ABcc:_y?=";
        let event = Occurrence::new(
            vec![
                ("id".to_owned(), hostile.to_owned()),
                ("source".to_owned(), "y".repeat(5000)),
                ("type".to_owned(), hostile.to_owned()),
                ("subject".to_owned(), format!("{}\nTo: z", "é".repeat(600))),
            ],
            format!("{hostile}\r\n.\r\nMAIL FROM:<x@example.org>\r\n").into_bytes(),
        );
        for body in [
            Body::Text,
            Body::Json,
            Body::Event,
            Body::Own(Template::parse("{type}{data}").unwrap()),
        ] {
            let written = write(&letter("{type} {subject}", body), &["a@example.org"], &event);
            let (head, _) = written.split_once("\r\n\r\n").unwrap();
            for line in head.split("\r\n").filter(|line| !line.starts_with(' ')) {
                let name = line.split(':').next().unwrap();
                let known = [
                    "Date",
                    "Message-ID",
                    "From",
                    "To",
                    "Subject",
                    "MIME-Version",
                    "Auto-Submitted",
                ];
                let ours = name.starts_with("Content-") || name.starts_with("X-Busway-") || name.starts_with("ce-");
                assert!(known.contains(&name) || ours, "{line:?} in {head}");
            }
            assert!(!head.contains("=?utf-8?q?=0D"), "{head}");
            assert_eq!(header(&written, "To"), ["a@example.org"]);
            assert!(written.is_ascii() && !written.contains('\0'));
        }
    }

    #[test]
    fn what_is_not_ascii_is_encoded() {
        let event = Occurrence::of(
            &[("type", "Störung"), ("id", "1"), ("source", "/s")],
            r#"{"a": "größer"}"#,
        );
        let written = write(&letter("{type}", Body::Text), &["Jürgen <j@example.org>"], &event);
        assert!(written.is_ascii(), "{written}");
        assert_eq!(header(&written, "Subject"), ["=?utf-8?b?U3TDtnJ1bmc=?="]);
        assert!(written.contains("gr=C3=B6=C3=9Fer"), "{written}");
    }

    #[test]
    fn long_lines_are_broken() {
        let event = Occurrence::of(
            &[("type", "t"), ("id", "1"), ("source", "/s")],
            &format!("{:?}", "x".repeat(4000)),
        );
        let written = write(&letter("s", Body::Json), &["a@example.org"], &event);
        assert_eq!(header(&written, "Content-Transfer-Encoding"), ["quoted-printable"]);
    }

    #[test]
    fn the_message_id_tells_deliveries_apart_and_tries_not() {
        let id = |address: &str, event_id: &str| {
            let event = Occurrence::of(&[("id", event_id), ("source", "/s"), ("type", "t")], "{}");
            header(&write(&letter("s", Body::Text), &[address], &event), "Message-ID").remove(0)
        };
        let first = id("a@example.org", "1");
        assert!(
            first.starts_with("<msg_ops_17.") && first.ends_with("@example.com>"),
            "{first}"
        );
        assert_eq!(first, id("a@example.org", "1"));
        assert_ne!(first, id("b@example.org", "1"));
        assert_ne!(first, id("a@example.org", "2"));
    }
}
