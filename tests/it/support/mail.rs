//! A mail server: aiosmtpd in a process of its own, with letters that arrived and a script of what to refuse.
//!
//! `tests/run` puts it into `target/tools/python`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::PATIENCE;

/// A server on a free port of the loopback address, which calls itself `localhost`.
pub(crate) struct MailServer {
    process: Child,
    input: ChildStdin,
    said: watch::Receiver<Vec<Value>>,
    /// Where it listens.
    pub(crate) port: u64,
    /// The authority that its certificate is of.
    pub(crate) ca: String,
}

impl MailServer {
    /// Starts it with these arguments.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/tools/python/bin/python");
        assert!(
            python.exists(),
            "no mail server to test with: tests/run installs one into target/tools/python"
        );
        let mut process = Command::new(python)
            .arg(root.join("tests/it/support/smtp_server.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the mail server");
        let input = process.stdin.take().expect("its input");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let (say, said) = watch::channel(Vec::new());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).expect("JSON");
                say.send_modify(|said: &mut Vec<Value>| said.push(line));
            }
        });
        let mut server = Self {
            process,
            input,
            said,
            port: 0,
            ca: String::new(),
        };
        let first = server.wait_until("it listens", |said| !said.is_empty()).await.remove(0);
        server.port = first["port"].as_u64().expect("a port");
        first["ca"].as_str().expect("a certificate").clone_into(&mut server.ca);
        server
    }

    /// Tells it something of its script, and waits until it has heard.
    pub(crate) async fn tell(&mut self, what: Value) {
        let heard = self.count("did") + 1;
        writeln!(self.input, "{what}").expect("tell the mail server");
        self.wait_until("it heard", |said| count(said, "did") >= heard).await;
    }

    /// Has it answer a command with these words, one after the other.
    pub(crate) async fn refuse(&mut self, command: &str, answers: &[&str]) {
        self.tell(json!({"refuse": {command: answers}})).await;
    }

    /// The letters that arrived.
    pub(crate) fn letters(&self) -> Vec<Letter> {
        letters(&self.said.borrow())
    }

    /// Waits for so many letters.
    pub(crate) async fn wait_for(&self, letters_due: usize) -> Vec<Letter> {
        let enough = |said: &[Value]| count(said, "text") >= letters_due;
        letters(&self.wait_until(&format!("{letters_due} letters came"), enough).await)
    }

    /// Waits for so many connections.
    pub(crate) async fn wait_for_connections(&self, due: usize) {
        self.wait_until(&format!("{due} connections"), |said| count(said, "connected") >= due)
            .await;
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.count("connected")
    }

    fn count(&self, name: &str) -> usize {
        count(&self.said.borrow(), name)
    }

    async fn wait_until(&self, what: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut said = self.said.clone();
        let waited = tokio::time::timeout(PATIENCE, said.wait_for(|said| enough(said))).await;
        match waited {
            Ok(Ok(said)) => said.clone(),
            Ok(Err(_)) => panic!("the mail server ended before {what}"),
            Err(_) => panic!("the mail server: never came true: {what}; {:#?}", self.said.borrow()),
        }
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One letter that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Letter(Value);

impl Letter {
    /// Something of its delivery: `from`, `to`, `tls`, `login`, `hello`, `connection`.
    pub(crate) fn delivery(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// The values of its headers of this name, unfolded.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name}: ");
        let head = self.halves().0.replace("\r\n ", " ");
        let values = head.lines().filter_map(|line| line.strip_prefix(&prefix));
        values.map(str::to_owned).collect()
    }

    /// The value of its only header of this name.
    pub(crate) fn header(&self, name: &str) -> String {
        let mut values = self.headers(name);
        assert_eq!(values.len(), 1, "{name} in {}", self.halves().0);
        values.remove(0)
    }

    /// Its text, with the line ends of this system.
    pub(crate) fn body(&self) -> String {
        self.halves().1.replace("\r\n", "\n")
    }

    fn halves(&self) -> (&str, &str) {
        let text = self.0["text"].as_str().expect("a text");
        text.split_once("\r\n\r\n").expect("a head and a body")
    }
}

fn letters(said: &[Value]) -> Vec<Letter> {
    let letters = said.iter().filter(|line| line["text"].is_string());
    letters.cloned().map(Letter).collect()
}

fn count(said: &[Value], name: &str) -> usize {
    said.iter().filter(|line| !line[name].is_null()).count()
}
