//! Records of the front doors' own: rules, buses, listeners, callbacks. The hub keeps them and reads nothing into them.
//!
//! Why here and not in files of theirs: what stands for a subscription must be as durable as the subscription is.
//! Invariant: a document that a caller was told of is on disk; reading one never waits for the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde_json::Value;

use crate::error::Error;
use crate::hub::Hub;

/// All documents, as they are on disk: by kind, then by key.
#[derive(Debug, Default)]
pub(super) struct Documents(RwLock<Shelves>);

type Shelves = BTreeMap<String, BTreeMap<String, Arc<Value>>>;

impl Documents {
    /// What was kept.
    pub(super) fn of(kept: Vec<(String, String, Value)>) -> Self {
        let mut shelves = Shelves::new();
        for (kind, key, value) in kept {
            shelves.entry(kind).or_default().insert(key, Arc::new(value));
        }
        Self(RwLock::new(shelves))
    }

    /// All of a kind, by key.
    pub(super) fn of_kind(&self, kind: &str) -> Vec<(String, Arc<Value>)> {
        let shelves = self.read();
        let shelf = shelves.get(kind).into_iter().flatten();
        shelf.map(|(key, value)| (key.clone(), Arc::clone(value))).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Shelves> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, kind: &str, key: &str, value: Option<Value>) {
        let mut shelves = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves.entry(kind.to_owned()).or_default();
        match value {
            Some(value) => drop(shelf.insert(key.to_owned(), Arc::new(value))),
            None => drop(shelf.remove(key)),
        }
    }
}

impl Hub {
    /// All documents of a kind, by key.
    pub fn documents(&self, kind: &str) -> Vec<(String, Arc<Value>)> {
        self.0.documents.of_kind(kind)
    }

    /// One document.
    pub fn document(&self, kind: &str, key: &str) -> Option<Arc<Value>> {
        self.0.documents.read().get(kind)?.get(key).cloned()
    }

    /// Writes a document, new or changed; returns once it is on disk.
    ///
    /// # Errors
    /// `stopping`, `store_unavailable`: nothing was written.
    pub async fn put_document(&self, kind: &str, key: &str, value: Value) -> Result<(), Error> {
        self.refuse_when_stopping()?;
        // Readers see writes in the order in which the disk has them.
        let _writing = self.0.filing.lock().await;
        self.0.store.put_document(kind, key, Some(&value)).await?;
        self.0.documents.set(kind, key, Some(value));
        Ok(())
    }

    /// Removes a document; whether it was there.
    ///
    /// # Errors
    /// As [`Hub::put_document`].
    pub async fn remove_document(&self, kind: &str, key: &str) -> Result<bool, Error> {
        self.refuse_when_stopping()?;
        let _writing = self.0.filing.lock().await;
        if self.document(kind, key).is_none() {
            return Ok(false);
        }
        self.0.store.put_document(kind, key, None).await?;
        self.0.documents.set(kind, key, None);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::hub::tests::open;

    #[tokio::test]
    async fn documents_outlive_the_hub() {
        let folder = tempfile::tempdir().unwrap();
        let hub = open(folder.path()).await;
        hub.put_document("rule", "b", json!({"n": 1})).await.unwrap();
        hub.put_document("rule", "a", json!({"n": 2})).await.unwrap();
        hub.put_document("rule", "b", json!({"n": 3})).await.unwrap();
        hub.put_document("bus", "a", json!(null)).await.unwrap();
        assert!(hub.remove_document("bus", "a").await.unwrap());
        assert!(!hub.remove_document("bus", "a").await.unwrap());
        hub.stop();
        hub.drain(std::time::Duration::from_secs(10)).await;
        let hub = open(folder.path()).await;
        let found: Vec<_> = hub
            .documents("rule")
            .into_iter()
            .map(|(key, value)| (key, value["n"].clone()))
            .collect();
        assert_eq!(found, [("a".to_owned(), json!(2)), ("b".to_owned(), json!(3))]);
        assert_eq!(hub.document("bus", "a"), None);
    }
}
