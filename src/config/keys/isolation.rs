//! The rows of what keeps one sink's trouble from the others: bounds that all share, and breakers.

use super::{Key, count, positive};
use crate::units::show_duration;

pub(super) const KEYS: &[Key] = &[
    key! { "delivery.in_flight", "delivery-in-flight", "COUNT",
    "Deliveries in flight at once, all subscriptions together; one of them gets at most half",
    |s, v| { s.bounds.in_flight = count(v, 1, 1_000_000)?; Ok(()) },
    |s| s.bounds.in_flight.to_string() },
    key! { "delivery.connections_per_host", "delivery-connections-per-host", "COUNT",
    "Deliveries in flight at once to one host and port, whoever subscribed there; one subscription gets at most half",
    |s, v| { s.bounds.connections_per_host = count(v, 1, 1_000_000)?; Ok(()) },
    |s| s.bounds.connections_per_host.to_string() },
    key! { "delivery.breaker_failures", "delivery-breaker-failures", "COUNT",
    "Failures in a row after which a sink is only probed; `0`: never",
    |s, v| { s.delivery.breaker.failures = u32::try_from(v.count(0, 10_000)?).unwrap_or(u32::MAX); Ok(()) },
    |s| s.delivery.breaker.failures.to_string() },
    key! { "delivery.breaker_probe", "delivery-breaker-probe", "DURATION",
    "From there to the first probe; the time between probes doubles",
    |s, v| { s.delivery.breaker.probe = positive(v)?; Ok(()) },
    |s| show_duration(s.delivery.breaker.probe) },
    key! { "delivery.breaker_probe_most", "delivery-breaker-probe-most", "DURATION",
    "The time between probes grows no longer than this",
    |s, v| { s.delivery.breaker.probe_most = positive(v)?; Ok(()) },
    |s| show_duration(s.delivery.breaker.probe_most) },
];
