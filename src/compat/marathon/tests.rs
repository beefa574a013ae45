//! Callbacks on a hub of their own: what a crash leaves between a document and its subscription, and what is mended.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::access::Access;
use crate::compat;
use crate::hub::tests::open;
use crate::tasks::Tasks;
use crate::time::Clock;

const KIND: &str = "marathon.callback";
const URL: &str = "http://127.0.0.1:9/cb";

struct Site {
    _folder: TempDir,
    door: Door,
}

impl Site {
    async fn open(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = open(folder.path()).await;
        let mut settings = compat::Settings::default();
        change(&mut settings.marathon);
        let door = Door {
            hub,
            access: Arc::new(Access::new(Default::default(), Clock::system())),
            settings: Arc::new(settings),
            tasks: Tasks::new(),
            changing: Arc::default(),
        };
        Self { _folder: folder, door }
    }

    async fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        let service = TowerToHyperService::new(routes().with_state(self.door.clone()));
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let answer = service.call(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn listed(&self) -> Value {
        self.ask("GET", "/v2/eventSubscriptions").await.1["callbackUrls"].clone()
    }

    async fn subscribe(&self) -> String {
        let (status, _) = self
            .ask("POST", &format!("/v2/eventSubscriptions?callbackUrl={URL}"))
            .await;
        assert_eq!(status, 200);
        self.door.hub.documents(KIND)[0].0.clone()
    }

    fn subscriptions(&self) -> Vec<String> {
        let all = self.door.hub.subscriptions(None, None, 10);
        all.iter().map(|one| one.id.to_string()).collect()
    }
}

#[tokio::test]
async fn a_callback_is_a_subscription_once() {
    let site = Site::open(|_| {}).await;
    assert_eq!(site.listed().await, json!([]));
    let id = site.subscribe().await;
    assert!(
        id.starts_with("marathon-") && id.len() == "marathon-".len() + 12,
        "{id}"
    );
    assert_eq!(site.subscribe().await, id);
    assert_eq!(site.subscriptions(), [id.as_str()]);
    assert_eq!(site.listed().await, json!([URL]));
    for _ in 0..2 {
        let (status, told) = site
            .ask("DELETE", &format!("/v2/eventSubscriptions?callbackUrl={URL}"))
            .await;
        assert_eq!((status, &told["eventType"]), (200, &json!("unsubscribe_event")));
        assert_eq!((site.listed().await, site.subscriptions().len()), (json!([]), 0));
    }
    assert!(site.door.hub.documents(KIND).is_empty());
}

#[tokio::test]
async fn what_a_crash_left_is_made_and_what_was_removed_elsewhere_is_forgotten() {
    let site = Site::open(|_| {}).await;
    let id = site.subscribe().await;
    let hub = &site.door.hub;
    // Between the document and the subscription.
    hub.remove(None, &id).await.unwrap();
    let half = json!({"url": URL, "bus": "default", "subscribed": false});
    hub.put_document(KIND, &id, half.clone()).await.unwrap();
    assert_eq!(site.listed().await, json!([]), "it gets nothing yet");
    start(&site.door).await.unwrap();
    assert_eq!(site.listed().await, json!([URL]));
    // Between the subscription and the word that it is made.
    hub.put_document(KIND, &id, half).await.unwrap();
    start(&site.door).await.unwrap();
    assert_eq!(hub.document(KIND, &id).unwrap()["subscribed"], true);
    // By the hub's own API: listed no more, and not made again.
    hub.remove(None, &id).await.unwrap();
    assert_eq!(site.listed().await, json!([]));
    start(&site.door).await.unwrap();
    assert!(site.subscriptions().is_empty() && hub.documents(KIND).is_empty());
    // What nobody can read, and what the hub would not take.
    hub.put_document(KIND, "x", json!({"url": 7})).await.unwrap();
    let refused = json!({"url": "http://u:p@h/", "bus": "default", "subscribed": false});
    hub.put_document(KIND, "marathon-1", refused).await.unwrap();
    start(&site.door).await.unwrap();
    assert!(hub.documents(KIND).is_empty());
}

#[tokio::test]
async fn endpoints_of_the_settings_are_there_from_the_start_and_stay() {
    let endpoint = Endpoint::parse(URL).unwrap();
    let site = Site::open(|settings| settings.endpoints = vec![endpoint]).await;
    start(&site.door).await.unwrap();
    start(&site.door).await.unwrap();
    assert_eq!(site.listed().await, json!([URL]));
    let told = site
        .door
        .hub
        .event(&BusName::default_bus(), crate::log::Offset(1))
        .await
        .unwrap();
    assert_eq!((told.event.ty(), told.event.subject()), ("subscribe_event", Some(URL)));
}

#[tokio::test]
async fn callbacks_that_are_off_say_so_in_marathons_words() {
    let site = Site::open(|settings| settings.callbacks = false).await;
    for method in ["GET", "POST", "DELETE"] {
        let (status, told) = site
            .ask(method, &format!("/v2/eventSubscriptions?callbackUrl={URL}"))
            .await;
        let words = told["message"].as_str().unwrap();
        assert_eq!(status, 400);
        assert!(
            words.starts_with("http event callback system is not running on this Marathon instance."),
            "{words}"
        );
        assert!(
            words.ends_with("re-start this instance with\n\"--event_subscriber http_callback\"."),
            "{words}"
        );
    }
}
