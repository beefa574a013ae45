//! The real program: started on a free port, ready when it says so, killed when dropped.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{PATIENCE, client};

/// A running hub.
pub(crate) struct HubProcess {
    child: Child,
    base: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl HubProcess {
    /// Starts a hub whose store is `folder/data` and whose plugins are `folder/plugins`.
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[] as &[&str]).await
    }

    /// The same, with more arguments to `serve`.
    pub(crate) async fn start_with(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Self {
        let ports = folder.join("ports");
        let mut child = Command::new(env!("CARGO_BIN_EXE_busway"))
            .current_dir(folder)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--data",
                "data",
                "--plugins",
                "plugins",
                "--ports-file",
                "ports",
            ])
            .args(arguments)
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
            panic!(
                "the hub did not get ready; it said:\n{}",
                log.lock().unwrap().join("\n")
            );
        }
        let base = std::fs::read_to_string(&ports).expect("the ports file");
        let base = base
            .lines()
            .next()
            .expect("an address")
            .trim()
            .trim_start_matches("http://")
            .to_owned();
        Self {
            child,
            base: format!("http://{base}"),
            log,
        }
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a line of its log holds `text`.
    pub(crate) async fn said(&self, text: &str) {
        let heard = async {
            while !self.log().iter().any(|line| line.contains(text)) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, heard)
            .await
            .unwrap_or_else(|_| panic!("never said: {text}; {:#?}", self.log()));
    }

    /// The process id, for signals.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kill -9.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// SIGTERM; its exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        let pid = self.pid().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .expect("kill")
                .success()
        );
        tokio::task::block_in_place(|| self.child.wait().expect("wait")).code()
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
        let answer = client().send(request, PATIENCE, 64 << 20).await.expect("an answer");
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
