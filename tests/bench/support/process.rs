//! Processes that a bench starts: the hub, and this binary again as a peer. All are killed when dropped.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};

const ROLE: &str = "BUSWAY_BENCH_ROLE";

/// A process that dies with this value.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Resident memory now, bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap_or("0 kB");
        line.split_whitespace()
            .next()
            .and_then(|kb| kb.parse::<u64>().ok())
            .unwrap_or(0)
            * 1024
    }

    /// CPU time used so far, in clock ticks (100 a second).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        let field = |n: usize| {
            after
                .split_whitespace()
                .nth(n)
                .and_then(|t| t.parse::<u64>().ok())
                .unwrap_or(0)
        };
        field(11) + field(12)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the hub with its data in `data` and its plugins in `plugins`; returns when it is ready.
pub(crate) fn hub(data: &Path, plugins: &Path, extra: &[&str]) -> Process {
    let ports = data.join("ports");
    let _ = std::fs::remove_file(&ports);
    let mut child = Command::new(env!("CARGO_BIN_EXE_busway"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.join("store"))
        .arg("--plugins")
        .arg(plugins)
        .arg("--ports-file")
        .arg(&ports)
        .args(extra)
        .env("BUSWAY_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("start the hub");
    let address = loop {
        if let Ok(text) = std::fs::read_to_string(&ports)
            && let Some(address) = text
                .lines()
                .find_map(|line| line.trim().trim_start_matches("http://").parse().ok())
        {
            break address;
        }
        assert!(
            child.try_wait().expect("look at the hub").is_none(),
            "the hub ended before it was ready"
        );
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    Process { child, address }
}

/// Starts this binary again as the peer `role`; it prints its address on its first line.
pub(crate) fn peer(role: &str) -> Process {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start a peer");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output"))
        .read_line(&mut line)
        .expect("its address");
    Process {
        address: line.trim().parse().expect("an address"),
        child,
    }
}

/// If this process was started as a peer, serves that role and never returns.
pub(crate) fn serve_role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let seen = Arc::new(AtomicU64::new(0));
    let router = match role.as_str() {
        "noop" => Router::new().route("/v1/events", post(|_body: Bytes| async { StatusCode::ACCEPTED })),
        "sink" => Router::new()
            .route(
                "/",
                post(|State(seen): State<Arc<AtomicU64>>, _body: Bytes| async move {
                    seen.fetch_add(1, Ordering::Relaxed);
                    StatusCode::NO_CONTENT
                }),
            )
            .route(
                "/count",
                get(|State(seen): State<Arc<AtomicU64>>| async move { seen.load(Ordering::Relaxed).to_string() }),
            )
            .fallback(|_body: Bytes| async { StatusCode::NO_CONTENT })
            .with_state(seen),
        "clock" => clock(),
        "half" => half(),
        other => panic!("no such role: {other}"),
    };
    super::block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        println!("{}", listener.local_addr().expect("address"));
        axum::serve(
            axum::serve::ListenerExt::tap_io(listener, |io| drop(io.set_nodelay(true))),
            router,
        )
        .await
        .expect("serve");
    });
    std::process::exit(0);
}

/// A sink that answers 503 to every other request; `/count` says how many it took.
fn half() -> Router {
    type Seen = Arc<[AtomicU64; 2]>;
    async fn take(State(seen): State<Seen>, _body: Bytes) -> StatusCode {
        let [asked, taken] = &*seen;
        if asked.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        taken.fetch_add(1, Ordering::Relaxed);
        StatusCode::NO_CONTENT
    }
    Router::new()
        .route("/", post(take))
        .route(
            "/count",
            get(|State(seen): State<Seen>| async move { seen[1].load(Ordering::Relaxed).to_string() }),
        )
        .with_state(Seen::default())
}

/// A sink that knows from `ce-sent` (nanoseconds since 1970) how long each event took; `/taken` gives the sorted
/// microseconds since the last time somebody asked.
fn clock() -> Router {
    type Taken = Arc<std::sync::Mutex<Vec<u64>>>;
    async fn note(State(taken): State<Taken>, headers: axum::http::HeaderMap, _body: Bytes) -> StatusCode {
        let sent: u128 = headers["ce-sent"].to_str().expect("text").parse().expect("a time");
        let took = super::unix_nanos().saturating_sub(sent) / 1000;
        taken
            .lock()
            .expect("the list")
            .push(u64::try_from(took).expect("a short time"));
        StatusCode::NO_CONTENT
    }
    async fn tell(State(taken): State<Taken>) -> axum::Json<Vec<u64>> {
        let mut taken = std::mem::take(&mut *taken.lock().expect("the list"));
        taken.sort_unstable();
        axum::Json(taken)
    }
    Router::new()
        .route("/", post(note))
        .route("/taken", get(tell))
        .with_state(Taken::default())
}
