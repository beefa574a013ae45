//! `busway tail`: events as they come. A broken connection is taken up again where it ended (`Last-Event-ID`).

use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;

use super::Remote;
use super::client::{HubClient, query};
use super::exit::{Code, Failure};
use super::out::{Form, Out};
use super::sse::{Sse, SseEvent};
use crate::time::Clock;

/// Waits between tries to take up a broken stream.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway tail                                   one line an event, from now on
  busway tail --type 'deployment_*' --from earliest
  busway tail --format json | jq .data          one CloudEvent a line
  busway tail --bus busway                      the hub's own life: plugins loaded, deliveries dead, …")]
pub(super) struct Tail {
    /// Only events of these types; `*` and `**` stand for parts. May be given several times.
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// Only events of this source.
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    /// Only events of this subject.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Where to begin: `latest`, `earliest`, an offset, or a time (RFC 3339).
    #[arg(long, value_name = "POSITION", default_value = "latest")]
    from: String,
    /// How an event is written.
    #[arg(long, value_name = "FORM", default_value = "brief")]
    format: Shown,
    /// End after this many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    remote: Remote,
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    /// Offset, type, source, subject, and the beginning of the data.
    Brief,
    /// The CloudEvent as JSON, on one line.
    Json,
    /// The data alone, as the producer wrote it.
    Data,
}

impl Tail {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let mut out = self.remote.output.out();
        let mut seen = Seen {
            last: None,
            left: self.count.unwrap_or(u64::MAX),
        };
        loop {
            let ended = self.follow(&client, &mut out, &mut seen).await;
            match ended {
                Ok(()) if seen.left == 0 => return Ok(()),
                Ok(()) => {}
                // The first connection must work; later ones are tried again for as long as it takes.
                Err(failure) if seen.last.is_none() || failure.code != Code::Unavailable => {
                    return Err(failure);
                }
                Err(_) => {}
            }
            Clock::system().sleep(PAUSE).await;
        }
    }

    /// Reads one connection until it ends.
    async fn follow(&self, client: &HubClient, out: &mut Out, seen: &mut Seen) -> Result<(), Failure> {
        let last = seen.last.clone();
        let resume = last.as_deref().map(|id| ("last-event-id", id));
        let headers: Vec<(&str, &str)> = resume.into_iter().chain([("accept", "text/event-stream")]).collect();
        let mut body = client
            .open(Method::GET, &self.path(), &headers, Bytes::new())
            .await?
            .into_body();
        let mut reader = Sse::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|cause| client.broken(&cause))?;
            let Some(bytes) = frame.data_ref() else {
                continue;
            };
            let sent = reader.take(bytes);
            for event in sent.map_err(|fault| Failure::new(Code::Data, fault.to_string()))? {
                self.show(out, &event)?;
                seen.last = event.id.or(seen.last.take());
                seen.left = seen.left.saturating_sub(1);
                if seen.left == 0 {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn path(&self) -> String {
        let mut pairs: Vec<(&str, String)> = self.types.iter().map(|ty| ("type", ty.clone())).collect();
        pairs.extend(self.source.clone().map(|source| ("source", source)));
        pairs.extend(self.subject.clone().map(|subject| ("subject", subject)));
        pairs.push(("from", self.from.clone()));
        format!("{}/stream{}", self.remote.base(), query(&pairs))
    }

    fn show(&self, out: &mut Out, sent: &SseEvent) -> Result<(), Failure> {
        let event: Value = serde_json::from_str(&sent.data).unwrap_or_default();
        let offset = sent.id.as_deref().unwrap_or("-");
        let line = match self.format {
            _ if sent.name == "gap" => {
                format!("{offset:>8}  gap: retention has removed {}", sent.data)
            }
            Shown::Brief if out.form == Form::Table => summary(offset, &event),
            Shown::Brief | Shown::Json => event.to_string(),
            Shown::Data => data(&event),
        };
        out.line(&line).map_err(Failure::from)
    }
}

/// How far a tail has come.
struct Seen {
    last: Option<String>,
    left: u64,
}

fn summary(offset: &str, event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("-");
    let head: String = data(event).chars().take(60).collect();
    format!(
        "{offset:>8}  {:<28}  {:<20}  {:<16}  {head}",
        text("type"),
        text("source"),
        text("subject")
    )
}

fn data(event: &Value) -> String {
    match event.get("data").or_else(|| event.get("data_base64")) {
        Some(Value::String(text)) => text.clone(),
        Some(data) => data.to_string(),
        None => String::new(),
    }
}
