//! What was promised, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use http::Method;
use serde_json::Value;

use crate::support::{HubProcess, Receiver, Request, Sse, status, until};

/// Sinks of the subscriptions that are there in every round.
const SINKS: [&str; 6] = ["/good", "/flaky", "/paused", "/order", "/filtered", "/chat"];

/// The ledger. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    /// Every id that was ever sent, in the order of its first sending.
    sent: BTreeMap<String, u64>,
    /// What was answered with 202, and where it is, if that was said.
    safe: BTreeMap<String, Option<u64>>,
    /// By sink: how often each id was accepted there.
    accepted: BTreeMap<String, BTreeMap<String, u64>>,
    /// Ids in the order in which the sink that is in order accepted them for the first time.
    in_order: Vec<String>,
    /// By sink: ids that were refused once.
    refused: BTreeSet<(String, String)>,
    /// Subscriptions whose creation was answered, with how many ids had been sent by then.
    there: BTreeMap<String, u64>,
    /// Subscriptions whose removal was answered.
    gone: BTreeSet<String>,
}

impl Ledger {
    /// Keeps the book of what arrives.
    pub(super) fn listen(&self, receiver: &Receiver) {
        let ledger = self.clone();
        receiver.answer(move |request| status(ledger.arrive(request)));
    }

    /// Ids are about to be sent, perhaps again.
    pub(super) fn send(&self, ids: &[String]) {
        let mut books = self.books();
        for id in ids {
            let next = books.sent.len() as u64;
            books.sent.entry(id.clone()).or_insert(next);
        }
    }

    /// Ids were acknowledged.
    pub(super) fn promise(&self, ids: &[String], offsets: &[Option<u64>]) {
        let mut books = self.books();
        for (id, offset) in ids.iter().zip(offsets) {
            let before = books.safe.insert(id.clone(), *offset);
            assert!(before.flatten().is_none(), "{id} was answered twice");
        }
    }

    /// How many were acknowledged.
    pub(super) fn promised(&self) -> u64 {
        self.books().safe.len() as u64
    }

    /// The creation of a subscription was answered.
    pub(super) fn created(&self, id: &str) {
        let mut books = self.books();
        let sent = books.sent.len() as u64;
        books.there.insert(id.to_owned(), sent);
    }

    /// A subscription is about to be removed: from here on it may be there or not.
    pub(super) fn removing(&self, id: &str) {
        self.books().there.remove(id);
    }

    /// The removal of a subscription was answered.
    pub(super) fn removed(&self, id: &str) {
        self.books().gone.insert(id.to_owned());
    }

    /// In short.
    pub(super) fn summary(&self) -> String {
        let books = self.books();
        format!("{} sent, {} acknowledged, 0 lost", books.sent.len(), books.safe.len())
    }

    /// What was created is there, and what was removed is not.
    pub(super) async fn check_subscriptions(&self, hub: &HubProcess) {
        let (there, gone) = {
            let books = self.books();
            (books.there.clone(), books.gone.clone())
        };
        let page = hub.get("/v1/subscriptions?limit=1000").await;
        let ids: BTreeSet<&str> = page
            .as_array()
            .expect("subscriptions")
            .iter()
            .filter_map(|one| one["id"].as_str())
            .collect();
        for id in SINKS
            .iter()
            .map(|sink| &sink[1..])
            .chain(there.keys().map(String::as_str))
        {
            assert!(ids.contains(id), "{id} was answered and is gone");
        }
        for id in &gone {
            assert!(!ids.contains(id.as_str()), "{id} was removed and is back");
        }
    }

    /// The log has what was acknowledged, once, where it was said to be; how many records there are.
    pub(super) async fn check_log(&self, hub: &HubProcess) -> u64 {
        let stored = read_log(hub).await;
        let books = self.books();
        let mut by_id = BTreeMap::new();
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (at, id) in stored.iter().enumerate() {
            assert!(books.sent.contains_key(id), "{id} is in the log, and nobody sent it");
            assert_eq!(
                by_id.insert(id.clone(), at as u64 + 1),
                None,
                "{id} is in the log twice"
            );
            let (producer, number) = id.split_once('-').expect("an id of ours");
            let number = number.parse().expect("a number");
            let before = last.insert(producer, number);
            assert!(
                before.is_none_or(|before| before < number),
                "{id} comes after {before:?} in the log"
            );
        }
        for (id, offset) in &books.safe {
            let found = by_id.get(id);
            assert!(
                found.is_some(),
                "{id} was acknowledged at {offset:?} and is not in the log"
            );
            assert!(
                offset.is_none() || offset.as_ref() == found,
                "{id} was acknowledged at {offset:?} and is at {found:?}"
            );
        }
        stored.len() as u64
    }

    /// The stream told every record once, in order; what is left it tells now.
    pub(super) async fn check_streamed(&self, hub: &HubProcess, mut streamed: Vec<u64>, stored: u64) {
        let left = stored as usize - streamed.len();
        if left > 0 {
            let last = streamed.last().copied().unwrap_or(0).to_string();
            let mut stream = Sse::open(hub, "/v1/stream?from=earliest", &[("last-event-id", &last)]).await;
            streamed.extend(stream.offsets(left).await);
        }
        assert_eq!(streamed, (1..=stored).collect::<Vec<_>>());
    }

    /// Waits until everything has arrived where it should.
    pub(super) async fn everything_arrives(&self) {
        for sink in SINKS {
            self.arrives(sink, 0).await;
        }
        let there = self.books().there.clone();
        for (id, since) in there {
            self.arrives(&format!("/{id}"), since).await;
        }
    }

    async fn arrives(&self, sink: &str, since: u64) {
        let missing = || {
            let books = self.books();
            let none = BTreeMap::new();
            let accepted = books.accepted.get(sink).unwrap_or(&none);
            let due = books
                .safe
                .keys()
                .filter(|id| !id.starts_with("dead") && books.sent.get(*id).is_some_and(|at| *at >= since));
            due.filter(|id| !accepted.contains_key(*id))
                .cloned()
                .collect::<Vec<_>>()
        };
        // As long as it becomes less, the backlog of a long run is only long.
        let mut left = missing();
        while !left.is_empty() {
            let what = format!(
                "something has arrived at {sink}, which lacks {}: {:?}",
                left.len(),
                left.first()
            );
            until(&what, async || missing().len() < left.len()).await;
            left = missing();
        }
    }

    /// Nobody got what was never sent, and what was asked for in order came in order; repeats by sink.
    pub(super) fn check_arrivals(&self) -> BTreeMap<String, u64> {
        let books = self.books();
        let mut repeats = BTreeMap::new();
        for (sink, ids) in &books.accepted {
            for id in ids.keys() {
                assert!(
                    books.sent.contains_key(id),
                    "{id} arrived at {sink}, and nobody sent it"
                );
            }
            repeats.insert(sink.clone(), ids.values().map(|count| count - 1).sum());
        }
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for id in &books.in_order {
            let (producer, number) = id.split_once('-').expect("an id of ours");
            let number = number.parse().expect("a number");
            let before = last.insert(producer, number);
            assert!(
                before.is_none_or(|before| before < number),
                "{id} came after {before:?} of its key"
            );
        }
        repeats
    }

    /// Each event that cannot be delivered has one letter.
    pub(super) async fn check_dead(&self, hub: &HubProcess, most: u64) {
        let due: BTreeSet<String> = self
            .books()
            .safe
            .keys()
            .filter(|id| id.starts_with("dead"))
            .cloned()
            .collect();
        assert!(due.len() as u64 <= most);
        let ids = |page: &Value| {
            let letters = page["dead_letters"].as_array().expect("dead letters").iter();
            letters
                .map(|letter| letter["event"]["id"].as_str().expect("an id").to_owned())
                .collect::<Vec<_>>()
        };
        let all = |page: &Value| ids(page).into_iter().collect::<BTreeSet<_>>().is_superset(&due);
        let page = hub.until("each has a letter", "/v1/dead-letters?limit=1000", all).await;
        assert_eq!(
            ids(&page).len(),
            ids(&page).into_iter().collect::<BTreeSet<_>>().len(),
            "a letter is doubled: {page:#}"
        );
    }

    /// Something arrives; what the sink says to it.
    fn arrive(&self, request: &Request) -> u16 {
        let body = request.json();
        let sink = request.path.clone();
        let id = body["id"].as_str().or(body["text"].as_str()).expect("an id").to_owned();
        if sink == "/dead" {
            return 500;
        }
        let mut books = self.books();
        let number: u64 = id
            .rsplit('-')
            .next()
            .and_then(|number| number.parse().ok())
            .expect("a number");
        let shy = matches!(sink.as_str(), "/flaky" | "/order") && number.is_multiple_of(4);
        if shy && books.refused.insert((sink.clone(), id.clone())) {
            return 503;
        }
        let count = books
            .accepted
            .entry(sink.clone())
            .or_default()
            .entry(id.clone())
            .or_default();
        *count += 1;
        if *count == 1 && sink == "/order" {
            books.in_order.push(id);
        }
        204
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The ids in the log; their offsets follow each other from 1.
async fn read_log(hub: &HubProcess) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let path = format!("/v1/events?from={}&limit=500", ids.len() + 1);
        let (status, body) = hub.send(Method::GET, &path, &[], "").await;
        assert_eq!(status, 200);
        let page: Value = serde_json::from_slice(&body).expect("JSON");
        let events = page["events"].as_array().expect("events");
        if events.is_empty() {
            return ids;
        }
        for record in events {
            assert_eq!(
                record["offset"].as_u64(),
                Some(ids.len() as u64 + 1),
                "offsets have no holes"
            );
            ids.push(record["event"]["id"].as_str().expect("an id").to_owned());
        }
    }
}
