//! Event buses: a name that Alibaba allows, and the hub's bus that stands for it.
//!
//! The hub's own names are narrower (lower case, 64 characters): a name that is not one of them stands for one that is
//! made of it with a hash, kept in the document. A bus that somebody made by publishing on it is there too, without a
//! document. Deleting a bus forgets its name; its events stay in the log until retention removes them.
//! Invariant: one name always means the same bus of the hub's, whether it was deleted and made again or not.

use serde_json::{Value, json};

use super::call::Call;
use super::fault::Fault;
use super::{arn, rules};
use crate::access::Scope;
use crate::compat::Door;
use crate::log::BusName;

const KIND: &str = "eventbridge.bus";
const DEFAULT: &str = "default";
const LONGEST_NAME: usize = 127;
const LONGEST_HUB_NAME: usize = 64;

/// The hub's bus that a name stands for, if there is one.
pub(super) fn resolve(door: &Door, name: &str) -> Option<BusName> {
    if name == DEFAULT {
        return Some(BusName::default_bus());
    }
    if let Some(document) = door.hub.document(KIND, name) {
        return BusName::parse(document.get("Bus")?.as_str()?).ok();
    }
    let bus = BusName::parse(name).ok()?;
    let own = bus == BusName::own();
    (own || door.hub.buses().contains(&bus)).then_some(bus)
}

pub(super) async fn create(call: &Call) -> Result<Value, Fault> {
    let name = call.params.required("EventBusName")?;
    check_name(name)?;
    let bus = hub_name(name);
    call.allow(Scope::Admin, &bus)?;
    let _changing = call.memory.changing.lock().await;
    let hub = &call.door.hub;
    if hub.document(KIND, name).is_some() {
        return Err(Fault::bus_exists(name));
    }
    let most = call.settings().limits.buses;
    if hub.documents(KIND).len() >= most {
        let text = format!("The count of event buses exceed the limit [{most}].");
        return Err(Fault::conflict("EventBusCountExceedLimit", text));
    }
    let document = json!({
        "Bus": bus.as_str(),
        "Description": call.params.text("Description")?.unwrap_or_default(),
        "Tags": call.params.structured("Tags")?.unwrap_or(json!([])),
        "CreateTimestamp": hub.clock().now().0,
    });
    hub.put_document(KIND, name, document).await?;
    Ok(json!({ "EventBusARN": arn::bus(call.settings(), name) }))
}

pub(super) async fn update(call: &Call) -> Result<Value, Fault> {
    let name = call.params.required("EventBusName")?;
    call.bus(name, Scope::Admin)?;
    let _changing = call.memory.changing.lock().await;
    let Some(document) = call.door.hub.document(KIND, name) else {
        return Err(Fault::conflict(
            "EventBusNameInvalid",
            format!("The event bus [{name}] can't be changed."),
        ));
    };
    let mut document = Value::clone(&document);
    if let (Some(object), true) = (document.as_object_mut(), call.params.is_given("Description")) {
        let text = call.params.text("Description")?.unwrap_or_default();
        object.insert("Description".to_owned(), text.into());
    }
    call.door.hub.put_document(KIND, name, document).await?;
    Ok(json!({}))
}

pub(super) async fn delete(call: &Call) -> Result<Value, Fault> {
    let name = call.params.required("EventBusName")?;
    let bus = call.bus(name, Scope::Admin)?;
    let _changing = call.memory.changing.lock().await;
    if !rules::of_bus(&call.door, name).is_empty() {
        let text = format!("The event bus [{name}] has rules. Delete them first.");
        return Err(Fault::conflict("EventBusRuleNotEmptyForDelete", text));
    }
    match call.door.hub.remove_document(KIND, name).await? {
        true => Ok(json!({})),
        false => {
            let text = format!("The event bus [{name}] can't be deleted: the hub's bus [{bus}] was not created here.");
            Err(Fault::conflict("EventBusNameInvalid", text))
        }
    }
}

pub(super) fn show(call: &Call) -> Result<Value, Fault> {
    let name = call.params.required("EventBusName")?;
    call.bus(name, Scope::Subscribe)
        .or_else(|_| call.bus(name, Scope::Publish))?;
    Ok(shown(call, name))
}

pub(super) fn list(call: &Call) -> Result<Value, Fault> {
    let window = call.params.window()?;
    let prefix = call.params.text("NamePrefix")?.unwrap_or_default();
    let names: Vec<String> = names(&call.door)
        .into_iter()
        .filter(|name| name.starts_with(prefix))
        .filter(|name| is_visible(call, name))
        .collect();
    let total = names.len();
    let (part, next) = window.cut(names);
    let buses: Vec<Value> = part.iter().map(|name| shown(call, name)).collect();
    Ok(json!({ "EventBuses": buses, "NextToken": next, "Total": total }))
}

fn is_visible(call: &Call, name: &str) -> bool {
    let bus = resolve(&call.door, name);
    bus.is_some_and(|bus| {
        [Scope::Subscribe, Scope::Publish]
            .into_iter()
            .any(|scope| call.who.may(scope, Some(bus.as_str())))
    })
}

/// Every bus by its name here: the default one, those that were created, those that events made.
fn names(door: &Door) -> Vec<String> {
    let created: Vec<String> = door.hub.documents(KIND).into_iter().map(|(name, _)| name).collect();
    let stand_ins: Vec<BusName> = created.iter().map(|name| hub_name(name)).collect();
    let others = door
        .hub
        .buses()
        .into_iter()
        .filter(|bus| *bus != BusName::own() && *bus != BusName::default_bus() && !stand_ins.contains(bus));
    let mut names: Vec<String> = created.into_iter().chain(others.map(|bus| bus.to_string())).collect();
    names.sort();
    names.insert(0, DEFAULT.to_owned());
    names
}

fn shown(call: &Call, name: &str) -> Value {
    let document = call.door.hub.document(KIND, name);
    let field = |field: &str| document.as_ref().and_then(|document| document.get(field)).cloned();
    json!({
        "EventBusName": name,
        "EventBusARN": arn::bus(call.settings(), name),
        "Description": field("Description").unwrap_or("".into()),
        "CreateTimestamp": field("CreateTimestamp").unwrap_or(0.into()),
        "Tags": field("Tags").unwrap_or(json!([])),
    })
}

/// The rule of names: of buses, rules and sources alike.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
        && !name.starts_with("eventbridge-reserved-")
}

fn check_name(name: &str) -> Result<(), Fault> {
    if name == DEFAULT {
        return Err(Fault::bus_exists(name));
    }
    if is_name(name) && hub_name(name) != BusName::own() {
        return Ok(());
    }
    let text = format!(
        "The event bus name [{name}] is invalid: 1 to {LONGEST_NAME} letters, digits, `-` and `_`, first a letter or digit, \
         not `{}` and not beginning with `eventbridge-reserved-`.",
        BusName::own()
    );
    Err(Fault::conflict("EventBusNameInvalid", text))
}

/// The hub's bus that stands for a name: the name itself if it may be one, else one that is made of it.
fn hub_name(name: &str) -> BusName {
    BusName::parse(name).unwrap_or_else(|_| {
        let hash = super::hash(&[name]);
        let plain: String = name
            .to_ascii_lowercase()
            .chars()
            .take(LONGEST_HUB_NAME - hash.len() - 1)
            .collect();
        BusName::parse(&format!("{plain}-{hash}")).unwrap_or_else(|_| BusName::default_bus())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_bus_of_its_own() {
        let long = "a".repeat(100);
        let names = ["orders", "Orders", "ORDERS", "orders_1", &long, &"a".repeat(101)];
        let buses: std::collections::BTreeSet<BusName> = names.iter().map(|name| hub_name(name)).collect();
        assert_eq!(buses.len(), names.len());
        assert_eq!(hub_name("orders").as_str(), "orders");
        assert_eq!(hub_name("Orders"), hub_name("Orders"));
        assert!(hub_name("Orders").as_str().starts_with("orders-"));
    }

    #[test]
    fn names_follow_the_rule() {
        for good in ["a", "A1", "0-x_y", &"a".repeat(127)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "_a",
            "a.b",
            "ä",
            "a b",
            "busway",
            "eventbridge-reserved-x",
            &"a".repeat(128),
        ] {
            assert_eq!(check_name(bad).unwrap_err().code, "EventBusNameInvalid", "{bad}");
        }
        assert_eq!(check_name("default").unwrap_err().code, "EventBusAlreadyExist");
    }
}
