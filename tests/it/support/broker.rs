//! A RabbitMQ of the test's own: its node, ports, store and name server are in one folder and end with it.
//!
//! Invariant: nothing of the system's RabbitMQ or Erlang is touched: not its name server (epmd), cookie or plugins.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{PATIENCE, comes_true};

/// Where Debian has the scripts that need no particular user.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const RUN: &str = "run tests/run once, which installs it";

/// A broker on a free port of the loopback address.
pub(crate) struct Broker {
    folder: tempfile::TempDir,
    node: Option<Child>,
    port: u16,
    distribution: u16,
    names: u16,
}

impl Broker {
    /// Starts one, and waits until it takes connections.
    pub(crate) async fn start() -> Self {
        assert!(Path::new(SERVER).exists(), "rabbitmq-server is missing: {RUN}");
        let free: [TcpListener; 3] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [port, distribution, names] = free.each_ref().map(|one| one.local_addr().expect("its address").port());
        drop(free);
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("plugins", "[]."), ("rabbitmq.conf", "log.console = true\n")] {
            std::fs::write(folder.path().join(name), text).expect("write");
        }
        let mut broker = Self {
            folder,
            node: None,
            port,
            distribution,
            names,
        };
        broker.go_up().await;
        broker
    }

    /// Starts the node again, with what it kept.
    pub(crate) async fn go_up(&mut self) {
        let log = self.folder.path().join("console.log");
        let out = File::create(&log).expect("its log");
        let mut server = Command::new(SERVER);
        self.set(&mut server);
        let node = server
            .stdin(Stdio::null())
            .stderr(out.try_clone().expect("its log"))
            .stdout(out)
            .spawn();
        self.node = Some(node.expect("start the broker"));
        // It starts an Erlang system first: slower than anything else that the tests wait for.
        for _ in 0..3 {
            let started =
                async || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Server startup complete"));
            if comes_true(started).await {
                return;
            }
        }
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        panic!("the broker did not start within {:?}; it said:\n{said}", 3 * PATIENCE);
    }

    /// Stops the node as an operator would; the store stays.
    pub(crate) fn go_down(&mut self) {
        if let Some(mut node) = self.node.take() {
            let _ = Command::new("kill").arg(node.id().to_string()).status();
            let _ = node.wait();
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Binds a durable queue of this name to an exchange.
    pub(crate) fn bind(&self, exchange: &str, queue: &str, key: &str) {
        self.ask(&["bind", exchange, queue, key]);
    }

    /// Deletes an exchange.
    pub(crate) fn drop_exchange(&self, exchange: &str) {
        self.ask(&["drop-exchange", exchange]);
    }

    /// Reads so many messages of a queue, in order; no more than those must have been in it.
    pub(crate) fn read(&self, queue: &str, count: usize) -> Vec<Value> {
        let answer: Value = serde_json::from_str(&self.ask(&["read", queue, &count.to_string()])).expect("JSON");
        assert_eq!(answer["left"], 0, "{queue} held more than {count}");
        answer["messages"].as_array().expect("messages").clone()
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python: PathBuf = root.join("target/tools/python/bin/python");
        assert!(python.exists(), "{} is missing: {RUN}", python.display());
        let asked = Command::new(python)
            .arg(root.join("tests/it/support/amqp_client.py"))
            .args([&self.port.to_string(), "/"])
            .args(arguments)
            .output()
            .expect("run python");
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "{arguments:?}: {said}");
        String::from_utf8(asked.stdout).expect("text")
    }

    fn set(&self, command: &mut Command) {
        let folder = self.folder.path();
        let node = format!("busway{}@localhost", self.port);
        command
            .env("HOME", folder)
            .env("RABBITMQ_NODENAME", node)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("ERL_EPMD_PORT", self.names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", folder.join("store"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_SCHEMA_DIR", folder.join("schema"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.go_down();
        // The name server that the node started: it ends only when it is told, and knows no other nodes.
        let mut epmd = Command::new("epmd");
        self.set(&mut epmd);
        let _ = epmd
            .args(["-port", &self.names.to_string(), "-kill"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
