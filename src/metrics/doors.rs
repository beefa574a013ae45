//! What the front doors count: connections, handshakes, and the certificate that is shown.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// A label for how a TLS handshake ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Handshake {
    /// `ok`; `plain` (no TLS at all), `refused` (no agreement, or no certificate of the client's that is trusted),
    /// `late` (not done in time), `busy` (too many at once).
    pub result: &'static str,
}

/// A label for how a look at changed certificate files ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Renewal {
    /// `ok`, or `refused`: the old certificate stays.
    pub result: &'static str,
}

/// Connections in, and their TLS.
#[derive(Debug, Default, Clone)]
pub struct Doors {
    /// Connections open now.
    pub connections: Gauge,
    /// Connections that may be open at once.
    pub connection_slots: Gauge,
    /// Times that a new connection had to wait because all slots were taken.
    pub connections_waited: Counter,
    /// TLS handshakes, by how they ended.
    pub handshakes: Family<Handshake, Counter>,
    /// When the certificate in use expires, in seconds since 1970; 0 without TLS.
    pub certificate_expiry: Gauge,
    /// Certificates read anew.
    pub renewals: Family<Renewal, Counter>,
}

impl Doors {
    /// Counts a handshake.
    pub fn count_handshake(&self, result: &'static str) {
        self.handshakes.get_or_create(&Handshake { result }).inc();
    }

    /// Counts a look at changed files.
    pub fn count_renewal(&self, result: &'static str) {
        self.renewals.get_or_create(&Renewal { result }).inc();
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register("connections", "Connections open", self.connections.clone());
        r.register(
            "connection_slots",
            "Connections that may be open at once",
            self.connection_slots.clone(),
        );
        r.register(
            "connections_waited",
            "Times a connection had to wait for a slot",
            self.connections_waited.clone(),
        );
        r.register(
            "tls_handshakes",
            "TLS handshakes, by how they ended",
            self.handshakes.clone(),
        );
        r.register_with_unit(
            "tls_certificate_expiry",
            "When the listeners' certificate expires, since 1970; 0 without one",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
        r.register(
            "tls_certificate_reloads",
            "Changed certificates, by whether they were taken",
            self.renewals.clone(),
        );
    }
}
