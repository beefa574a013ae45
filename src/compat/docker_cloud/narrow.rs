//! The filters of a listener: `type`, `object`, `parent` (the Go client's `parents`).
//!
//! Each may come several times, and hold a list between commas; one of a key's values must fit, and every key that is
//! given. No value is no filter. Keys that are not known are left alone: they may be a client's credentials.
//! Invariant: `auth` and `error` frames do not come this way.

use std::collections::HashSet;

use url::form_urlencoded;

use super::lineage::Lineage;
use super::shown::{Shown, bare};
use crate::log::Record;

/// What a listener wants to hear of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Narrow {
    types: HashSet<String>,
    objects: HashSet<String>,
    parents: HashSet<String>,
}

impl Narrow {
    /// Reads the query of a handshake.
    pub(super) fn of(query: &str) -> Self {
        let mut narrow = Self::default();
        for (key, list) in form_urlencoded::parse(query.as_bytes()) {
            let values = match key.as_ref() {
                "type" => &mut narrow.types,
                "object" => &mut narrow.objects,
                "parent" | "parents" => &mut narrow.parents,
                _ => continue,
            };
            let given = list.split(',').map(|value| bare(value.trim()));
            values.extend(given.filter(|value| !value.is_empty()).map(str::to_owned));
        }
        narrow
    }

    /// Whether everything is wanted.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the hierarchy must be known.
    pub(super) fn asks_for_parents(&self) -> bool {
        !self.parents.is_empty()
    }

    /// Whether this record is wanted.
    pub(super) fn wants(&self, record: &Record, lineage: &Lineage) -> bool {
        let shown = Shown::of(record);
        if self.asks_for_parents() {
            lineage.learn(record.offset, &shown);
        }
        let fits = |wanted: &HashSet<String>, is: &str| wanted.is_empty() || wanted.contains(is);
        let related = || shown.family(lineage).iter().any(|one| self.parents.contains(&**one));
        fits(&self.types, &shown.ty) && fits(&self.objects, &shown.object) && (self.parents.is_empty() || related())
    }
}
