//! `busway source marathon`: a Marathon's `/v2/events`, followed over restarts, leader changes and broken networks.
//!
//! Marathon keeps nothing: what it sends while nobody listens is lost, whatever the listener does. So reading never
//! waits for the hub while there is room in the queue, and a broken connection is taken up at once, at the next of the
//! nodes that were named. An event's id follows from its bytes (its timestamp has milliseconds): two of these commands
//! side by side, or one whose publishing is repeated, make one event of it.
//! Invariant: the data that is published is the line that Marathon sent, byte for byte.

mod connect;

use std::time::Duration;

use clap::Args;
use ring::digest;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use url::Url;

use connect::{Connector, End, address_of, events_of, inside, shown};

use super::relay::{Backoff, Relay};
use super::tell;
use crate::access;
use crate::cli::Remote;
use crate::cli::exit::{Code, Failure};
use crate::cli::sse::Sse;
use crate::event::Event;
use crate::event::native::{self, Fresh, System};
use crate::net::Feed;
use crate::time::Clock;
use crate::units::show_duration;

/// Events that may wait for the hub; then Marathon has to wait, which it does not do for long.
const QUEUE: usize = 10_000;
/// Marathon says that it lives every 10 seconds: a connection without a byte for this long is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// What is in the queue at the end has this long to reach the hub.
const FAREWELL: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway source marathon http://marathon:8080                                publish what it sees on the hub here
  busway source marathon https://m1:8443 https://m2:8443 --ca dcos-ca.pem --credentials file:/run/secrets/marathon
  busway source marathon http://marathon:8080 --type status_update_event --bus cluster --url unix:/run/busway.sock

It runs until it is told to stop (SIGINT, SIGTERM), and says on stderr what it follows and what it waits for.")]
pub(super) struct Marathon {
    /// Where it is; several nodes of one cluster are tried in turn.
    #[arg(required = true, value_name = "MARATHON")]
    nodes: Vec<Url>,
    /// Basic credentials for it: `USER:PASSWORD`, `file:PATH` or `env:NAME`.
    #[arg(long, value_name = "CREDENTIALS")]
    credentials: Option<String>,
    /// Only events of this type. May be given several times.
    #[arg(long = "type", value_name = "NAME")]
    types: Vec<String>,
    /// The `source` of its events; without it, the first address.
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    /// End after this many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    remote: Remote,
}

impl Marathon {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let relay = Relay {
            hub: self.remote.client()?,
            path: format!("{}/events", self.remote.base()),
        };
        let follower = Follower::new(&self)?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (follows, publishes) = (follower.run(queue), relay.run(waiting));
        tokio::pin!(follows, publishes);
        let seen = tokio::select! {
            seen = follows.as_mut() => seen?,
            // It ends before the follower only by a failure.
            taken = publishes.as_mut() => taken?,
        };
        match tokio::time::timeout(FAREWELL, publishes).await {
            Ok(taken) => {
                tell(format_args!("{seen} events seen, {} published", taken?));
                Ok(())
            }
            Err(_) => Err(Failure::new(
                Code::Unavailable,
                "the hub cannot be reached: events that were still waiting are lost",
            )),
        }
    }
}

/// Who listens to Marathon.
struct Follower {
    connector: Connector,
    nodes: Vec<Url>,
    source: String,
    left: u64,
}

impl Follower {
    fn new(asked: &Marathon) -> Result<Self, Failure> {
        let usage = |why: String| Failure::new(Code::Usage, why);
        let mut credentials = asked
            .credentials
            .as_deref()
            .map(|text| access::value_of("--credentials", text))
            .transpose()
            .map_err(usage)?;
        let mut nodes = Vec::new();
        for node in &asked.nodes {
            if !matches!(node.scheme(), "http" | "https") || node.host_str().is_none() {
                return Err(usage(format!("`{node}` must begin with `http://` or `https://`")));
            }
            let inside = (!node.username().is_empty()).then(|| inside(node));
            credentials = credentials.or(inside);
            nodes.push(events_of(node, &asked.types));
        }
        let connector = Connector::new(credentials.as_deref(), asked.remote.tls.trust()?).map_err(usage)?;
        Ok(Self {
            connector,
            source: asked.source.clone().unwrap_or_else(|| address_of(&asked.nodes)),
            nodes,
            left: asked.count.unwrap_or(u64::MAX),
        })
    }

    /// Follows until enough has come, or the person says stop; how many have come.
    async fn run(mut self, queue: mpsc::Sender<Event>) -> Result<u64, Failure> {
        let wanted = self.left;
        let listen = |kind| {
            signal(kind).map_err(|cause| Failure::new(Code::Software, format!("cannot listen to signals: {cause}")))
        };
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let followed = tokio::select! {
            followed = self.follow(&queue) => followed,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
        followed.map(|()| wanted - self.left)
    }

    async fn follow(&mut self, queue: &mpsc::Sender<Event>) -> Result<(), Failure> {
        let mut backoff = Backoff::new();
        let mut connected = false;
        for node in self.nodes.clone().iter().cycle() {
            let before = self.left;
            let end = match self.connector.open(node).await {
                Ok(feed) => {
                    connected = true;
                    tell(format_args!("following {}", shown(node)));
                    self.read(feed, queue).await
                }
                Err(end) => end,
            };
            if self.left < before {
                backoff = Backoff::new();
            }
            let why = match end {
                End::Enough => return Ok(()),
                // A cluster that was there may refuse for a while, as between two leaders; a wrong address always does.
                End::Refused(failure) if !connected && self.nodes.len() == 1 => return Err(failure),
                End::Refused(failure) => failure.message,
                End::Broken(why) => why,
            };
            let wait = backoff.next();
            tell(format_args!("{}: {why}; again in {}", shown(node), show_duration(wait)));
            Clock::system().sleep(wait).await;
        }
        Ok(())
    }

    /// Reads one connection to its end.
    async fn read(&mut self, mut feed: Feed, queue: &mpsc::Sender<Event>) -> End {
        let mut reader = Sse::default();
        let mut full = false;
        loop {
            let bytes = match tokio::time::timeout(SILENCE, feed.next()).await {
                Ok(Some(Ok(bytes))) => bytes,
                Ok(Some(Err(error))) => return End::Broken(error.to_string()),
                Ok(None) => return End::Broken("it closed the stream".to_owned()),
                Err(_) => return End::Broken(format!("not a sign of life for {} s", SILENCE.as_secs())),
            };
            let sent = match reader.take(&bytes) {
                Ok(sent) => sent,
                Err(fault) => return End::Broken(fault.to_string()),
            };
            for sent in sent {
                let Some(event) = self.event(sent.data) else {
                    continue;
                };
                let was_full = std::mem::replace(&mut full, queue.capacity() == 0);
                if full && !was_full {
                    tell(format_args!(
                        "{QUEUE} events wait for the hub: Marathon may drop what comes now"
                    ));
                }
                if queue.send(event).await.is_err() {
                    return End::Broken("nothing is published any more".to_owned());
                }
                self.left = self.left.saturating_sub(1);
                if self.left == 0 {
                    return End::Enough;
                }
            }
        }
    }

    fn event(&self, data: String) -> Option<Event> {
        let hash = digest::digest(&digest::SHA256, format!("{} {data}", self.source).as_bytes());
        let bits = hash.as_ref().first_chunk().copied().map(u128::from_be_bytes);
        let fresh = Fresh {
            now: Clock::system().now(),
            bits: bits.unwrap_or_default(),
            source: Some(&self.source),
        };
        match native::decode(data.into(), Some(System::Marathon), &fresh) {
            Ok(events) => events.into_iter().next(),
            Err(fault) => {
                tell(format_args!(
                    "what came is no event of Marathon's and is left out: {fault}"
                ));
                None
            }
        }
    }
}
