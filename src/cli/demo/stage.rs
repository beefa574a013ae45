//! The hub with its subscribers: five of them, each with a kind of delivery of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};

use super::board::{Board, Who};
use super::sink::Sink;
use super::{Screen, events, judge};
use crate::cli::client::HubClient;
use crate::cli::exit::{Code, Failure};
use crate::cli::sse::Sse;
use crate::cli::tls::Tls;
use crate::config::Settings;
use crate::config::value::Address;
use crate::plugin::{Grants, PluginSettings};
use crate::server::Server;
use crate::tasks::Tasks;
use crate::time::Clock;

/// Stopping must not outlast the viewer's patience.
const STOP: Duration = Duration::from_secs(3);

/// Everything on the stage.
pub(super) struct Stage {
    /// What the subscribers saw.
    pub(super) board: Board,
    /// The way to the hub.
    pub(super) client: HubClient,
    /// The plugin directory that the hub watches.
    pub(super) plugins: PathBuf,
    /// The sinks, by whose they are.
    pub(super) sinks: BTreeMap<Who, Sink>,
    server: Server,
    tasks: Tasks,
}

impl Stage {
    /// Starts the sinks, the hub on a free port with a store in `folder`, and the subscriptions.
    pub(super) async fn start(folder: &Path, screen: &mut Screen) -> Result<Self, Failure> {
        let board = Board::new();
        let mut sinks = BTreeMap::new();
        for who in [Who::Callback, Who::Chat, Who::Threshold, Who::Judged] {
            sinks.insert(who, Sink::start(who, &board).await?);
        }
        let chat = sinks.get(&Who::Chat).map(Sink::url).unwrap_or_default();
        let settings = settings(folder, &chat);
        let started = Server::start(&settings, Clock::system()).await;
        let server = started.map_err(|error| Failure::new(Code::Unavailable, error.to_string()))?;
        let address = server.addresses().first().map(ToString::to_string).unwrap_or_default();
        screen.say(&format!(
            "hub        http://{address}, store and plugins in a temporary folder"
        ))?;
        let client = HubClient::new(&format!("http://{address}"), &Tls::default())?;
        let plugins = settings.data.plugins.clone();
        let stage = Self {
            board,
            client,
            plugins,
            sinks,
            server,
            tasks: Tasks::new(),
        };
        stage.subscribe(screen).await?;
        stage.follow_stream(&address).await?;
        screen.say("stream     GET /v1/stream, everything")?;
        Ok(stage)
    }

    /// Publishes events in one request; returns once they are on disk.
    pub(super) async fn publish(&self, events: &[Value]) -> Result<(), Failure> {
        let media = [("content-type", "application/cloudevents-batch+json")];
        let body = Bytes::from(Value::from(events).to_string());
        self.client
            .send(Method::POST, "/v1/events", &media, body)
            .await
            .map(drop)
    }

    /// Waits until `done`, looking at every arrival, but no longer than `most`.
    pub(super) async fn wait(&self, most: Duration, done: impl Fn() -> bool) -> bool {
        let mut changes = self.board.changes();
        let reached = async {
            while !done() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(most, reached).await.is_ok()
    }

    /// The hub's own figures of one subscription.
    pub(super) async fn figure(&self, who: Who, name: &str) -> Result<u64, Failure> {
        let shown = self.client.get(&format!("/v1/subscriptions/{}", who.name())).await?;
        Ok(shown
            .pointer(&format!("/status/{name}"))
            .and_then(Value::as_u64)
            .unwrap_or_default())
    }

    /// Ends everything in order.
    pub(super) async fn stop(self) {
        self.tasks.stop();
        self.server.drain(STOP).await;
        for sink in self.sinks.into_values() {
            sink.kill().await;
        }
        self.tasks.drain(STOP).await;
    }

    async fn subscribe(&self, screen: &mut Screen) -> Result<(), Failure> {
        for (who, sink) in &self.sinks {
            let (request, what) = subscription(*who, &sink.url());
            let path = format!("/v1/subscriptions/{}", who.name());
            self.client.call(Method::PUT, &path, Some(&request)).await?;
            screen.say(&format!("{:<10} {what}", who.name()))?;
        }
        Ok(())
    }

    async fn follow_stream(&self, address: &str) -> Result<(), Failure> {
        let client = HubClient::new(&format!("http://{address}"), &Tls::default())?;
        let headers = [("accept", "text/event-stream")];
        let answer = client
            .open(Method::GET, "/v1/stream?from=earliest", &headers, Bytes::new())
            .await?;
        let (board, tasks) = (self.board.clone(), self.tasks.clone());
        self.tasks.spawn(async move {
            let (mut body, mut reader) = (answer.into_body(), Sse::default());
            loop {
                let frame = tokio::select! {
                    () = tasks.stopping() => return,
                    frame = body.frame() => frame,
                };
                let Some(Ok(frame)) = frame else { return };
                let Ok(sent) = frame.data_ref().map(|bytes| reader.take(bytes)).transpose() else {
                    return;
                };
                for sent in sent.unwrap_or_default() {
                    let event: Value = serde_json::from_str(&sent.data).unwrap_or_default();
                    board.arrived(Who::Stream, events::text(&event, "id"), None);
                }
            }
        });
        Ok(())
    }
}

/// What each asks for, and in which words that is shown.
fn subscription(who: Who, sink: &str) -> (Value, String) {
    let http = |filters: Value| json!({ "types": ["**"], "filters": filters, "sink": sink, "protocol": "HTTP" });
    match who {
        Who::Threshold => {
            let config = json!({ "pointer": "/timestamp", "min": events::THRESHOLD });
            let filter = json!([{ "plugin": { "name": "filter-threshold", "config": config } }]);
            (
                http(filter),
                format!("HTTP to {sink}, through the plugin filter-threshold"),
            )
        }
        Who::Judged => {
            let filter = json!([{ "plugin": { "name": judge::NAME } }]);
            (
                http(filter),
                format!("HTTP to {sink}, through the plugin {}", judge::NAME),
            )
        }
        Who::Chat => {
            let request = json!({
                "types": ["deployment_*"],
                "filters": [{ "not": { "prefix": { "id": "load-" } } }],
                "protocol": "notifier-chat",
            });
            (request, "deployment_*, by the plugin notifier-chat".to_owned())
        }
        Who::Callback | Who::Stream => (http(json!([])), format!("HTTP to {sink}, everything")),
    }
}

fn settings(folder: &Path, chat: &str) -> Settings {
    let mut settings = Settings::default();
    settings.listen.addresses = vec![Address::Tcp(([127, 0, 0, 1], 0).into())];
    settings.data.dir = folder.join("store");
    settings.data.plugins = folder.join("plugins");
    settings.delivery.schedule = [100, 300, 1_000].map(Duration::from_millis).into();
    let config = json!({ "url": chat, "template": "{id} {type} {subject}" });
    let config: Map<String, Value> = config.as_object().cloned().unwrap_or_default();
    let origin = chat.trim_end_matches("/hook").to_owned();
    let grants = Grants {
        http: vec![origin],
        ..Grants::default()
    };
    let plugin = PluginSettings {
        config,
        grants,
        ..PluginSettings::default()
    };
    settings.plugins.insert("notifier-chat".to_owned(), plugin);
    settings
}
