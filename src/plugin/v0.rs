//! WIT version 0.1: `wit/v0`, its bindings, and how a component of it is linked and called.
//!
//! The imports are bound by wasmtime's `bindgen!`, so that a host function which strays from the WIT does not compile.
//! The exports are typed functions looked up by name: a world of bindgen's has either synchronous or asynchronous
//! calls, and `evaluate` needs both (engine.rs says why filters are called synchronously).
//!
//! Invariant: this file is the only one that knows version 0.1; the rest speaks of [`Linked`] and [`Guest`].

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, HasSelf, Instance, InstancePre, Lift, Linker, Lower, Resource,
    TypedFunc,
};
use wasmtime::{Engine, Store};

use self::bindings::busway::plugin::{events, kv, log};
use super::guest_log::Level;
use super::host::{self, Host};
use super::version::{About, Boxed, Guest, Linked};
use super::{Delivery, NotifyError, Verdict, World, sockets, tls};
use crate::event::Event;

/// The package version whose worlds this file speaks.
pub(super) const VERSION: &str = "0.1.0";

/// An event as guests hold it. It carries nothing: an instance sees one event at a time, and its host has that.
#[allow(unreachable_pub, reason = "bindgen exports it anew")]
pub struct EventHandle;

#[allow(
    missing_docs,
    unreachable_pub,
    reason = "generated from the WIT, which has the words"
)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/v0",
        interfaces: "import busway:plugin/events@0.1.0; import busway:plugin/log@0.1.0; import busway:plugin/kv@0.1.0;",
        with: { "busway:plugin/events.event": super::EventHandle },
        imports: { default: trappable },
    });
}

/// Links a component of this version. `waits`: it imports WASI, so that a call may wait in the host.
pub(super) fn link(
    engine: &Engine,
    component: &Component,
    world: World,
    waits: bool,
) -> wasmtime::Result<Box<dyn Linked>> {
    let mut linker = Linker::<Host>::new(engine);
    events::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    log::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    kv::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    if waits {
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        sockets::add_to_linker(&mut linker)?;
        tls::add_to_linker(&mut linker)?;
    }
    let exports = Exports::find(component, world)?;
    Ok(Box::new(LinkedV0 {
        pre: linker.instantiate_pre(component)?,
        exports,
        world,
        waits,
    }))
}

/// Where the exports are: found once, so that making an instance looks no name up.
#[derive(Clone, Copy)]
struct Exports {
    describe: ComponentExportIndex,
    init: ComponentExportIndex,
    /// `evaluate` or `notify`.
    call: ComponentExportIndex,
}

impl Exports {
    fn find(component: &Component, world: World) -> wasmtime::Result<Self> {
        let interface = format!("busway:plugin/{}@{VERSION}", world.as_str());
        let lost = |name: &str| wasmtime::format_err!("it has no export {name}");
        let within = component
            .get_export_index(None, &interface)
            .ok_or_else(|| lost(&interface))?;
        let find = |name: &str| {
            component
                .get_export_index(Some(&within), name)
                .ok_or_else(|| lost(name))
        };
        let call = match world {
            World::Filter => "evaluate",
            World::Notifier => "notify",
        };
        Ok(Self {
            describe: find("describe")?,
            init: find("init")?,
            call: find(call)?,
        })
    }
}

struct LinkedV0 {
    pre: InstancePre<Host>,
    exports: Exports,
    world: World,
    waits: bool,
}

impl Linked for LinkedV0 {
    fn world(&self) -> World {
        self.world
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn instantiate<'a>(&'a self, store: &'a mut Store<Host>) -> Boxed<'a, wasmtime::Result<Box<dyn Guest>>> {
        Box::pin(async move {
            let instance = match self.waits {
                true => self.pre.instantiate_async(&mut *store).await?,
                false => self.pre.instantiate(&mut *store)?,
            };
            let call = match self.world {
                World::Filter => Call::Evaluate(typed(&instance, store, &self.exports.call)?),
                World::Notifier => Call::Notify(typed(&instance, store, &self.exports.call)?),
            };
            let describe = typed(&instance, store, &self.exports.describe)?;
            let init = typed(&instance, store, &self.exports.init)?;
            Ok(Box::new(GuestV0 {
                waits: self.waits,
                describe,
                init,
                call,
            }) as Box<dyn Guest>)
        })
    }
}

fn typed<P, R>(
    instance: &Instance,
    store: &mut Store<Host>,
    export: &ComponentExportIndex,
) -> wasmtime::Result<TypedFunc<P, R>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    instance.get_typed_func(store, export)
}

type Init = TypedFunc<(String,), (Result<(), String>,)>;
type Evaluate = TypedFunc<(events::Head, Resource<EventHandle>), (Result<events::Verdict, String>,)>;
type Notify = TypedFunc<(events::Head, Resource<EventHandle>, events::Delivery), (Result<(), events::Failure>,)>;

struct GuestV0 {
    waits: bool,
    describe: TypedFunc<(), (events::About,)>,
    init: Init,
    call: Call,
}

enum Call {
    Evaluate(Evaluate),
    Notify(Notify),
}

impl Guest for GuestV0 {
    fn describe<'a>(&'a self, store: &'a mut Store<Host>) -> Boxed<'a, wasmtime::Result<About>> {
        Box::pin(async move {
            let (about,) = match self.waits {
                true => self.describe.call_async(&mut *store, ()).await?,
                false => self.describe.call(&mut *store, ())?,
            };
            Ok(About {
                summary: about.summary,
                config_schema: about.config_schema,
            })
        })
    }

    fn init<'a>(
        &'a self,
        store: &'a mut Store<Host>,
        config: &'a str,
    ) -> Boxed<'a, wasmtime::Result<Result<(), String>>> {
        Box::pin(async move {
            let config = (config.to_owned(),);
            let (answer,) = match self.waits {
                true => self.init.call_async(&mut *store, config).await?,
                false => self.init.call(&mut *store, config)?,
            };
            Ok(answer)
        })
    }

    fn evaluate(&self, store: &mut Store<Host>, event: &Arc<Event>) -> wasmtime::Result<Result<Verdict, String>> {
        let evaluate = self.call.evaluate()?;
        store.data_mut().show(event.clone());
        let (answer,) = evaluate.call(&mut *store, (head(event), Resource::new_borrow(0)))?;
        store.data_mut().hide();
        Ok(answer.map(Verdict::from))
    }

    fn evaluate_waiting<'a>(
        &'a self,
        store: &'a mut Store<Host>,
        event: &'a Arc<Event>,
    ) -> Boxed<'a, wasmtime::Result<Result<Verdict, String>>> {
        Box::pin(async move {
            let evaluate = self.call.evaluate()?;
            store.data_mut().show(event.clone());
            let (answer,) = evaluate
                .call_async(&mut *store, (head(event), Resource::new_borrow(0)))
                .await?;
            store.data_mut().hide();
            Ok(answer.map(Verdict::from))
        })
    }

    fn notify<'a>(
        &'a self,
        store: &'a mut Store<Host>,
        event: &'a Arc<Event>,
        delivery: Delivery,
    ) -> Boxed<'a, wasmtime::Result<Result<(), NotifyError>>> {
        Box::pin(async move {
            let Call::Notify(notify) = &self.call else {
                return Err(wasmtime::format_err!("it is no notifier"));
            };
            let delivery = events::Delivery {
                subscription: delivery.subscription,
                attempt: delivery.attempt,
                id: delivery.id,
            };
            store.data_mut().show(event.clone());
            let (answer,) = notify
                .call_async(&mut *store, (head(event), Resource::new_borrow(0), delivery))
                .await?;
            store.data_mut().hide();
            Ok(answer.map_err(NotifyError::from))
        })
    }
}

impl Call {
    fn evaluate(&self) -> wasmtime::Result<&Evaluate> {
        match self {
            Self::Evaluate(evaluate) => Ok(evaluate),
            Self::Notify(_) => Err(wasmtime::format_err!("it is no filter")),
        }
    }
}

fn head(event: &Event) -> events::Head {
    events::Head {
        id: event.id().to_owned(),
        source: event.source().to_owned(),
        type_: event.ty().to_owned(),
        subject: event.subject().map(str::to_owned),
    }
}

impl From<events::Verdict> for Verdict {
    fn from(verdict: events::Verdict) -> Self {
        match verdict {
            events::Verdict::Pass => Self::Pass,
            events::Verdict::Drop(reason) => Self::Drop(reason),
            events::Verdict::Replace(data) => Self::Replace(data.into()),
        }
    }
}

impl From<events::Failure> for NotifyError {
    fn from(failure: events::Failure) -> Self {
        let retry_after = failure.retry_after_ms.map(Duration::from_millis);
        Self::Failure {
            reason: failure.reason,
            retry: failure.retry,
            retry_after,
        }
    }
}

impl events::Host for Host {}

impl events::HostEvent for Host {
    fn attribute(&mut self, _: Resource<EventHandle>, name: String) -> wasmtime::Result<Option<String>> {
        self.count("attribute");
        Ok(self.event()?.attribute(&name).map(|value| value.into_owned()))
    }

    fn attributes(&mut self, _: Resource<EventHandle>) -> wasmtime::Result<Vec<(String, String)>> {
        self.count("attributes");
        Ok(host::attributes(self.event()?))
    }

    fn data(&mut self, _: Resource<EventHandle>) -> wasmtime::Result<Vec<u8>> {
        self.count("data");
        Ok(self.event()?.data().map(|data| data.bytes.to_vec()).unwrap_or_default())
    }

    fn at(&mut self, _: Resource<EventHandle>, pointer: String) -> wasmtime::Result<Option<String>> {
        self.count("at");
        Ok(host::at(self.event()?, &pointer))
    }

    fn drop(&mut self, _: Resource<EventHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl log::Host for Host {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.write(level, &message);
        Ok(())
    }
}

impl kv::Host for Host {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, String>> {
        self.count("kv");
        Ok(self.kv.open().and_then(|(space, _)| space.get(&key)))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        self.count("kv");
        Ok(self
            .kv
            .open()
            .and_then(|(space, most)| space.put(most, &key, Some(&value))))
    }

    fn compare_and_set(
        &mut self,
        key: String,
        old: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<bool, String>> {
        self.count("kv");
        Ok(self
            .kv
            .open()
            .and_then(|(space, most)| space.swap(most, &key, old.as_deref(), new.as_deref())))
    }

    fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), String>> {
        self.count("kv");
        Ok(self.kv.open().and_then(|(space, most)| space.put(most, &key, None)))
    }

    fn keys(&mut self, prefix: String) -> wasmtime::Result<Result<Vec<String>, String>> {
        self.count("kv");
        Ok(self.kv.open().and_then(|(space, _)| space.keys(&prefix)))
    }
}
