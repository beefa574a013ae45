//! Any request at any front door, with and without accounts: no panic, there or in what it sets going, no answer that
//! blames the hub, and an answer that calls itself JSON is JSON.
//!
//! Why whole requests: what Marathon's query, Alibaba's headers and forms, Pulp's paths and Docker's credentials are
//! read by is not to be had one by one. The hub behind is a real one, in memory where there is `/dev/shm`; it may dial
//! nowhere. The input is `METHOD PATH?QUERY`, a line end, and what `request` reads.
#![no_main]

mod request;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use busway::access::Access;
use busway::config::{Config, Settings, Sources};
use busway::hub::{self, Hub};
use busway::tasks::Tasks;
use busway::time::Clock;
use busway::{api, compat, plugin};
use http::{Method, Request, Response, Uri, header};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower_service::Service;

const ACCOUNTS: &str = "[auth.ak]\nsecret = \"sk\"\nscopes = [\"publish\", \"subscribe:default\"]\n";

struct House {
    runtime: Runtime,
    doors: [Router; 2],
    _folders: [TempDir; 2],
}

thread_local! {
    static HOUSE: RefCell<House> = RefCell::new(House::open());
}

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (line, rest) = input.split_at(end);
    let Some((method, uri)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) else {
        return;
    };
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), uri.parse::<Uri>()) else {
        return;
    };
    let (headers, body) = request::read(rest.get(1..).unwrap_or_default());
    HOUSE.with_borrow_mut(|house| {
        for door in 0..house.doors.len() {
            let mut request = Request::new(Body::from(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            house.ask(door, request);
        }
    });
});

impl House {
    fn open() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (open, first) = runtime.block_on(door(""));
        let (closed, second) = runtime.block_on(door(ACCOUNTS));
        Self {
            runtime,
            doors: [open, closed],
            _folders: [first, second],
        }
    }

    fn ask(&mut self, door: usize, request: Request<Body>) {
        let Self { runtime, doors, .. } = self;
        runtime.block_on(async {
            let asked = format!("{} {}", request.method(), request.uri());
            let answer = tokio::time::timeout(Duration::from_secs(20), doors[door].call(request)).await;
            let answer = answer.unwrap_or_else(|_| panic!("no answer: {asked}")).unwrap();
            let status = answer.status().as_u16();
            // 501 says that a call is left out, 503 and 507 that there is no room.
            let meant = status < 500 || matches!(status, 501 | 503 | 507);
            assert!(meant, "{asked}: {status}: {}", text(answer).await);
            if is_json(&answer) && status != 304 {
                let text = text(answer).await;
                let whole = text.is_empty() || serde_json::from_str::<serde_json::Value>(&text).is_ok();
                assert!(whole, "{asked}: {status}: {text}");
            }
        });
    }
}

/// A hub with all its doors, and where it is kept.
async fn door(config: &str) -> (Router, TempDir) {
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let mut settings = Config::from_text(config, None, &Sources::default()).unwrap().settings;
    settings.egress.deny = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    settings.limits.subscriptions = 50;
    let hub = Hub::open(behind(&settings, &folder), Clock::system()).await.unwrap();
    let access = Arc::clone(hub.access());
    let door = compat::Door {
        hub: hub.clone(),
        access: Arc::clone(&access),
        settings: Arc::new(settings.compat),
        tasks: Tasks::new(),
        changing: Arc::default(),
    };
    compat::start(&door).await.unwrap();
    let own = api::Settings {
        access,
        beside: compat::router(door),
        tutum: true,
        ..api::Settings::default()
    };
    (api::router_with(hub, own), folder)
}

fn behind(settings: &Settings, folder: &TempDir) -> hub::Settings {
    hub::Settings {
        data: folder.path().join("data"),
        log: settings.log.clone(),
        plugins: plugin::Settings {
            dir: folder.path().join("plugins"),
            cache: folder.path().join("cache"),
            kv: None,
            plugins: Default::default(),
        },
        access: settings.accounts.clone().into(),
        egress: settings.egress.clone(),
        delivery: settings.delivery.clone(),
        limits: settings.limits.clone(),
        introduction: settings.webhooks.clone(),
    }
}

fn is_json(answer: &Response<Body>) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().ends_with(b"json") || kind.as_bytes().starts_with(b"application/json"))
}

async fn text(answer: Response<Body>) -> String {
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    String::from_utf8_lossy(&body).into_owned()
}
