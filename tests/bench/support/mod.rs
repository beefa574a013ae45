//! What the end-to-end benches share: peers in processes of their own, load over real sockets, a table.
//!
//! Each bench lays the hub beside a peer (a handler that does nothing, a bare client) in one run, and prints ratios:
//! absolute figures move by half with the machine's neighbours. Peers are this same binary, started again with a
//! role, so that they cost what the hub costs: a process and a socket.
#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod load;
pub(crate) mod process;

use std::time::Instant;

/// Now, for measuring.
#[allow(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Now, for another process to subtract from its own.
#[allow(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
pub(crate) fn unix_nanos() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_nanos()
}

/// A number that no other event of this process has.
pub(crate) fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Runs `work` on a fresh multi-thread runtime.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

/// The value at a fraction (0.5, 0.99) of sorted values.
pub(crate) fn quantile(sorted: &[u64], fraction: f64) -> u64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * fraction) as usize).copied().unwrap_or(0)
}

/// A number with thousands separated.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The median of a few figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

/// A structured CloudEvent whose whole JSON has about `size` bytes; `id` makes it unique.
pub(crate) fn event(id: u64, size: usize) -> Vec<u8> {
    let head = format!(
        r#"{{"specversion":"1.0","id":"bench-{id}","source":"/bench","type":"com.example.order.created","subject":"order-{id}","datacontenttype":"application/json","data":{{"amount":{},"note":""#,
        id % 1000
    );
    let pad = size.saturating_sub(head.len() + 3);
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + pad, b'x');
    bytes.extend_from_slice(b"\"}}");
    bytes
}
