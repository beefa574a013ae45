//! `busway publish`: events from a file or stdin (one object, an array, or JSON lines), or one made of flags.
//!
//! Events go out in batches, each stored whole or not at all; what was stored before a fault stays stored, and the
//! message says up to which line.

use std::io::Read;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::Remote;
use super::exit::{Code, Failure};
use super::out::{Form, Out, cell};
use crate::time::Clock;

/// Events sent in one request.
const BATCH: usize = 100;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway publish events.jsonl                  one CloudEvent a line; an array or one object will do too
  some-program | busway publish - --fill --source /some-program --type com.example.tick
                                               attributes that a line lacks are filled in
  busway publish --type com.example.hello --source /me --subject greeting --data '{\"n\": 1}'")]
pub(super) struct Publish {
    /// The file to read; `-` is stdin.
    #[arg(value_name = "FILE", conflicts_with = "data")]
    file: Option<PathBuf>,
    /// The event's type (with a file: for events that have none, with --fill).
    #[arg(long = "type", value_name = "TYPE")]
    ty: Option<String>,
    /// The event's source (with a file: for events that have none, with --fill).
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    /// The event's subject.
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    subject: Option<String>,
    /// The event's id; made up if it is not given.
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    id: Option<String>,
    /// The event's data, as JSON.
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// Give events of the file an `id`, `time` and `specversion`, and --type and --source, where they have none.
    #[arg(long, requires = "file")]
    fill: bool,
    #[command(flatten)]
    remote: Remote,
}

/// An event of the input and the line on which it begins.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) event: Value,
}

impl Publish {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let mut out = self.remote.output.out();
        let mut lines = match &self.file {
            Some(file) => parse(&read(file)?)?,
            None => vec![Line {
                number: 1,
                event: self.one()?,
            }],
        };
        if self.fill {
            lines.iter_mut().for_each(|line| self.fill(&mut line.event));
        }
        let path = format!("{}/events", self.remote.base());
        let media = [("content-type", "application/cloudevents-batch+json")];
        let mut stored = Vec::new();
        for batch in lines.chunks(BATCH) {
            let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
                continue;
            };
            let events: Value = batch.iter().map(|line| line.event.clone()).collect();
            let sent = client
                .send(Method::POST, &path, &media, Bytes::from(events.to_string()))
                .await;
            let located = |failure| match self.file {
                Some(_) => located(failure, first.number, last.number, stored.len()),
                None => failure,
            };
            let answer = sent.map_err(located)?;
            stored.extend(
                answer
                    .get("events")
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default(),
            );
        }
        show(&mut out, stored)
    }

    fn one(&self) -> Result<Value, Failure> {
        let (Some(ty), Some(source)) = (&self.ty, &self.source) else {
            let message = "give a FILE (`-` for stdin), or --type and --source for one event";
            return Err(Failure::new(Code::Usage, message));
        };
        let mut event = json!({ "type": ty, "source": source });
        if let Some(entries) = event.as_object_mut() {
            let given = [("subject", &self.subject), ("id", &self.id)];
            entries.extend(
                given
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))),
            );
            if let Some(data) = &self.data {
                let data: Value = serde_json::from_str(data)
                    .map_err(|cause| Failure::new(Code::Data, format!("--data is not JSON: {cause}")))?;
                entries.insert("data".to_owned(), data);
                entries.insert("datacontenttype".to_owned(), "application/json".into());
            }
        }
        self.fill(&mut event);
        Ok(event)
    }

    fn fill(&self, event: &mut Value) {
        let Some(entries) = event.as_object_mut() else {
            return;
        };
        let defaults = [
            ("specversion", Some("1.0".to_owned())),
            ("type", self.ty.clone()),
            ("source", self.source.clone()),
            ("id", Some(format!("{:032x}", crate::chance::bits()))),
            ("time", Some(Clock::system().now().to_string())),
        ];
        for (name, value) in defaults {
            if let (Some(value), None) = (value, entries.get(name)) {
                entries.insert(name.to_owned(), value.into());
            }
        }
    }
}

fn located(failure: Failure, first: usize, last: usize, stored: usize) -> Failure {
    let place = if first == last {
        format!("line {first}")
    } else {
        format!("lines {first} to {last}")
    };
    let before = if stored == 0 {
        String::new()
    } else {
        format!(" ({stored} events before it are stored)")
    };
    Failure {
        message: format!("{place}: {}{before}", failure.message),
        ..failure
    }
}

/// The text of a file, or of stdin (`-`).
pub(super) fn read(file: &PathBuf) -> Result<String, Failure> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        return read
            .map(|_| text)
            .map_err(|cause| Failure::new(Code::Io, format!("stdin cannot be read: {cause}")));
    }
    std::fs::read_to_string(file).map_err(|cause| {
        let code = match cause.kind() {
            std::io::ErrorKind::NotFound => Code::NoInput,
            std::io::ErrorKind::PermissionDenied => Code::NoPermission,
            _ => Code::Io,
        };
        Failure::new(code, format!("{} cannot be read: {cause}", file.display()))
    })
}

/// JSON values one after another, and the items of a list at the top: covers an object, an array and JSON lines.
pub(super) fn parse(text: &str) -> Result<Vec<Line>, Failure> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut lines = Vec::new();
    loop {
        let number = line_at(text, stream.byte_offset());
        match stream.next() {
            None => break,
            Some(Ok(Value::Array(events))) => lines.extend(events.into_iter().map(|event| Line { number, event })),
            Some(Ok(event @ Value::Object(_))) => lines.push(Line { number, event }),
            Some(Ok(other)) => {
                let message = format!(
                    "line {number}: an event is a JSON object, not `{}`",
                    cut(&other.to_string())
                );
                return Err(Failure::new(Code::Data, message));
            }
            Some(Err(cause)) => {
                return Err(Failure::new(
                    Code::Data,
                    format!("line {}: not JSON: {cause}", cause.line()),
                ));
            }
        }
    }
    if let Some(line) = lines.iter().find(|line| !line.event.is_object()) {
        let message = format!(
            "line {}: an event is a JSON object, not `{}`",
            line.number,
            cut(&line.event.to_string())
        );
        return Err(Failure::new(Code::Data, message));
    }
    if lines.is_empty() {
        Err(Failure::new(Code::Data, "the input holds no events"))
    } else {
        Ok(lines)
    }
}

/// The line of the first value at or after this byte.
fn line_at(text: &str, offset: usize) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    let start = offset + (rest.len() - rest.trim_start().len());
    1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count()
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

fn show(out: &mut Out, stored: Vec<Value>) -> Result<(), Failure> {
    if out.form == Form::Json {
        out.document(&json!({ "events": stored }))?;
        return Ok(());
    }
    let value = |entry: &Value, name: &str| entry.get(name).map(cell).unwrap_or_default();
    let rows: Vec<Vec<String>> = stored
        .iter()
        .map(|entry| {
            let duplicate = entry.get("duplicate").and_then(Value::as_bool).unwrap_or_default();
            let note = if duplicate { "duplicate" } else { "stored" };
            vec![value(entry, "offset"), note.to_owned(), value(entry, "id")]
        })
        .collect();
    out.table(&["OFFSET", "STATE", "ID"], &rows)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, lines: &[usize]) {
        let parsed = parse(text).unwrap();
        assert_eq!(
            parsed.iter().map(|line| line.number).collect::<Vec<_>>(),
            lines,
            "{text:?}"
        );
    }

    #[test]
    fn objects_arrays_and_lines_are_read() {
        check("{}", &[1]);
        check("{\n}\n", &[1]);
        check("{}\n\n{}\n{}", &[1, 3, 4]);
        check("\n[{}, {}]", &[2, 2]);
        check("{} {}", &[1, 1]);
    }

    #[test]
    fn faults_name_their_line() {
        let cases = [
            ("{}\n{oops", "line 2: not JSON"),
            ("{}\n\n5", "line 3: an event is a JSON object, not `5`"),
            ("[{}, 7]", "line 1: an event is a JSON object, not `7`"),
            ("", "the input holds no events"),
            ("[]", "the input holds no events"),
        ];
        for (text, expected) in cases {
            let failure = parse(text).err().unwrap();
            assert!(failure.message.starts_with(expected), "{text:?}: {}", failure.message);
            assert_eq!(failure.code, Code::Data);
        }
    }
}
