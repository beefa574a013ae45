//! Our plugins and guests, built and then run by the real host: each does what its README says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::repository;
use crate::devkit::build;
use crate::event::{Data, DataKind, Draft, Event};
use crate::metrics::Metrics;
use crate::net::{Client, Guard, GuardSettings};
use crate::plugin::{CallError, Delivery, Grants, Limits, NotifyError, PluginSettings, Plugins, Settings, Verdict};
use crate::tasks::Tasks;
use crate::time::Clock;

/// A host that serves one plugin, built from this folder.
pub(super) struct Bench {
    pub(super) plugins: Plugins,
    name: String,
    tasks: Tasks,
    _home: TempDir,
}

impl Bench {
    async fn open(folder: &str, http: &[String]) -> Self {
        let own = PluginSettings {
            grants: Grants {
                http: http.to_vec(),
                ..Grants::default()
            },
            limits: Limits {
                timeout: Some(Duration::from_secs(2)),
                ..Limits::default()
            },
            ..PluginSettings::default()
        };
        Self::open_with(folder, own).await
    }

    pub(super) async fn open_with(folder: &str, own: PluginSettings) -> Self {
        let home = TempDir::new().unwrap();
        let dir = home.path().join("plugins");
        let path = build(&repository().join(folder), Some(&dir), &mut |_| {}).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let plugins = BTreeMap::from([(name.clone(), own)]);
        let settings = Settings {
            dir,
            cache: home.path().join("cache"),
            kv: None,
            plugins,
        };
        let client = Client::new(Guard::new(GuardSettings::default()));
        let (tell, _) = mpsc::unbounded_channel();
        let (tasks, metrics) = (Tasks::new(), Arc::new(Metrics::new()));
        let plugins = Plugins::open(settings, client, Clock::system(), tasks.clone(), metrics, tell);
        Self {
            plugins: plugins.await.unwrap(),
            name,
            tasks,
            _home: home,
        }
    }

    pub(super) async fn evaluate(&self, config: &str, data: &str) -> Result<Verdict, CallError> {
        let events = vec![event(data)];
        self.plugins
            .evaluate(&self.name, &config.into(), events)
            .await
            .remove(0)
    }

    pub(super) async fn notify(&self, config: &str, data: &str, attempt: u32) -> Result<(), NotifyError> {
        let delivery = Delivery {
            subscription: "s".to_owned(),
            attempt,
            id: "d".to_owned(),
        };
        self.plugins
            .notify(&self.name, &config.into(), &event(data), delivery)
            .await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

fn event(json: &str) -> Arc<Event> {
    let data = Some(Data {
        kind: DataKind::Json,
        bytes: json.to_owned().into(),
    });
    let draft = Draft {
        id: "e1".to_owned(),
        source: "/test".to_owned(),
        ty: "order.created".to_owned(),
        data,
        ..Draft::default()
    };
    Arc::new(draft.check().unwrap())
}

fn dropped(words: &str) -> Result<Verdict, CallError> {
    Ok(Verdict::Drop(words.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_threshold_filters_by_number() {
    let bench = Bench::open("plugins/filter-threshold", &[]).await;
    let config = r#"{"pointer": "/a/n", "min": 10, "max": 100}"#;
    let check = async |data: &str, expected| {
        assert_eq!(bench.evaluate(config, data).await, expected, "{data}");
    };
    check(r#"{"a": {"n": 10}}"#, Ok(Verdict::Pass)).await;
    check(r#"{"a": {"n": 9}}"#, dropped("9 at /a/n is below 10")).await;
    check(r#"{"a": {"n": "11"}}"#, dropped("no number at /a/n")).await;
    let refused = bench.evaluate(r#"{"pointer": "/a"}"#, "{}").await;
    assert_eq!(
        refused,
        Err(CallError::Config("config: needs `min` or `max`".to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_c_filter_finds_its_keyword() {
    let bench = Bench::open("plugins/filter-keyword-c", &[]).await;
    let check = async |config: &str, data: &str, expected| {
        assert_eq!(bench.evaluate(config, data).await, expected, "{config} on {data}");
    };
    let has = || dropped("the data contains the keyword");
    let lacks = || dropped("the data does not contain the keyword");
    let keep = r#"{"keyword": "ERROR"}"#;
    check(keep, r#""an ERROR""#, Ok(Verdict::Pass)).await;
    check(keep, r#""ERRORERROR""#, Ok(Verdict::Pass)).await;
    check(keep, r#""an ERRO""#, lacks()).await;
    check(keep, r#""EERRERROERR""#, lacks()).await;
    check(keep, "1", lacks()).await;
    let forbid = r#" { "keep" : false , "keyword" : "\"\u00e9\u20ac\/" } "#;
    check(forbid, "{\"é€/\":1}", has()).await;
    check(forbid, "{\"e\":1}", Ok(Verdict::Pass)).await;
    let refuses = async |config: &str, words: &str| match bench.evaluate(config, "1").await {
        Err(CallError::Config(why)) => assert!(why.contains(words), "{config}: {why}"),
        other => panic!("{config} was taken: {other:?}"),
    };
    refuses("{}", "config.keyword: is required").await;
    refuses(r#"{"keyword": ""}"#, "config.keyword: must not be empty").await;
    refuses(r#"{"keyword": "a", "keep": 1}"#, "config.keep: must be true or false").await;
    refuses(r#"{"word": "a"}"#, "config.word: is not a field").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_c_library_takes_the_same_memory_again() {
    let bench = Bench::open("plugins/filter-keyword-c", &[]).await;
    let data = format!("\"{}\"", "x".repeat(100_000));
    for _ in 0..2_000 {
        let verdict = bench.evaluate(r#"{"keyword": "y"}"#, &data).await;
        assert_eq!(verdict, dropped("the data does not contain the keyword"));
    }
    let status = bench.plugins.status().remove(0);
    assert!(status.memory < 4 << 20, "{} bytes after 2,000 calls", status.memory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bad_filter_behaves_and_misbehaves_by_turns() {
    let bench = Bench::open("tests/guests/misbehave", &[]).await;
    let ask = async |deed: &str| bench.evaluate("{}", &format!(r#"{{"do": "{deed}"}}"#)).await;
    assert_eq!(ask("pass").await, Ok(Verdict::Pass));
    assert_eq!(ask("drop").await, dropped("asked to"));
    assert_eq!(ask("replace").await, Ok(Verdict::Replace("replaced e1".into())));
    assert_eq!(ask("mark").await, dropped("generation 0"));
    assert_eq!(ask("error").await, Err(CallError::Guest("it went wrong".to_owned())));
    for deed in ["trap", "panic", "recurse", "loop", "hoard", "grow", "huge-replace"] {
        let failed = ask(deed).await;
        let not_its_word = !matches!(failed, Ok(_) | Err(CallError::Guest(_) | CallError::NotLoaded(_)));
        assert!(not_its_word, "{deed}: {failed:?}");
        assert_eq!(ask("pass").await, Ok(Verdict::Pass), "after {deed}");
    }
    let refused = bench.evaluate(r#"{"do": "init-error"}"#, "{}").await;
    assert_eq!(refused, Err(CallError::Config("this config will not do".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bad_notifier_fails_as_it_is_told() {
    let bench = Bench::open("tests/guests/misbehave-notifier", &[]).await;
    let failure = |reason: &str, retry, after: Option<u64>| {
        let retry_after = after.map(Duration::from_millis);
        Err(NotifyError::Failure {
            reason: reason.to_owned(),
            retry,
            retry_after,
        })
    };
    let ask = async |deed: &str| {
        bench
            .notify(r#"{"ms": 50}"#, &format!(r#"{{"do": "{deed}"}}"#), 1)
            .await
    };
    assert_eq!(ask("ok").await, Ok(()));
    assert_eq!(ask("fail-retry").await, failure("come back later", true, Some(50)));
    assert_eq!(ask("fail-final").await, failure("never again", false, None));
    assert_eq!(ask("fail-once").await, failure("come back later", true, None));
    assert_eq!(bench.notify(r#"{"do": "fail-once"}"#, "{}", 2).await, Ok(()));
    assert_eq!(ask("sleep").await, Ok(()));
    for deed in ["panic", "loop"] {
        let failed = ask(deed).await;
        assert!(matches!(failed, Err(NotifyError::Call(_))), "{deed}: {failed:?}");
        assert_eq!(ask("ok").await, Ok(()), "after {deed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chat_posts_and_tells_what_came_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let bench = Bench::open("plugins/notifier-chat", std::slice::from_ref(&origin)).await;
    let config = format!(r#"{{"url": "{origin}/hook?wait=1", "template": "{{type}}: {{/name}}"}}"#);
    let exchange = async |answer: &str| {
        let (outcome, request) = tokio::join!(
            bench.notify(&config, r#"{"name": "ad\"a"}"#, 1),
            answer_one(&listener, answer)
        );
        (outcome, request)
    };
    let (outcome, request) = exchange("200 OK\r\n").await;
    assert_eq!(outcome, Ok(()));
    assert!(request.starts_with("POST /hook?wait=1 HTTP/1.1\r\n"), "{request}");
    assert!(
        request.ends_with("\r\n\r\n{\"text\":\"order.created: ad\\\"a\"}"),
        "{request}"
    );

    let check = async |answer: &str, retry: bool, after: Option<u64>| {
        let Err(NotifyError::Failure {
            reason,
            retry: again,
            retry_after,
        }) = exchange(answer).await.0
        else {
            panic!("{answer}: no failure")
        };
        assert_eq!(
            (again, retry_after),
            (retry, after.map(Duration::from_secs)),
            "{answer}"
        );
        assert!(reason.contains("no_service"), "{reason}");
    };
    check("429 Too Many\r\nretry-after: 7\r\n", true, Some(7)).await;
    check("500 Broken\r\n", true, None).await;
    check("404 Not Found\r\n", false, None).await;

    let elsewhere = config.replace(&origin, "http://127.0.0.2:9");
    let Err(NotifyError::Failure { reason, retry, .. }) = bench.notify(&elsewhere, "{}", 1).await else {
        panic!("a request without a grant went through")
    };
    assert!(!retry && reason.contains("grants.http"), "{reason}");
}

/// Takes one request and answers it; returns the request.
async fn answer_one(listener: &TcpListener, answer: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\"}") {
        assert_ne!(
            stream.read_buf(&mut request).await.unwrap(),
            0,
            "the request ended early"
        );
    }
    let answer = format!("HTTP/1.1 {answer}content-length: 10\r\nconnection: close\r\n\r\nno_service");
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(request).unwrap()
}
