//! The real program: started on a free port, ready when it says so, killed when dropped.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use busway::net::Trust;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{Faults, PATIENCE, client, comes_true};

/// A hub on a free port, with everything in the folder it is started in.
const SERVE: [&str; 9] = [
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--data",
    "data",
    "--plugins",
    "plugins",
    "--ports-file",
    "ports",
];

/// A connection that bytes go over both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A running hub.
pub(crate) struct HubProcess {
    child: Child,
    base: String,
    /// Where it listens, as its ports file says.
    places: Vec<String>,
    /// Whom to trust, where TLS is spoken.
    trust: Option<Trust>,
    log: Arc<Mutex<Vec<String>>>,
}

impl HubProcess {
    /// Starts a hub whose store is `folder/data` and whose plugins are `folder/plugins`.
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[] as &[&str]).await
    }

    /// The same, with more arguments to `serve`.
    pub(crate) async fn start_with(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_busway"));
        command.args(SERVE).args(arguments);
        Self::launch(folder, command)
            .await
            .unwrap_or_else(|said| panic!("{said}"))
    }

    /// The same, with these variables in its environment.
    pub(crate) async fn start_under(folder: &Path, env: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_busway"));
        command.args(SERVE).args(arguments).envs(env.iter().copied());
        Self::launch(folder, command)
            .await
            .unwrap_or_else(|said| panic!("{said}"))
    }

    /// The same, under a shell's limit on the size of files, once somebody sets it: writing past it is an error then,
    /// and not the signal that ends a process.
    pub(crate) async fn start_limitable(folder: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_busway")]);
        command.args(SERVE);
        Self::launch(folder, command)
            .await
            .unwrap_or_else(|said| panic!("{said}"))
    }

    /// The same, on a disk and by a clock that have these faults.
    pub(crate) async fn start_faulty(folder: &Path, faults: &Faults, arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_busway"));
        command.args(SERVE).args(arguments).envs(faults.environment());
        Self::launch(folder, command)
            .await
            .unwrap_or_else(|said| panic!("{said}"))
    }

    /// Starts a hub and kills it so soon after, ready or not.
    pub(crate) async fn kill_while_starting(folder: &Path, arguments: &[impl AsRef<OsStr>], after: Duration) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_busway"));
        command.args(SERVE).args(arguments).current_dir(folder);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = quiet.spawn().expect("start the hub");
        // Not a wait for anything: the moment of the kill is the caller's choice.
        tokio::time::sleep(after).await;
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    /// The same as [`HubProcess::start_with`], for a hub that may refuse to start: then what it said.
    pub(crate) async fn try_start(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<Self, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_busway"));
        command.args(SERVE).args(arguments);
        Self::launch(folder, command).await
    }

    async fn launch(folder: &Path, mut command: Command) -> Result<Self, String> {
        let ports = folder.join("ports");
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the hub");
        let log = Arc::new(Mutex::new(Vec::new()));
        let ready = follow(&mut child, log.clone());
        let waited = tokio::time::timeout(PATIENCE, ready).await;
        if !matches!(waited, Ok(Ok(()))) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(
                "the hub did not get ready; it said:\n{}",
                log.lock().unwrap().join("\n")
            ));
        }
        let places = std::fs::read_to_string(&ports).expect("the ports file");
        let places: Vec<String> = places.lines().map(str::to_owned).collect();
        let base = places.first().expect("an address").clone();
        Ok(Self {
            child,
            base: format!("http://{base}"),
            places,
            trust: None,
            log,
        })
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        self.base.split_once("://").expect("a URL").1
    }

    /// Where it listens without TLS.
    pub(crate) fn plain_address(&self) -> &str {
        self.places.first().expect("an address")
    }

    /// From here on it is spoken to at its address `tls:…`, trusting this authority (PEM).
    pub(crate) fn through_tls(&mut self, authority: &[u8]) {
        let place = self.places.iter().find_map(|place| place.strip_prefix("tls:"));
        self.base = format!("https://{}", place.expect("an address with TLS"));
        self.trust = Some(Trust::public_and(authority).expect("an authority"));
    }

    /// An open connection, under TLS where that is spoken.
    pub(crate) async fn dial(&self) -> Box<dyn Duplex> {
        let plain = TcpStream::connect(self.address()).await.expect("connect");
        match &self.trust {
            None => Box::new(plain),
            Some(trust) => Box::new(trust.secure("127.0.0.1", plain).await.expect("a handshake")),
        }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a line of its log holds `text`.
    pub(crate) async fn said(&self, text: &str) {
        let heard = async || self.log.lock().unwrap().iter().any(|line| line.contains(text));
        assert!(comes_true(heard).await, "never said: {text}; {:#?}", self.log());
    }

    /// The process id, for signals.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory that it holds now, in MiB.
    pub(crate) fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("kilobytes") / 1024
    }

    /// Kill -9.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Sends a signal by its name: `TERM`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// SIGTERM; its exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        tokio::task::block_in_place(|| self.child.wait().expect("wait")).code()
    }

    /// Waits for its end; its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let mut ended = None;
        let over = comes_true(async || {
            ended = self.child.try_wait().expect("wait");
            ended.is_some()
        });
        assert!(over.await, "it does not end");
        ended.and_then(|status| status.code())
    }

    /// A request as it is; status and body.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> (u16, Bytes) {
        let mut request = http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        let client = self
            .trust
            .iter()
            .fold(client(), |client, trust| client.trusting(trust.clone()));
        let answer = client.send(request, PATIENCE, 64 << 20).await.expect("an answer");
        (answer.status.as_u16(), answer.body)
    }

    /// GET of JSON that must succeed.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.json(Method::GET, path, None).await
    }

    /// PUT of JSON that must succeed.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Value {
        self.json(Method::PUT, path, Some(body)).await
    }

    /// POST of JSON that must succeed.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        self.json(Method::POST, path, Some(body)).await
    }

    /// Publishes one structured event that must be accepted.
    pub(crate) async fn publish(&self, event: &Value) -> Value {
        let headers = [("content-type", "application/cloudevents+json")];
        let (status, body) = self.send(Method::POST, "/v1/events", &headers, event.to_string()).await;
        assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }

    /// Publishes so many events of this type in one batch; the first and the last offset. Their ids are `TYPE-N`, N
    /// counted from `first`, their data is `{"n":N}` and so much padding.
    pub(crate) async fn publish_many(&self, ty: &str, numbers: std::ops::Range<u64>, padding: usize) -> (u64, u64) {
        let padding = "x".repeat(padding);
        let event = |n: u64| json!({"specversion": "1.0", "id": format!("{ty}-{n}"), "source": "/test", "type": ty, "data": {"n": n, "padding": padding}});
        let batch = Value::Array(numbers.map(event).collect()).to_string();
        let headers = [("content-type", "application/cloudevents-batch+json")];
        let (status, body) = self.send(Method::POST, "/v1/events", &headers, batch).await;
        assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
        let answer: Value = serde_json::from_slice(&body).expect("JSON");
        let offset = |at: usize| answer["events"][at]["offset"].as_u64().expect("an offset");
        (
            offset(0),
            offset(answer["events"].as_array().expect("events").len() - 1),
        )
    }

    /// Asks for JSON until `enough` says so, whatever the status; fails the test if it never does.
    pub(crate) async fn until(&self, what: &str, path: &str, enough: impl Fn(&Value) -> bool) -> Value {
        let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| panic!("{path} is no JSON: {text}"));
        json(&self.until_text(what, path, |text| enough(&json(text))).await)
    }

    /// The same with `/metrics`: until this figure (with its labels) satisfies `enough`.
    pub(crate) async fn until_metric(&self, name: &str, enough: impl Fn(f64) -> bool) {
        let shown = |text: &str| metric(text, name).is_some_and(&enough);
        self.until_text(name, "/metrics", shown).await;
    }

    async fn until_text(&self, what: &str, path: &str, enough: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let asked = async || {
            let (_, body) = self.send(Method::GET, path, &[], "").await;
            last = String::from_utf8(body.to_vec()).expect("text");
            enough(&last)
        };
        if !comes_true(asked).await {
            panic!("never came true: {what}; {path} says {last}; log: {:#?}", self.log());
        }
        last
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let text = body.map(Value::to_string).unwrap_or_default();
        let (status, answer) = self
            .send(method, path, &[("content-type", "application/json")], text)
            .await;
        assert!(
            (200..300).contains(&status),
            "{path}: {status}: {}",
            String::from_utf8_lossy(&answer)
        );
        match answer.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&answer).expect("JSON"),
        }
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A figure in the text of `/metrics`, by its name with its labels.
fn metric(text: &str, name: &str) -> Option<f64> {
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(found.parse().unwrap_or_else(|_| panic!("{name} is no number: {found}")))
}

/// Keeps every line of the log; resolves at the line that says the hub is ready.
fn follow(child: &mut Child, log: Arc<Mutex<Vec<String>>>) -> oneshot::Receiver<()> {
    let (ready, waiting) = oneshot::channel();
    let mut ready = Some(ready);
    let lines = BufReader::new(child.stderr.take().expect("its log")).lines();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let is_ready = line.contains("busway is ready");
            log.lock().unwrap().push(line);
            if is_ready && let Some(ready) = ready.take() {
                let _ = ready.send(());
            }
        }
    });
    waiting
}
