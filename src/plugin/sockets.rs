//! A guest's sockets: TCP to granted places, through the egress guard, and nothing else.
//!
//! WASI's own check sees addresses, and grants speak of names. So names are looked up here, only granted ones, through
//! the guard, and what they resolved to is remembered: an address may be dialled if a granted name led to it, or if
//! it is itself granted. (Rejected: `allow_ip_name_lookup`, which is all or nothing and bypasses the guard.)
//!
//! Invariant: no grant, no connection; never a listener, never UDP.
//! Invariant: every address is put to the guard at the time of the dial (by `net`), whatever was remembered.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::{tcp, tcp_create_socket};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, subscribe};

use super::allowance::Allowance;
use super::grants::{self, Allowed};
use super::guest_log::GuestLog;
use super::host::Host;
use crate::net;

/// Addresses that are remembered for one instance.
const KNOWN: usize = 1_000;

/// The names that one instance has looked up, and what may be dialled for it.
#[derive(Clone)]
pub(super) struct Names {
    pub(super) plugin: String,
    pub(super) allowed: Arc<Allowed>,
    /// The grants as the operator wrote them, for the line that would allow more.
    pub(super) granted: Vec<String>,
    pub(super) client: net::Client,
    pub(super) log: Arc<GuestLog>,
    pub(super) allowance: Arc<Allowance>,
    pub(super) known: Arc<Mutex<BTreeMap<IpAddr, Vec<String>>>>,
}

impl Names {
    /// Whether this address may be dialled now, as far as the grants and the call's allowance say.
    pub(super) fn may_dial(&self, address: SocketAddr) -> Result<(), ErrorCode> {
        let names = self.led_to(address.ip());
        if self.granted_names(address).is_empty() && !self.allowed.tcp(&literal(address.ip()), address.port()) {
            let host = names.into_iter().next().unwrap_or_else(|| literal(address.ip()));
            self.refuse(&format!("{host}:{}", address.port()));
            return Err(ErrorCode::AccessDenied);
        }
        if !self.allowance.request() {
            return Err(ErrorCode::NewSocketLimit);
        }
        match self.is_withheld(address) {
            // Not denied: the guest would say that a grant is missing.
            true => Err(ErrorCode::ConnectionRefused),
            false => Ok(()),
        }
    }

    /// The names that led to this address and whose port is granted: the guard judges by names too.
    pub(super) fn granted_names(&self, address: SocketAddr) -> Vec<String> {
        let mut names = self.led_to(address.ip());
        names.retain(|name| self.allowed.tcp(name, address.port()));
        names
    }

    /// Writes the connection down if the guest is observed; whether it may then not be made.
    fn is_withheld(&self, address: SocketAddr) -> bool {
        let Some(recorder) = self.log.recorder() else {
            return false;
        };
        recorder.count("tcp");
        let host = self.led_to(address.ip()).into_iter().next();
        let host = host.unwrap_or_else(|| literal(address.ip()));
        recorder.connection(format!("{host}:{}", address.port()));
        recorder.suppresses()
    }

    /// The granted names that led to an address.
    fn led_to(&self, address: IpAddr) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&address).cloned().unwrap_or_default()
    }

    fn refuse(&self, place: &str) {
        self.log.refused(
            &format!("tcp {place}"),
            &grants::line(&self.plugin, "tcp", &self.granted, place),
        );
    }

    /// Looks a granted name up, through the guard, and remembers where it leads.
    async fn resolve(self, name: String) -> Result<Vec<IpAddr>, ErrorCode> {
        let instead = self.log.recorder().and_then(|recorder| {
            recorder.count("resolve");
            recorder.instead_of_look_up()
        });
        let addresses = match instead {
            Some(address) => vec![address],
            None => self.look_up(&name).await?,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > KNOWN {
            // What it still dials it may look up again.
            known.clear();
        }
        for address in &addresses {
            let names = known.entry(*address).or_default();
            if !names.contains(&name) {
                names.push(name.clone());
            }
        }
        Ok(addresses)
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
        // The port says nothing here: it is checked at the dial.
        let found = self.client.guard().resolve(name, 0).await;
        let found = found.map_err(|error| match error {
            net::Error::Blocked(_) => ErrorCode::AccessDenied,
            _ => ErrorCode::NameUnresolvable,
        })?;
        Ok(found.iter().map(SocketAddr::ip).collect())
    }
}

/// As a grant writes it.
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(four) => four.to_string(),
        IpAddr::V6(six) => format!("[{six}]"),
    }
}

/// Puts our own name look-up and our own TCP in the place of WASI's.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<Host, Sockets>(linker, view)?;
    tcp::add_to_linker::<Host, Sockets>(linker, view)?;
    tcp_create_socket::add_to_linker::<Host, Sockets>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Closes what is left of WASI's own sockets.
pub(super) fn close_wasi(wasi: &mut WasiCtxBuilder) {
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
}

struct Sockets;

impl HasData for Sockets {
    type Data<'a> = View<'a>;
}

/// What sockets need of the host.
pub(super) struct View<'a> {
    pub(super) names: &'a Names,
    pub(super) table: &'a mut ResourceTable,
}

fn view(host: &mut Host) -> View<'_> {
    let (names, table) = host.sockets();
    View { names, table }
}

type Found = Result<std::vec::IntoIter<IpAddr>, ErrorCode>;

/// A look-up under way, then its answers. It stands in the table in the place of WASI's own stream: the guest's
/// handle is a number that only the functions here look up.
enum LookUp {
    Pending(Pin<Box<dyn Future<Output = Found> + Send>>),
    Done(Found),
}

#[wasmtime_wasi::async_trait]
impl Pollable for LookUp {
    async fn ready(&mut self) {
        if let Self::Pending(asked) = self {
            *self = Self::Done(asked.await);
        }
    }
}

impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(&mut self, _: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        // Asked of stream errors alone, and look-ups have no streams.
        Ok(None)
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

impl ip_name_lookup::Host for View<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        self.table.get(&network)?;
        let name = name.to_ascii_lowercase();
        if !self.names.allowed.name(&name) {
            self.names.refuse(&format!("{name}:PORT"));
            return Err(ErrorCode::AccessDenied.into());
        }
        if !self.names.allowance.request() {
            return Err(ErrorCode::TemporaryResolverFailure.into());
        }
        let asked = self.names.clone().resolve(name).map(|found| found.map(Vec::into_iter));
        let look_up = self.table.push(LookUp::Pending(Box::pin(asked)))?;
        Ok(Resource::new_own(look_up.rep()))
    }
}

impl ip_name_lookup::HostResolveAddressStream for View<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let look_up = self.table.get_mut(&own(&stream))?;
        if look_up.ready().now_or_never().is_none() {
            return Err(ErrorCode::WouldBlock.into());
        }
        match look_up {
            LookUp::Done(Ok(found)) => Ok(found.next().map(IpAddress::from)),
            LookUp::Done(Err(code)) => Err((*code).into()),
            LookUp::Pending(_) => Err(ErrorCode::WouldBlock.into()),
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, own(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<LookUp>::new_own(stream.rep()))?;
        Ok(())
    }
}

/// The same entry of the table, as what it is.
fn own(stream: &Resource<ResolveAddressStream>) -> Resource<LookUp> {
    Resource::new_borrow(stream.rep())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Guard, GuardSettings};
    use crate::plugin::recorder::Recorder;
    use crate::plugin::status::Figures;
    use crate::plugin::{Effect, Effects, Grants, Limits};
    use crate::time::{Clock, Timestamp};

    fn names(tcp: &[&str], guard: GuardSettings) -> Names {
        let granted: Vec<String> = tcp.iter().map(|&place| place.to_owned()).collect();
        let allowed = Allowed::parse(&Grants {
            tcp: granted.clone(),
            ..Grants::default()
        })
        .unwrap();
        let (limits, figures) = (Limits::default(), Arc::new(Figures::default()));
        let log = GuestLog::new("p", &limits, figures.clone(), Clock::manual(Timestamp(0)));
        Names {
            plugin: "p".to_owned(),
            allowed: Arc::new(allowed),
            granted,
            client: net::Client::new(Guard::new(guard)),
            allowance: Allowance::new(&limits, log.clone(), figures),
            log,
            known: Arc::default(),
        }
    }

    fn dials(names: &Names, address: &str) -> bool {
        names.may_dial(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn nothing_is_dialled_without_a_grant() {
        let none = names(&[], GuardSettings::default());
        assert!(!dials(&none, "127.0.0.1:25") && !dials(&none, "[::1]:25"));
        let one = names(&["127.0.0.1:25", "[::1]:26"], GuardSettings::default());
        assert!(dials(&one, "127.0.0.1:25") && dials(&one, "[::1]:26"));
        assert!(!dials(&one, "127.0.0.1:26") && !dials(&one, "127.0.0.2:25"));
    }

    #[test]
    fn a_call_dials_so_often() {
        let names = names(&["127.0.0.1:25"], GuardSettings::default());
        let dialled = (0..1_000).filter(|_| dials(&names, "127.0.0.1:25")).count();
        assert_eq!(dialled, Limits::default().requests);
    }

    #[tokio::test]
    async fn a_granted_name_leads_to_its_addresses_and_ports() {
        let names = names(&["localhost:587"], GuardSettings::default());
        assert!(!dials(&names, "127.0.0.1:587"), "nothing led there yet");
        let found = names.clone().resolve("localhost".to_owned()).await.unwrap();
        assert!(!found.is_empty());
        for address in found {
            assert!(dials(&names, &SocketAddr::new(address, 587).to_string()));
            assert!(!dials(&names, &SocketAddr::new(address, 25).to_string()));
        }
    }

    #[tokio::test]
    async fn observed_without_effects_it_dials_nothing_and_looks_nothing_up() {
        let recorder = Arc::new(Recorder::new(Effects::Suppressed));
        let mut names = names(&["mail.invalid:25"], GuardSettings::default());
        names.log = GuestLog::recorded("p", &Limits::default(), Clock::manual(Timestamp(0)), recorder.clone());
        let found = names.clone().resolve("mail.invalid".to_owned()).await.unwrap();
        let address = SocketAddr::new(found[0], 25);
        assert!(!dials(&names, &address.to_string()));
        assert!(!dials(&names, "127.0.0.1:26"), "not granted, and so no effect");
        let trace = recorder.take();
        let address = "mail.invalid:25".to_owned();
        assert_eq!(trace.effects, [Effect::Tcp { address }]);
        assert_eq!(trace.not_granted.len(), 1, "{trace:?}");
        assert_eq!((trace.host_calls["resolve"], trace.host_calls["tcp"]), (1, 1));
    }

    #[tokio::test]
    async fn the_guard_has_the_last_word() {
        let guard = GuardSettings {
            deny_private: true,
            ..GuardSettings::default()
        };
        let denied = names(&["localhost:587"], guard);
        assert_eq!(
            denied.clone().resolve("localhost".to_owned()).await,
            Err(ErrorCode::AccessDenied)
        );
        let dialled = denied.client.connect("127.0.0.1:587".parse().unwrap(), &[]).await;
        assert!(matches!(dialled, Err(net::Error::Blocked(_))));
    }
}
