//! Who belongs to whom: the parents that events have named, a bus.
//!
//! A container's event names its service and its node; that the service is part of a stack, and the node of a cluster,
//! was in the events of those. `parent=STACK` should bring the container's event too, so the hub remembers who was
//! whose child. Objects whose own events it has not seen have no known parents: then only those that the event itself
//! names count.
//!
//! Why from the log, and only once somebody asks: whoever filters by nothing or by type pays nothing; a restart
//! forgets nothing that the log still has; and no second store can disagree with it. The first listener that asks for
//! a parent has the newest [`LOOK_BACK`] records read (some tens of milliseconds); from then on each event teaches as
//! it comes.
//! Invariant: at most two generations of [`KEPT`] objects are remembered; those heard of longest ago go first.
//! Invariant: what an event teaches is known when it is judged itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::shown::Shown;
use crate::error::Error;
use crate::filter::Selector;
use crate::hub::Hub;
use crate::log::{BusName, Offset};
use crate::subscription::Start;

/// Records that are read back, at most.
const LOOK_BACK: u64 = 50_000;
/// Records a read.
const PAGE: usize = 1_000;
/// Objects of one generation.
const KEPT: usize = 20_000;
/// Ancestors of one object, at most: a loop or a crowd must not hold up a listener.
const FAMILY: usize = 256;

/// The hierarchy of one bus.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    tree: Mutex<Tree>,
    /// Held while the log is read back: those who come meanwhile wait for the same reading.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Tree {
    /// Objects heard of lately, with their parents.
    young: HashMap<Arc<str>, Arc<[Arc<str>]>>,
    /// And before that.
    old: HashMap<Arc<str>, Arc<[Arc<str>]>>,
    /// Everything before this was learnt from, or lies too far back.
    next: u64,
}

impl Lineage {
    /// Learns what the log has that was not heard: nobody may have listened for a while.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) async fn catch_up(&self, hub: &Hub, bus: &BusName) -> Result<(), Error> {
        let _reading = self.reading.lock().await;
        loop {
            let end = hub.end_of(bus)?.0;
            let from = self.tree().next.max(end.saturating_sub(LOOK_BACK));
            if from >= end {
                return Ok(());
            }
            let page = hub
                .read(bus, Start::Offset(Offset(from)), &Selector::default(), PAGE)
                .await?;
            for record in &page.records {
                self.learn(record.offset, &Shown::of(record));
            }
            let mut tree = self.tree();
            tree.next = tree.next.max(page.next.0).max(from.saturating_add(1));
        }
    }

    /// Learns from the event at `offset`, if that was not done already.
    pub(super) fn learn(&self, offset: Offset, shown: &Shown) {
        let mut tree = self.tree();
        if offset.0 < tree.next {
            return;
        }
        tree.next = offset.0.saturating_add(1);
        if !shown.parents.is_empty() {
            let parents = shown.parents.iter().map(|uri| Arc::from(uri.as_str())).collect();
            tree.put(shown.object.as_str().into(), parents);
        }
    }

    /// These parents, their parents, and so on.
    pub(super) fn family(&self, parents: &[String]) -> Vec<Arc<str>> {
        let mut tree = self.tree();
        let mut family: Vec<Arc<str>> = parents.iter().map(|uri| Arc::from(uri.as_str())).collect();
        let mut known: HashSet<Arc<str>> = family.iter().cloned().collect();
        let mut at = 0;
        while let Some(one) = family.get(at).cloned() {
            at += 1;
            for parent in tree.parents(&one).iter().flat_map(|parents| parents.iter()) {
                if family.len() < FAMILY && known.insert(Arc::clone(parent)) {
                    family.push(Arc::clone(parent));
                }
            }
        }
        family
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tree {
    fn put(&mut self, object: Arc<str>, parents: Arc<[Arc<str>]>) {
        if self.young.len() >= KEPT {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(object, parents);
    }

    /// The parents of an object; it counts as heard of.
    fn parents(&mut self, object: &str) -> Option<Arc<[Arc<str>]>> {
        if let Some(parents) = self.young.get(object) {
            return Some(Arc::clone(parents));
        }
        let (object, parents) = self.old.remove_entry(object)?;
        self.put(object, Arc::clone(&parents));
        Some(parents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree_of(pairs: &[(&str, &[&str])]) -> Lineage {
        let lineage = Lineage::default();
        for (object, parents) in pairs {
            let parents = parents.iter().map(|uri| Arc::from(*uri)).collect();
            lineage.tree().put((*object).into(), parents);
        }
        lineage
    }

    fn check(lineage: &Lineage, parents: &[&str], family: &[&str]) {
        let parents: Vec<String> = parents.iter().map(|uri| (*uri).to_owned()).collect();
        let found = lineage.family(&parents);
        assert_eq!(found.iter().map(|uri| &**uri).collect::<Vec<_>>(), family);
    }

    #[test]
    fn ancestors_are_those_that_were_heard_of() {
        let lineage = tree_of(&[
            ("/service", &["/stack"]),
            ("/node", &["/cluster"]),
            ("/container", &["/service", "/node"]),
        ]);
        check(
            &lineage,
            &["/container"],
            &["/container", "/service", "/node", "/stack", "/cluster"],
        );
        check(&lineage, &["/unknown"], &["/unknown"]);
        check(&lineage, &[], &[]);
    }

    #[test]
    fn a_loop_ends() {
        let lineage = tree_of(&[("/a", &["/b"]), ("/b", &["/a", "/b"])]);
        check(&lineage, &["/a"], &["/a", "/b"]);
    }

    #[test]
    fn a_crowd_and_a_long_life_are_bounded() {
        let crowd: Vec<String> = (0..1_000).map(|n| format!("/p{n}")).collect();
        let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
        let lineage = tree_of(&[("/a", &crowd), ("/kept", &["/asked"])]);
        assert_eq!(lineage.family(&["/a".to_owned()]).len(), FAMILY);
        for n in 0..5 * KEPT {
            lineage.tree().put(format!("/o{n}").into(), ["/x".into()].into());
            if n % (KEPT / 2) == 0 {
                check(&lineage, &["/kept"], &["/kept", "/asked"]);
            }
        }
        let tree = lineage.tree();
        assert!(tree.young.len() + tree.old.len() <= 2 * KEPT);
        assert!(
            !tree.young.contains_key("/a") && !tree.old.contains_key("/a"),
            "forgotten"
        );
    }
}
