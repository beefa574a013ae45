//! The layout `pulp`: the letter that Pulp 2's own email notifier writes, header for header and byte for byte.
//!
//! Pulp ran on Python 2: its `json.dumps(..., indent=2)` leaves a space behind every comma at a line's end, and so does
//! this. A line that SMTP may not carry (over 998 bytes) is the one thing that Pulp sends and this does not: such a body
//! is quoted-printable.
//! Invariant: six headers in Pulp's order and no others, so neither `Date` nor `Message-ID`.

use lettre::message::Mailbox;
use lettre::message::header::{ContentTransferEncoding, HeaderName, HeaderValue, Headers};
use lettre::message::{Body, IntoBody};

use crate::config::Letter;
use crate::letter::{crlf, escaped, one_line};
use crate::occurrence::Occurrence;

/// The longest line of a letter (RFC 5321, 4.5.3.1.6), without its end.
const LONGEST_LINE: usize = 998;

/// The whole letter.
pub fn letter(letter: &Letter, to: &[&Mailbox], event: &Occurrence) -> Result<String, String> {
    let text = crlf(&escaped(&event.report().replace(",\n", ", \n")));
    let fits = text.split("\r\n").all(|line| line.len() <= LONGEST_LINE);
    let (encoding, body) = if fits {
        ("7bit", text)
    } else {
        let body: Body = text.into_body(Some(ContentTransferEncoding::QuotedPrintable));
        let body = String::from_utf8(body.into_vec()).map_err(|error| error.to_string())?;
        ("quoted-printable", body)
    };
    let to: Vec<String> = to.iter().map(ToString::to_string).collect();
    let mut headers = Headers::new();
    for (name, value) in [
        ("Content-Type", "text/plain; charset=\"us-ascii\""),
        ("MIME-Version", "1.0"),
        ("Content-Transfer-Encoding", encoding),
        ("Subject", &one_line(&letter.subject.fill(event))),
        ("From", &letter.from.to_string()),
        ("To", &to.join(", ")),
    ] {
        headers.insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned()));
    }
    Ok(format!("{headers}\r\n{body}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::template::Template;

    fn write(subject: &str, event: &Occurrence) -> String {
        let own = Letter {
            from: "no-reply@your.domain".parse().unwrap(),
            reply_to: None,
            subject: Template::parse(subject).unwrap(),
            body: config::Body::Pulp,
        };
        let to: Mailbox = "someone@redhat.com".parse().unwrap();
        letter(&own, &[&to], event).unwrap()
    }

    #[test]
    fn a_report_is_written_as_pulp_writes_it() {
        let report = r#"{"call_report": {"tags": ["pulp:repository:p\u00fclp", "x"], "progress": {}, "reasons": []},
            "event_type": "repo.sync.start", "payload": {"repo_id": "pülp"}}"#;
        let event = Occurrence::of(&[("type", "repo.sync.start"), ("id", "1")], report);
        let expected = "Content-Type: text/plain; charset=\"us-ascii\"\nMIME-Version: 1.0\n\
            Content-Transfer-Encoding: 7bit\nSubject: pulp notification\nFrom: no-reply@your.domain\n\
            To: someone@redhat.com\n\n\
            {\n  \"call_report\": {\n    \"tags\": [\n      \"pulp:repository:p\\u00fclp\", \n      \"x\"\n    ], \n    \
            \"progress\": {}, \n    \"reasons\": []\n  }, \n  \"event_type\": \"repo.sync.start\", \n  \
            \"payload\": {\n    \"repo_id\": \"p\\u00fclp\"\n  }\n}\n";
        assert_eq!(write("pulp notification", &event), expected.replace('\n', "\r\n"));
    }

    #[test]
    fn other_events_are_written_as_reports() {
        let check = |data: &str, payload: &str| {
            let event = Occurrence::of(&[("type", "t"), ("id", "1")], data);
            let written = write("s", &event);
            let body = written.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "\n");
            let expected =
                format!("{{\n  \"event_type\": \"t\", \n  \"payload\": {payload}, \n  \"call_report\": null\n}}\n");
            assert_eq!(body, expected, "{data}");
        };
        check("", "null");
        check("7", "7");
        check("just text", "\"just text\"");
        check(r#"{"event_type": "x"}"#, "{\n    \"event_type\": \"x\"\n  }");
    }

    #[test]
    fn nothing_of_an_event_breaks_out_of_its_line() {
        let event = Occurrence::of(
            &[("type", "a\r\nBcc: x@y.z"), ("id", "1")],
            &format!("{:?}", "x".repeat(2_000)),
        );
        let written = write("{type} ü", &event);
        let (head, body) = written.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.lines().filter(|line| !line.starts_with(' ')).count(), 6, "{head}");
        assert!(head.is_ascii() && !head.contains("\r\nBcc"), "{head}");
        assert!(head.contains("Content-Transfer-Encoding: quoted-printable"));
        assert!(body.split("\r\n").all(|line| line.len() <= 76), "{body}");
    }
}
