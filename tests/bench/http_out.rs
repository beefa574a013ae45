//! `net::Client` beside a bare hyper connection, against a sink on loopback that answers 204: the limit and ours in
//! one run.
//!
//! 64 requests of 500 bytes at once, all from one thread. What counts is that thread's own CPU time a request, which
//! neighbours on the machine disturb less than the wall clock. Aim: at least 0.7 of the bare loop.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement: it reads the clock, prints, and may fail"
)]

use std::convert::Infallible;
use std::future::Future;
use std::time::{Duration, Instant};

use busway::net::{Client, Guard, GuardSettings};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

const AT_ONCE: usize = 64;
const REQUESTS: usize = 100_000;
const ROUNDS: usize = 5;

fn main() {
    let address = start_sink();
    let url = format!("http://{address}/hook");
    println!("{REQUESTS} requests of 500 bytes, {AT_ONCE} at once, median of {ROUNDS} rounds");
    let mut bare = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..ROUNDS {
        bare.push(measure(|| bare_round(address.clone())));
        ours.push(measure(|| client_round(url.clone())));
    }
    let (bare, ours) = (median(bare), median(ours));
    println!(
        "bare hyper  {:>8.0}/s  {:>6.2} µs of CPU a request",
        bare.0, bare.1
    );
    println!(
        "net::Client {:>8.0}/s  {:>6.2} µs of CPU a request",
        ours.0, ours.1
    );
    println!(
        "ours / bare: {:.2} by CPU, {:.2} by the clock",
        bare.1 / ours.1,
        ours.0 / bare.0
    );
}

/// Requests a second and CPU microseconds a request of one round on a thread of its own.
fn measure<F: Future<Output = ()>>(round: impl FnOnce() -> F) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (cpu, wall) = (cpu_time(), Instant::now());
    runtime.block_on(round());
    let (cpu, wall) = (cpu_time() - cpu, wall.elapsed());
    let requests = REQUESTS as f64;
    (
        requests / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / requests,
    )
}

async fn bare_round(address: String) {
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let socket = TcpStream::connect(&address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .unwrap();
        let address = address.clone();
        workers.spawn(driver_of(driver));
        workers.spawn(async move {
            for _ in 0..REQUESTS / AT_ONCE {
                let request = Request::post("/hook")
                    .header("host", &address)
                    .body(Full::new(body()))
                    .unwrap();
                sender.ready().await.unwrap();
                let response = sender.send_request(request).await.unwrap();
                response.into_body().collect().await.unwrap();
            }
        });
    }
    while workers.join_next().await.is_some() {}
}

async fn driver_of(driver: impl Future<Output = hyper::Result<()>>) {
    let _ = driver.await;
}

async fn client_round(url: String) {
    let client = Client::new(Guard::new(GuardSettings::default()));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, url) = (client.clone(), url.clone());
        workers.spawn(async move {
            for _ in 0..REQUESTS / AT_ONCE {
                let request = Request::post(&url).body(body()).unwrap();
                client
                    .send(request, Duration::from_secs(15), 1_024)
                    .await
                    .unwrap();
            }
        });
    }
    while workers.join_next().await.is_some() {}
}

fn body() -> Bytes {
    Bytes::from_static(&[b'x'; 500])
}

/// A sink on a thread of its own.
fn start_sink() -> String {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap().to_string())
                .unwrap();
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let serve = hyper::server::conn::http1::Builder::new();
                connections.spawn(serve.serve_connection(TokioIo::new(socket), service_fn(answer)));
            }
        });
    });
    told.recv().unwrap()
}

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    Ok(Response::builder().status(204).body(Empty::new()).unwrap())
}

/// The CPU time of this thread, where the kernel tells it; else the wall clock's.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        stat.split(' ')
            .next()
            .and_then(|ns| ns.parse().ok())
            .unwrap_or_default(),
    )
}

fn median(mut rounds: Vec<(f64, f64)>) -> (f64, f64) {
    rounds.sort_by(|a, b| a.1.total_cmp(&b.1));
    rounds[rounds.len() / 2]
}
