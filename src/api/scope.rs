//! Which bus a path means: the one it names, or none.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::error::Problem;
use crate::error::Error;
use crate::log::BusName;

/// What the path names: the bus, and the thing on it.
#[derive(Debug)]
pub(super) struct Scope {
    /// `{bus}`, if the path has one.
    pub(super) named: Option<BusName>,
    /// The last other parameter: `{id}`, `{offset}`, `{name}`.
    pub(super) item: String,
}

impl Scope {
    /// The bus that is meant.
    pub(super) fn bus(&self) -> BusName {
        self.named.clone().unwrap_or_else(BusName::default_bus)
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
