//! The only place that builds things: refuse, open, wire, bind, ready; and the way back, drain.
//!
//! The order of the start: (1) settings that must not run are refused; (2) the hub is opened: store, plugins, delivery
//! (what would let everybody in is refused here: whether there are tokens, the store knows); (3) the front doors are wired
//! to it, and the older systems' own records brought in line; (4) addresses are bound, so that whoever can connect is
//! served; (5) the ports file is written. A failure undoes the steps before it, last first.
//!
//! The order of the stop: (1) no new connections, and open ones end after the request at hand; (2) streams say goodbye;
//! (3) deliveries in flight end; (4) plugins, log and store close; (5) sockets and the ports file go. All within the
//! drain timeout; what is cut off has not been acknowledged and is delivered after the next start.
//!
//! `bind` binds an address, `tls` secures it, `accept` serves its connections; `reload` takes up a changed config.
//!
//! Why so: signals, the log's subscriber and the exit code belong to the process, so to `cli/serve.rs`; two servers run
//! in one test, and the demo runs one beside its sinks.

mod accept;
mod bind;
pub mod reload;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::service::TowerToHyperService;
use tokio::sync::Notify;

pub use accept::{ConnectionLimits, accept};
pub use bind::{Bound, bind};

use tls::renewal::{Files, Renewal};

use crate::access;
use crate::config::value::Address;
use crate::config::{ListenSettings, Settings, check};
use crate::error::{Error, Kind};
use crate::hub::{self, Hub};
use crate::tasks::Tasks;
use crate::time::Clock;
use crate::{api, compat, plugin};

/// A hub and its front doors, serving.
pub struct Server {
    hub: Hub,
    addresses: Vec<Address>,
    ports_file: Option<PathBuf>,
    connections: Tasks,
    /// Told when certificates are to be looked at now.
    renew: Arc<Notify>,
    clock: Clock,
}

impl Server {
    /// Starts a hub with these settings; returns when it is ready.
    ///
    /// # Errors
    /// Settings that must not run, a store that does not open, an address that cannot be bound.
    pub async fn start(settings: &Settings, clock: Clock) -> Result<Self, Error> {
        check::refuse(settings).map_err(|refused| Error::invalid("settings_refused", refused.to_string()))?;
        let hub = Hub::open(hub_settings(settings), clock.clone()).await?;
        let asked = check::Asked::by_tokens(!hub.access().is_open());
        let refused = check::refuse_strangers(settings, asked);
        let mut server = Self {
            hub,
            addresses: Vec::new(),
            ports_file: None,
            connections: Tasks::new(),
            renew: Arc::default(),
            clock,
        };
        let opened = match refused {
            Ok(()) => server.open_doors(settings).await,
            Err(refused) => Err(Error::invalid("settings_refused", refused.to_string())),
        };
        match opened {
            Ok(()) => Ok(server),
            Err(error) => {
                server.drain(settings.listen.drain_timeout).await;
                Err(error)
            }
        }
    }

    /// Where it listens, ports filled in.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The hub behind the doors.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Looks at the certificate's files now; a pair that does not fit is refused, and the old one goes on.
    pub fn renew_certificate(&self) {
        self.renew.notify_one();
    }

    /// Stops in order; `false` if the deadline cut something off.
    pub async fn drain(self, deadline: Duration) -> bool {
        let began = self.clock.instant();
        self.connections.stop();
        self.hub.stop();
        let doors = self.connections.drain(deadline).await;
        let left = deadline.saturating_sub(began.elapsed());
        let hub = self.hub.drain(left).await;
        for address in &self.addresses {
            if let Address::Unix(path) = address {
                remove(path);
            }
        }
        self.ports_file.iter().for_each(remove);
        doors && hub
    }

    /// Binds all addresses, and looks after what those with TLS show.
    async fn bind(&mut self, listen: &ListenSettings) -> Result<Vec<Bound>, Error> {
        let tls = tls_files(listen)
            .map(|files| Renewal::begin(files, &self.hub))
            .transpose()?;
        let shown = tls.as_ref().map(|renewal| Arc::clone(&renewal.tls));
        let mut doors = Vec::new();
        for address in &listen.addresses {
            let bound = bind(address, shown.as_ref()).await?;
            self.addresses.push(bound.address.clone());
            doors.push(bound);
        }
        let of = |is: fn(&Address) -> bool| self.addresses.iter().find(|address| is(address)).and_then(Address::url);
        if let Some(own) = of(|address| !address.is_tls()).or_else(|| of(Address::is_tls)) {
            self.hub.signer().set_address(&own);
        }
        if let Some(renewal) = tls {
            let tasks = self.connections.clone();
            self.connections.spawn(renewal.keep(Arc::clone(&self.renew), tasks));
        }
        Ok(doors)
    }

    async fn open_doors(&mut self, settings: &Settings) -> Result<(), Error> {
        let listen = &settings.listen;
        // Targets that call back do it by the name that they were given.
        let called_back = settings.webhooks.host();
        let names: Arc<[String]> = listen.hosts.iter().cloned().chain(called_back).collect();
        let limits = ConnectionLimits {
            slots: Arc::new(tokio::sync::Semaphore::new(listen.connections)),
            header_timeout: listen.header_timeout,
            header_size: listen.header_size,
            counts: self.hub.metrics().doors.clone(),
        };
        let slots = i64::try_from(listen.connections).unwrap_or(i64::MAX);
        limits.counts.connection_slots.set(slots);
        let access = Arc::clone(self.hub.access());
        let door = compat::Door {
            hub: self.hub.clone(),
            access: Arc::clone(&access),
            settings: Arc::new(settings.compat.clone()),
            tasks: self.connections.clone(),
            changing: Arc::default(),
        };
        compat::start(&door).await?;
        let beside = compat::router(door);
        let room = api::Room::new(settings.limits.body_bytes);
        for bound in self.bind(listen).await? {
            let tasks = self.connections.clone();
            let own = api::Settings {
                names: bound.address.is_loopback().then(|| names.clone()),
                access: Arc::clone(&access),
                beside: beside.clone(),
                tutum: settings.compat.docker_cloud.on,
                rpc: settings.compat.eventbridge.on,
                room: room.clone(),
                ..api::Settings::default()
            };
            let service = TowerToHyperService::new(api::router_with(self.hub.clone(), own));
            let serving = accept(bound, service, limits.clone(), tasks);
            self.connections.spawn(serving);
        }
        if let Some(path) = &listen.ports_file {
            write_ports(path, &self.addresses)?;
            self.ports_file = Some(path.clone());
        }
        Ok(())
    }
}

/// The files of TLS, if an address needs them.
fn tls_files(listen: &ListenSettings) -> Option<Files> {
    listen.addresses.iter().find(|address| address.is_tls())?;
    Some(Files {
        certificate: listen.tls_certificate.clone()?,
        key: listen.tls_key.clone()?,
        client_ca: listen.tls_client_ca.clone(),
    })
}

/// The settings as the hub takes them.
fn hub_settings(settings: &Settings) -> hub::Settings {
    hub::Settings {
        data: settings.data.dir.clone(),
        log: settings.log.clone(),
        plugins: plugin::Settings {
            dir: settings.data.plugins.clone(),
            cache: settings.data.dir.join("plugin-cache"),
            kv: Some(settings.data.dir.join("plugin-kv")),
            plugins: settings.plugins.clone(),
        },
        access: access::Settings {
            accounts: settings.accounts.clone(),
            failures: settings.listen.auth_failures.map(access::Pace::of),
        },
        egress: settings.egress.clone(),
        proxies: settings.proxies.clone(),
        delivery: settings.delivery.clone(),
        limits: settings.limits.clone(),
        bounds: settings.bounds,
        introduction: settings.webhooks.clone(),
    }
}

/// Written beside and renamed: who waits for the file never reads half of it.
fn write_ports(path: &PathBuf, addresses: &[Address]) -> Result<(), Error> {
    let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    let beside = path.with_extension("new");
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|cause| {
        let message = format!("the ports file {} cannot be written: {cause}", path.display());
        Error::new(Kind::Unavailable, "ports_file_not_written", message).with_cause(cause)
    })
}

fn remove(path: &PathBuf) {
    if let Err(cause) = std::fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %cause, "a file of this run was not removed");
    }
}
