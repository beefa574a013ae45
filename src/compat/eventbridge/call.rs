//! One call, whichever surface it came by: who asks, what they gave, and every action by its name.
//!
//! The data plane's names are used (`createTargets`); `rpc` turns its own (`PutTargets`) into them. Answers hold the keys
//! that either surface shows, since clients leave alone what they do not know.
//! Invariant: every action asks [`Call::allow`] before it looks at anything.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fault::Fault;
use super::params::Params;
use super::settings::Settings;
use super::signature::Nonces;
use super::{buses, events, official, pattern, rules, sources, targets, traces};
use crate::access::{Principal, Scope};
use crate::compat::Door;
use crate::log::BusName;

/// What this system remembers between calls.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Held while a bus, rule or source is read, changed and written.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// Nonces of signatures that have been seen.
    pub(super) nonces: Nonces,
}

/// One call.
pub(super) struct Call {
    pub(super) door: Door,
    pub(super) memory: Arc<Memory>,
    pub(super) who: Principal,
    pub(super) params: Params,
    /// Where the caller is.
    pub(super) from: Origin,
}

/// Where a caller is, and how it called the hub.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    pub(super) address: Option<IpAddr>,
    /// `http://host:port`, as the caller wrote it.
    pub(super) base: String,
}

impl Call {
    pub(super) fn settings(&self) -> &Settings {
        &self.door.settings.eventbridge
    }

    /// Refuses who may not do this on that bus.
    pub(super) fn allow(&self, scope: Scope, bus: &BusName) -> Result<(), Fault> {
        match self.who.may(scope, Some(bus.as_str())) {
            true => Ok(()),
            false => Err(Fault::denied(
                "AccessDenied",
                format!(
                    "The access is denied: it needs the scope `{}` on the event bus [{bus}].",
                    scope.word()
                ),
            )),
        }
    }

    /// The hub's bus of this name, for somebody who may do this on it.
    pub(super) fn bus(&self, name: &str, scope: Scope) -> Result<BusName, Fault> {
        let found = buses::resolve(&self.door, name);
        // Who may not is told that first: what buses there are is not theirs to find out.
        match (found, BusName::parse(name)) {
            (Some(bus), _) => self.allow(scope, &bus).map(|()| bus),
            (None, Ok(bus)) => self.allow(scope, &bus).and(Err(Fault::bus_missing(name))),
            (None, Err(_)) => Err(Fault::bus_missing(name)),
        }
    }

    /// Does what the action of this name does.
    pub(super) async fn run(&self, action: &str) -> Result<Value, Fault> {
        match action {
            "createEventBus" => buses::create(self).await,
            "updateEventBus" => buses::update(self).await,
            "deleteEventBus" => buses::delete(self).await,
            "getEventBus" => buses::show(self),
            "listEventBuses" => buses::list(self),
            "createRule" => rules::create(self).await,
            "updateRule" => rules::update(self).await,
            "deleteRule" => rules::delete(self).await,
            "getRule" => rules::show(self),
            "listRules" => rules::list(self),
            "enableRule" => rules::switch(self, true).await,
            "disableRule" => rules::switch(self, false).await,
            "createTargets" => targets::put(self, targets::Present::Refused).await,
            "putTargets" => targets::put(self, targets::Present::Replaced).await,
            "deleteTargets" => targets::delete(self).await,
            "listTargets" => targets::list(self),
            "testEventPattern" => pattern::test(self),
            "queryEventByEventId" => events::by_id(self).await,
            "queryEventsByPeriod" => events::by_period(self).await,
            "queryEventsByEventIds" => events::by_ids(self).await,
            "queryEvent" => events::one(self).await,
            "queryEventTraces" => traces::of_event(self).await,
            "createEventSource" => sources::create(self).await,
            "updateEventSource" => sources::update(self).await,
            "deleteEventSource" => sources::delete(self).await,
            "listUserDefinedEventSources" => sources::list(self),
            "listAliyunOfficialEventSources" => Ok(official::sources(self)),
            "listPartnerEventSources" => Ok(json!({ "EventSources": [] })),
            other => Err(unknown(other)),
        }
    }
}

/// What is not served, told apart from what there never was.
fn unknown(action: &str) -> Fault {
    let lower = action.to_ascii_lowercase();
    if [
        "eventstreaming",
        "connection",
        "apidestination",
        "servicelinkedrole",
        "endpoint",
    ]
    .iter()
    .any(|part| lower.contains(part))
    {
        let text = format!(
            "The action [{action}] is not served by this hub: it has buses, rules, targets and webhook sources. A rule with \
             a target does what an event streaming does."
        );
        return Fault::conflict("OperationNotSupported", text);
    }
    Fault::new(
        404,
        "InvalidAction.NotFound",
        format!("Specified api is not found: there is no action [{action}]."),
    )
}
