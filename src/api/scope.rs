//! Which bus a path means: the one it names, or none; and whether who asks may have events forwarded to another.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use serde_json::Value;

use super::error::Problem;
use super::guard::forbidden;
use crate::access::{self, Principal};
use crate::error::Error;
use crate::hub::Hub;
use crate::log::BusName;
use crate::subscription::Subscription;

/// What the path names: the bus, and the thing on it.
#[derive(Debug)]
pub(super) struct Scope {
    /// `{bus}`, if the path has one.
    pub(super) named: Option<BusName>,
    /// The last other parameter: `{id}`, `{offset}`, `{name}`.
    pub(super) item: String,
    /// Who asks; none where nobody was.
    principal: Option<Principal>,
}

impl Scope {
    /// The bus that is meant.
    pub(super) fn bus(&self) -> BusName {
        self.named.clone().unwrap_or_else(BusName::default_bus)
    }

    /// Whether who asks may do this on that bus, and the path means it.
    pub(super) fn sees(&self, scope: access::Scope, bus: &BusName) -> bool {
        let may = |who: &Principal| who.may(scope, Some(bus.as_str()));
        self.named.as_ref().is_none_or(|named| named == bus) && self.principal.as_ref().is_none_or(may)
    }

    /// The same of the bus that a subscription is on. One that is gone is seen by who sees all.
    pub(super) fn sees_subscription(&self, hub: &Hub, scope: access::Scope, id: &str) -> bool {
        match hub.subscription(None, id) {
            Ok(found) => self.sees(scope, &found.bus),
            Err(_) => self.buses(scope).is_none(),
        }
    }

    /// The buses on which who asks may do this; none: on all.
    pub(super) fn buses(&self, scope: access::Scope) -> Option<Vec<String>> {
        self.principal.as_ref().and_then(|who| who.buses(scope))
    }

    /// Refuses a subscription on a bus that who asks for it may not read. One that is replaced stays where it is.
    pub(super) fn check_bus(&self, hub: &Hub, json: &Value) -> Result<(), Error> {
        let there = hub.subscription(None, &self.item).ok().map(|old| old.bus.to_string());
        let named = self.named.as_ref().map(BusName::to_string).or(there);
        let meant = named.or_else(|| json.get("bus").and_then(Value::as_str).map(str::to_owned));
        let meant = meant.unwrap_or_else(|| BusName::default_bus().to_string());
        let may = |who: &Principal| who.may(access::Scope::Subscribe, Some(&meant));
        match self.principal.as_ref().is_none_or(may) {
            true => Ok(()),
            false => Err(forbidden(access::Scope::Subscribe, Some(&meant))),
        }
    }

    /// Refuses a subscription that would publish where who asks for it may not: as a sink, or what it gives up. `old` is
    /// the one that a patch changes.
    pub(super) fn check_forwarding(&self, json: &Value, old: Option<&Subscription>) -> Result<(), Error> {
        let Some(who) = &self.principal else { return Ok(()) };
        let old = old.map(Subscription::to_json).unwrap_or_default();
        let of = |name: &str| json.get(name).or_else(|| old.get(name)).and_then(Value::as_str);
        let sink = of("sink").filter(|_| of("protocol") == Some("BUS"));
        let place = "/config/dead_letter";
        let dead = json.pointer(place).or_else(|| old.pointer(place));
        let dead = dead.and_then(|dead| dead.get("bus")?.as_str());
        let refused = sink
            .into_iter()
            .chain(dead)
            .find(|bus| !who.may(access::Scope::Publish, Some(bus)));
        refused.map_or(Ok(()), |bus| Err(forbidden(access::Scope::Publish, Some(bus))))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Error::invalid("invalid_path", "the path is not UTF-8 once decoded"))?;
        let mut scope = Self {
            named: None,
            item: String::new(),
            principal: parts.extensions.get().cloned(),
        };
        for (name, value) in &params {
            match name {
                "bus" => scope.named = Some(BusName::parse(value)?),
                _ => value.clone_into(&mut scope.item),
            }
        }
        Ok(scope)
    }
}
