//! Targets of the type `acs.eventbridge`: another bus of this hub's.

use super::super::fault::Fault;
use super::super::rule::Target;
use super::super::{arn, buses};
use super::{Params, Part, body};
use crate::compat::Door;

/// The sink of a target.
pub(super) fn sink(door: &Door, target: &Target) -> Result<Part, Fault> {
    let mut params = Params::of(target);
    let named = params
        .constant(&["EventBusName", "SinkEventBusName"])?
        .filter(|name| !name.is_empty());
    for ignored in ["RegionId", "AccountId", "AccountType", "RAMRoleName"] {
        // Where the bus is: here.
        params.constant(&[ignored])?;
    }
    let transform = body::transform(target, params.take(&["Body"]))?;
    params.end()?;
    let name = named
        .or_else(|| arn::bus_of(&target.endpoint))
        .ok_or_else(|| Fault::target(&target.id, "Its Endpoint must be the ARN of an event bus."))?;
    let bus = buses::resolve(door, name).ok_or_else(|| Fault::bus_missing(name))?;
    let mut part = Part::new();
    part.insert("protocol".to_owned(), "BUS".into());
    part.insert("sink".to_owned(), bus.as_str().into());
    part.insert("transform".to_owned(), transform);
    Ok(part)
}
