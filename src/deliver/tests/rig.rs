//! What the tests of delivery stand on: a hub's lower half in a temporary folder, and a sink that answers by script.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::deliver::{Delivery, LaneStatus, Notice, Parts, checkpoint};
use crate::event::{Data, DataKind, Draft, Event};
use crate::log::{self, BusName, EventLog, Offset};
use crate::metrics::Metrics;
use crate::net::{self, Guard, GuardSettings};
use crate::plugin::{self, Plugins};
use crate::subscription::{DeadLetter, DeadQuery, DeliveryConfig, Kept, Store, Subscription, SubscriptionId};
use crate::tasks::Tasks;
use crate::time::{Clock, Timestamp};

/// Longer than anything takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The lower half of a hub. Dropping it without [`Rig::drain`] is a crash.
pub(super) struct Rig {
    pub(super) folder: Arc<tempfile::TempDir>,
    pub(super) parts: Parts,
    pub(super) delivery: Delivery,
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
}

pub(super) fn id(name: &str) -> SubscriptionId {
    SubscriptionId(name.into())
}

pub(super) fn bus() -> BusName {
    BusName::default_bus()
}

impl Rig {
    pub(super) async fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::open(folder, Clock::manual(Timestamp(1_700_000_000_000))).await
    }

    /// Opens what is in the folder, as after a restart.
    pub(super) async fn open(folder: Arc<tempfile::TempDir>, clock: Clock) -> Self {
        let (parts, kept, notices) = parts(&folder, clock).await;
        let delivery = Delivery::start(parts.clone(), kept).await.unwrap();
        Self {
            folder,
            parts,
            delivery,
            notices,
        }
    }

    /// Ends everything in its order and opens it again.
    pub(super) async fn restart(self) -> Self {
        self.delivery.drain(PATIENCE).await;
        let (folder, clock) = (self.folder.clone(), self.parts.clock.clone());
        self.end().await;
        Self::open(folder, clock).await
    }

    /// Ends everything without a last checkpoint, as far as one process can.
    pub(super) async fn crash(self) -> Self {
        self.fall();
        let (folder, clock) = (self.folder.clone(), self.parts.clock.clone());
        self.end().await;
        Self::open(folder, clock).await
    }

    /// From here on nothing is delivered and nothing written down.
    pub(super) fn fall(&self) {
        self.delivery.0.tasks.stop();
        for lane in self.delivery.0.all() {
            lane.lock().remove();
        }
    }

    async fn end(self) {
        self.parts.tasks.drain(PATIENCE).await;
        self.parts.store.close().await;
        self.parts.log.close().await;
    }

    pub(super) async fn publish(&self, ids: impl IntoIterator<Item = u64>) {
        let events: Vec<Event> = ids.into_iter().map(event).collect();
        for some in events.chunks(500) {
            self.parts.log.append(&bus(), some.to_vec()).await.unwrap();
        }
    }

    /// Publishes one event with so much padding.
    pub(super) async fn publish_large(&self, nth: u64, padding: usize) {
        let padding = "x".repeat(padding);
        let event = with_data(nth, None, format!(r#"{{"n":{nth},"padding":"{padding}"}}"#));
        self.parts.log.append(&bus(), vec![event]).await.unwrap();
    }

    /// The records of a bus, if it is there.
    pub(super) async fn records(&self, name: &str) -> Vec<Arc<log::Record>> {
        let limit = log::ReadLimit {
            records: 1_000,
            bytes: 1 << 20,
        };
        let read = self
            .parts
            .log
            .read(&BusName::parse(name).unwrap(), Offset(1), limit)
            .await;
        read.map(|batch| batch.records).unwrap_or_default()
    }

    /// Makes a subscription as the hub does: into the store, then into delivery.
    pub(super) async fn subscribe(&self, name: &str, json: serde_json::Value, from: u64) {
        let now = self.parts.clock.now();
        let subscription = Subscription::from_json(id(name), bus(), &json, &DeliveryConfig::default(), now).unwrap();
        self.parts.store.put(&subscription, Some(Offset(from))).await.unwrap();
        self.delivery.put(subscription, Some(Offset(from)));
    }

    /// Waits until the lane's status is as wanted.
    pub(super) async fn until(&self, name: &str, what: &str, wanted: impl Fn(&LaneStatus) -> bool) -> LaneStatus {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = self.delivery.status(&id(name)).unwrap();
            if wanted(&status) {
                return status;
            }
            assert!(tokio::time::Instant::now() < give_up, "never {what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits for a notice that `pick` wants.
    pub(super) async fn notice<T>(&mut self, what: &str, pick: impl Fn(Notice) -> Option<T>) -> T {
        loop {
            let notice = tokio::time::timeout(PATIENCE, self.notices.recv()).await;
            let notice = notice.unwrap_or_else(|_| panic!("no notice: {what}")).unwrap();
            if let Some(found) = pick(notice) {
                return found;
            }
        }
    }

    pub(super) async fn checkpoint(&self) {
        assert!(checkpoint::write(&self.delivery.0).await);
    }

    pub(super) async fn dead(&self) -> Vec<DeadLetter> {
        self.checkpoint().await;
        self.parts.store.dead(DeadQuery::default(), 1_000).await.unwrap()
    }
}

async fn parts(folder: &tempfile::TempDir, clock: Clock) -> (Parts, Kept, mpsc::UnboundedReceiver<Notice>) {
    let (tasks, metrics) = (Tasks::new(), Arc::new(Metrics::new()));
    let settings = log::Settings::default();
    let log = EventLog::open(&folder.path().join("log"), settings, clock.clone(), tasks.clone()).unwrap();
    let (store, kept) = Store::open(&folder.path().join("state.db")).unwrap();
    let client = net::Client::new(Guard::new(GuardSettings::default()));
    let settings = plugin::Settings {
        dir: folder.path().join("plugins"),
        cache: folder.path().join("cache"),
        kv: None,
        plugins: BTreeMap::new(),
    };
    std::fs::create_dir_all(&settings.dir).unwrap();
    let (plugin_notices, _) = mpsc::unbounded_channel();
    let opened = Plugins::open(
        settings,
        client.clone(),
        clock.clone(),
        tasks.clone(),
        metrics.clone(),
        plugin_notices,
    )
    .await;
    let (notices, heard) = mpsc::unbounded_channel();
    let parts = Parts {
        log,
        store,
        plugins: opened.unwrap(),
        client,
        signer: crate::deliver::push::Signer::new(folder.path().to_owned(), tasks.clone()),
        clock,
        tasks,
        metrics,
        notices,
        changing: Arc::default(),
        bounds: crate::deliver::Bounds::default(),
    };
    (parts, kept, heard)
}

/// The nth event: its type says whether n is odd, its data says n.
pub(in crate::deliver) fn event(nth: u64) -> Event {
    keyed(nth, None)
}

/// The same, with a subject.
pub(in crate::deliver) fn keyed(nth: u64, key: Option<&str>) -> Event {
    with_data(nth, key, format!(r#"{{"n":{nth}}}"#))
}

fn with_data(nth: u64, key: Option<&str>, data: String) -> Event {
    let ty = if nth % 2 == 1 { "odd" } else { "even" };
    Draft {
        id: nth.to_string(),
        source: "/test".to_owned(),
        ty: ty.to_owned(),
        subject: key.map(str::to_owned),
        data: Some(Data {
            kind: DataKind::Json,
            bytes: data.into(),
        }),
        ..Draft::default()
    }
    .check()
    .unwrap()
}

/// What a sink answers.
#[derive(Clone, Copy)]
pub(super) enum Reply {
    Status(u16),
    /// With a header.
    Header(u16, &'static str, &'static str),
    /// 400 for whatever has this event in it, and 200 for the rest.
    Poisoned(u64),
    Hang,
}

/// A request that a sink got.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Got {
    /// The `n` of the event, or of each event of the batch.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        let events = match json {
            serde_json::Value::Array(events) => events,
            one => vec![one],
        };
        events
            .iter()
            .map(|event| event.get("data").unwrap_or(event)["n"].as_u64().unwrap())
            .collect()
    }
}

/// A sink on a port of its own.
pub(super) struct Sink {
    pub(super) url: String,
    got: mpsc::UnboundedReceiver<Got>,
    reply: Arc<Mutex<Reply>>,
    _tasks: Tasks,
}

impl Sink {
    pub(super) async fn new(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, got) = mpsc::unbounded_channel();
        let reply = Arc::new(Mutex::new(reply));
        let (tasks, script) = (Tasks::new(), reply.clone());
        let owner = tasks.clone();
        tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (sender, script) = (sender.clone(), script.clone());
                let answer = service_fn(move |request| answer(request, sender.clone(), script.clone()));
                owner.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
            }
        });
        Self {
            url,
            got,
            reply,
            _tasks: tasks,
        }
    }

    /// From now on it answers this.
    pub(super) fn says(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Got {
        tokio::time::timeout(PATIENCE, self.got.recv())
            .await
            .expect("no request came")
            .unwrap()
    }

    /// The numbers of the next `count` events, in their order of arrival.
    pub(super) async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            numbers.extend(self.next().await.numbers());
        }
        numbers
    }

    /// What has come and was not looked at.
    pub(super) fn rest(&mut self) -> Vec<u64> {
        let mut rest = Vec::new();
        while let Ok(got) = self.got.try_recv() {
            rest.extend(got.numbers());
        }
        rest
    }
}

async fn answer(
    request: Request<Incoming>,
    got: mpsc::UnboundedSender<Got>,
    script: Arc<Mutex<Reply>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let reply = *script.lock().unwrap();
    let request = Got {
        headers: head.headers,
        body,
    };
    let poisoned = matches!(reply, Reply::Poisoned(nth) if request.numbers().contains(&nth));
    let _ = got.send(request);
    let built = match reply {
        Reply::Status(status) => Response::builder().status(status),
        Reply::Header(status, name, value) => Response::builder().status(status).header(name, value),
        Reply::Poisoned(_) => Response::builder().status(if poisoned { 400 } else { 200 }),
        Reply::Hang => std::future::pending().await,
    };
    Ok(built.body(Full::new(Bytes::from_static(b"said the sink"))).unwrap())
}
