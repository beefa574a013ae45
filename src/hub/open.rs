//! Opens a hub: log, store, plugins, delivery, in this order, and the tasks of its own.
//!
//! Why this order: the log's lock refuses a second hub before anything is touched; delivery needs all the others.
//! Invariant: a hub that fails to open leaves no task behind.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::ground::Ground;
use super::{Hub, Owners, Parts, Settings, life};
use crate::access::Access;
use crate::deliver::{self, Delivery};
use crate::error::{Error, Kind};
use crate::log::{BusName, EventLog, Offset};
use crate::metrics::Metrics;
use crate::net::{Client, Guard};
use crate::plugin::{self, Plugins};
use crate::subscription::{Kept, Store};
use crate::tasks::Tasks;
use crate::time::Clock;

/// What is opened in the data folder, and what that stands on.
type Files = (EventLog, Store, Kept, Ground);

/// How long what was started may take to end when a later step of opening fails.
const UNDO: Duration = Duration::from_secs(5);
/// Between two looks at what retention lets go.
const TRIM: Duration = Duration::from_secs(10);

impl Hub {
    /// Opens the store, loads the plugins, takes up delivery where it was.
    ///
    /// # Errors
    /// `store_unavailable` and its like: the data folder cannot be used, and why.
    pub async fn open(settings: Settings, clock: Clock) -> Result<Self, Error> {
        let own = Tasks::new();
        let owners = Owners {
            streams: Tasks::new(),
            delivery: Tasks::new(),
            plugins: Tasks::new(),
            log: Tasks::new(),
            own,
        };
        let ends = [&owners.delivery, &owners.plugins, &owners.own, &owners.log].map(Tasks::clone);
        let opened = wire(settings, clock, owners).await;
        if opened.is_err() {
            for owner in ends {
                owner.drain(UNDO).await;
            }
        }
        opened
    }
}

async fn wire(settings: Settings, clock: Clock, owners: Owners) -> Result<Hub, Error> {
    let metrics = Arc::new(Metrics::new());
    let (log, store, mut kept, ground) = open_files(&settings, &clock, &owners).await?;
    go_on_after(&log, &kept).await?;
    tell_kept(&log, &kept, &metrics);
    let documents = super::documents::Documents::of(std::mem::take(&mut kept.documents));
    let access = super::tokens::take_up(Access::new(settings.access, clock.clone()), &documents);
    let client = Client::new(Guard::new(settings.egress)).through(settings.proxies);
    let (notices, from_delivery) = mpsc::unbounded_channel();
    let (plugins, from_plugins) = open_plugins(settings.plugins, &client, &clock, &owners, &metrics).await?;
    let signer = deliver::push::Signer::new(settings.data.clone(), owners.own.clone());
    let changing = Arc::default();
    let parts = deliver::Parts {
        log: log.clone(),
        store: store.clone(),
        plugins: plugins.clone(),
        client: client.clone(),
        signer: signer.clone(),
        // Retries, breakers and rates wait as long as they should, whatever becomes of the time of day.
        clock: clock.steady(),
        tasks: owners.delivery.clone(),
        metrics: Arc::clone(&metrics),
        notices,
        changing: Arc::clone(&changing),
        bounds: settings.bounds,
    };
    let delivery = Delivery::start(parts, kept).await?;
    let (life, told) = life::Reporter::new();
    let hub = Hub(Arc::new(Parts {
        places: Arc::new(tokio::sync::Semaphore::new(settings.limits.streams)),
        limits: settings.limits,
        defaults: settings.delivery,
        changing,
        clock,
        access,
        metrics,
        log,
        store,
        client,
        signer,
        plugins,
        delivery,
        fans: super::fan::Fans::default(),
        life,
        misfits: super::misfit::Misfits::default(),
        trials: Default::default(),
        introduction: settings.introduction,
        waiting: Default::default(),
        retiring: Default::default(),
        documents,
        concerns: Default::default(),
        ground,
        filing: Default::default(),
        issuing: Default::default(),
        reviving: Default::default(),
        owners,
    }));
    set_going(&hub, life::Sources::new(told, from_plugins, from_delivery));
    Ok(hub)
}

async fn open_plugins(
    settings: plugin::Settings,
    client: &Client,
    clock: &Clock,
    owners: &Owners,
    metrics: &Arc<Metrics>,
) -> Result<(Plugins, mpsc::UnboundedReceiver<plugin::Notice>), Error> {
    let (notices, told) = mpsc::unbounded_channel();
    let (tasks, metrics) = (owners.plugins.clone(), Arc::clone(metrics));
    let plugins = Plugins::open(settings, client.clone(), clock.clone(), tasks, metrics, notices).await?;
    Ok((plugins, told))
}

/// A log that ends before what has been delivered is an older copy, or its disk has lost what it said it had: offsets
/// that are given out again would be taken for delivered.
async fn go_on_after(log: &EventLog, kept: &Kept) -> Result<(), Error> {
    let mut seen: BTreeMap<&BusName, Offset> = kept.floors.iter().map(|(bus, floor)| (bus, *floor)).collect();
    let buses: HashMap<_, _> = kept.subscriptions.iter().map(|one| (&one.id, &one.bus)).collect();
    // Of retries and not of cursors: a cursor may begin where nothing has been yet.
    for retry in &kept.retries {
        if let Some(bus) = buses.get(&retry.subscription) {
            let known = seen.entry(bus).or_default();
            *known = Offset(retry.offset.0 + 1).max(*known);
        }
    }
    for (bus, offset) in seen {
        log.go_on_from(bus, offset).await?;
    }
    Ok(())
}

fn tell_kept(log: &EventLog, kept: &Kept, metrics: &Metrics) {
    metrics
        .subscriptions
        .set(i64::try_from(kept.subscriptions.len()).unwrap_or(i64::MAX));
    info!(
        subscriptions = kept.subscriptions.len(),
        retries = kept.retries.len(),
        buses = log.buses().len(),
        "the store is open"
    );
}

/// Starts the tasks of the hub's own.
fn set_going(hub: &Hub, sources: life::Sources) {
    let tasks = &hub.0.owners.own;
    tasks.spawn(life::report(hub.clone(), tasks.clone(), sources));
    tasks.spawn(trim(hub.clone(), tasks.clone()));
    tasks.spawn(life::watch_strangers(hub.clone(), tasks.clone()));
    tasks.spawn(super::consent::keep_asking(hub.clone(), tasks.clone()));
    tasks.spawn(super::secrets::keep_retiring(hub.clone(), tasks.clone()));
    hub.0.life.tell(life::started());
}

async fn open_files(settings: &Settings, clock: &Clock, owners: &Owners) -> Result<Files, Error> {
    let (data, log_settings, clock, log_tasks) = (
        settings.data.clone(),
        settings.log.clone(),
        clock.clone(),
        owners.log.clone(),
    );
    let opening = owners.own.blocking(move || {
        create_folder(&data)?;
        let ground = Ground::of(&data, &clock);
        let log = EventLog::open(&data.join("log"), log_settings, clock, log_tasks)?;
        let (store, kept) = Store::open(&data.join("state.db"))?;
        // The hub's own bus comes with its first event anyway; from here on the log can say what it promises.
        log.end(&BusName::own())?;
        Ok((log, store, kept, ground))
    });
    opening.await.map_err(Error::internal)?
}

fn create_folder(data: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(data).map_err(|cause| {
        let text = format!("the data folder {} cannot be created", data.display());
        Error::new(Kind::Unavailable, "store_unavailable", text).with_cause(cause)
    })
}

/// Lets the log drop what retention lets go, now and then, and tells what was found damaged meanwhile.
async fn trim(hub: Hub, tasks: Tasks) {
    let mut told = Vec::new();
    loop {
        tokio::select! {
            () = tasks.stopping() => return,
            () = hub.0.clock.sleep(TRIM) => {}
        }
        if let Err(error) = hub.0.log.trim().await {
            warn!(reason = ?error, "retention could not drop old segments, will try again");
        }
        let damaged = hub.0.log.damaged();
        for news in damaged.iter().filter(|one| !told.contains(*one)) {
            hub.0.life.tell(life::damaged(news));
        }
        told = damaged;
    }
}
