//! The pack of bad guests that reach out, built and then run by the real host: each gets what was granted, is told no
//! in clear words for the rest, and is stopped where it does not stop.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::behaviour::Bench;
use crate::plugin::{CallError, Grants, Limits, NotifyError, PluginSettings, Verdict};
use crate::tasks::Tasks;

/// A server that does `serve` with every connection; where it listens.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let tasks = Tasks::new();
    let each = tasks.clone();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            each.spawn(serve(stream));
        }
    });
    place
}

/// Answers every request with a good word, and closes.
async fn polite(mut stream: TcpStream) {
    let mut seen = vec![0; 4_096];
    let _ = stream.read(&mut seen).await;
    let _ = stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        .await;
}

/// Begins an answer that never ends.
async fn endless(mut stream: TcpStream) {
    let mut seen = vec![0; 4_096];
    let _ = stream.read(&mut seen).await;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    while stream.write_all(&[b'x'; 64 << 10]).await.is_ok() {}
}

/// Reads a line and says it again, then hears of the end and ends too.
async fn echo(mut stream: TcpStream) {
    let mut line = [0; 7];
    let _ = stream.read_exact(&mut line).await;
    let _ = stream.write_all(&line).await;
    let _ = stream.read(&mut line).await;
}

/// Writes without end, asked or not.
async fn fountain(mut stream: TcpStream) {
    while stream.write_all(&[b'x'; 64 << 10]).await.is_ok() {}
}

/// Takes whatever comes.
async fn sink(mut stream: TcpStream) {
    let mut glass = vec![0; 64 << 10];
    while stream.read(&mut glass).await.is_ok_and(|read| read > 0) {}
}

fn tight() -> PluginSettings {
    PluginSettings {
        grants: Grants {
            // Without a grant for HTTP it would not even be loaded.
            http: vec!["http://127.0.0.1:1".to_owned()],
            ..Grants::default()
        },
        limits: Limits {
            timeout: Some(Duration::from_secs(5)),
            cpu: Some(Duration::from_millis(300)),
            requests: 5,
            egress: 1 << 20,
            memory: 16 << 20,
            ..Limits::default()
        },
        ..PluginSettings::default()
    }
}

/// `reach` under these settings.
async fn reach(settings: PluginSettings) -> Bench {
    Bench::open_with("tests/guests/reach", settings).await
}

fn granted(http: &str, tcp: &str) -> PluginSettings {
    let mut settings = tight();
    settings.grants.http.push(format!("http://{http}"));
    settings.grants.tcp.push(tcp.to_owned());
    settings
}

/// What it says that it found.
async fn found(bench: &Bench, config: &str, deed: &str) -> String {
    match bench.notify(config, &format!(r#"{{"do": "{deed}"}}"#), 1).await {
        Err(NotifyError::Failure { reason, .. }) => reason,
        other => panic!("{deed}: {other:?}"),
    }
}

/// Why it was stopped.
async fn stopped(bench: &Bench, config: &str, deed: &str) -> CallError {
    match bench.notify(config, &format!(r#"{{"do": "{deed}"}}"#), 1).await {
        Err(NotifyError::Call(error)) => error,
        other => panic!("{deed}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_granted_is_refused() {
    let bench = reach(tight()).await;
    let config = r#"{"url": "http://127.0.0.1:9/", "tcp": "127.0.0.1:9"}"#;
    let check = async |deed: &str, says: &str| {
        let told = found(&bench, config, deed).await;
        assert!(told.contains(says), "{deed}: {told}");
    };
    check("get", "HttpRequestDenied").await;
    check("echo", "error: Permission denied").await;
    check("listen", "error: ").await;
    check("udp", "error: ").await;
    check("files", "error: ").await;
    check("write", "error: ").await;
    check("set", "not granted (grants.kv)").await;
    check("arguments", "[]").await;
    check("environment", "[]").await;
    let status = bench.plugins.status().remove(0);
    assert_eq!((status.requests, status.egress), (0, 0), "nothing went out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_granted_works() {
    let (http, tcp) = (server(polite).await, server(echo).await);
    let mut settings = granted(&http, &tcp);
    settings.grants.env = [("MODE".to_owned(), "fast".to_owned())].into();
    settings.grants.kv = Some(2_000);
    let bench = reach(settings).await;
    let config = format!(r#"{{"url": "http://{http}/", "tcp": "{tcp}", "size": 1000}}"#);
    let check = async |deed: &str, expected: &str| assert_eq!(found(&bench, &config, deed).await, expected, "{deed}");
    check("get", "200 with 2 bytes").await;
    let port = tcp.rsplit(':').next().unwrap();
    check("echo", &format!("hello from {port}, then 0 bytes")).await;
    check("environment", r#"[("MODE", "fast")]"#).await;
    check("value", "None bytes").await;
    check("set", "set").await;
    check("value", "Some(1000) bytes").await;
    check("keys", r#"["key"]"#).await;
    let status = bench.plugins.status().remove(0);
    assert_eq!((status.requests, status.egress), (2, 2 + 14), "each was counted");
    assert_eq!(status.kv, 1_000 + 3 + 32);
    let shown = serde_json::to_string(&status).unwrap();
    assert!(shown.contains("env MODE") && !shown.contains("fast"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_without_end_is_stopped() {
    let (http, tcp) = (server(polite).await, server(sink).await);
    let mut settings = granted(&http, &tcp);
    settings.grants.kv = Some(100_000);
    let bench = reach(settings).await;
    let config = format!(r#"{{"url": "http://{http}/", "tcp": "{tcp}", "size": 1000000}}"#);
    let requests = "wanted more than 5 requests in one call (limits.requests)";
    assert_eq!(
        stopped(&bench, &config, "get-for-ever").await,
        CallError::Egress(requests.to_owned())
    );
    let told = found(&bench, &config, "subscribe-for-ever").await;
    assert!(told.starts_with("made 5, then"), "{told}");
    let told = found(&bench, &config, "dial-for-ever").await;
    assert!(told.starts_with("dialled 5, then"), "{told}");
    let told = found(&bench, &config, "set-for-ever").await;
    assert!(told.contains("full") && told.contains("grants.kv"), "{told}");
    for deed in ["tick-for-ever", "log-for-ever"] {
        let error = stopped(&bench, &config, deed).await;
        assert!(
            matches!(error, CallError::Cpu(_) | CallError::Deadline(_)),
            "{deed}: {error:?}"
        );
    }
    let exit = stopped(&bench, &config, "exit").await;
    assert_eq!(exit, CallError::Trap("it exited with status 1".to_owned()));
    let fewer = config.replace("1000000", "1000");
    assert_eq!(found(&bench, &fewer, "print").await, "printed");
    let status = bench.plugins.status().remove(0);
    assert!(status.log_suppressed > 0 && status.cpu_ms >= 300, "{status:?}");
    assert_eq!(status.errors_by_kind["egress"], 1);
    assert!(status.instances <= 1 && status.memory <= 16 << 20, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_end_is_cut() {
    let (http, tcp) = (server(endless).await, server(sink).await);
    let bench = reach(granted(&http, &tcp)).await;
    let config = format!(r#"{{"url": "http://{http}/", "tcp": "{tcp}"}}"#);
    let told = found(&bench, &config, "get").await;
    assert!(told.contains("limits.egress"), "{told}");
    let told = found(&bench, &config, "pour").await;
    assert!(told.starts_with("poured 1048576, then"), "{told}");
    let fountain = server(fountain).await;
    let bench = reach(granted(&http, &fountain)).await;
    let told = found(&bench, &config.replace(&tcp, &fountain), "drink").await;
    assert!(told.starts_with("error: drank 1048576, then"), "{told}");
    let status = bench.plugins.status().remove(0);
    assert!(status.egress <= 1 << 20, "{} bytes", status.egress);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_filter_cannot_flood_the_space_nor_stay_in_the_host() {
    let mut settings = PluginSettings::default();
    settings.grants.kv = Some(50_000);
    let bench = Bench::open_with("tests/guests/misbehave", settings).await;
    let ask = async |deed: &str| bench.evaluate("{}", &format!(r#"{{"do": "{deed}"}}"#)).await;
    for expected in ["1", "2", "3"] {
        assert_eq!(ask("count").await, Ok(Verdict::Drop(expected.to_owned())));
    }
    let deadline = Err(CallError::Deadline(Duration::from_millis(250)));
    assert_eq!(ask("set-for-ever").await, deadline);
    assert_eq!(ask("ask-for-ever").await, deadline);
    assert_eq!(
        ask("count").await,
        Ok(Verdict::Drop("4".to_owned())),
        "what fits still fits"
    );
    let status = bench.plugins.status().remove(0);
    assert!(status.kv > 40_000 && status.kv <= 50_000, "{} bytes", status.kv);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_grows_with_every_call_is_replaced_before_it_fails_one() {
    let settings = PluginSettings {
        limits: Limits {
            memory: 16 << 20,
            ..Limits::default()
        },
        ..PluginSettings::default()
    };
    let bench = Bench::open_with("tests/guests/misbehave", settings).await;
    // Each call keeps a mebibyte: no instance could take all of them.
    for call in 0..64 {
        let answer = bench.evaluate(r#"{"size": 1048576}"#, r#"{"do": "grow"}"#).await;
        assert_eq!(answer, Ok(Verdict::Pass), "call {call}");
    }
}
