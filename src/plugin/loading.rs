//! One load, on a thread of its own: from a file, or from a component that is loaded already.
//!
//! Invariant: a file that changes while it is read is not loaded; it is looked at again once it rests.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;

use super::generation::Generation;
use super::load::{LARGEST, Load, Loader, Source};
use super::watch::Stamp;
use crate::digest::sha256;
use crate::tasks::Tasks;

/// What came of a load.
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) began: Instant,
    pub(super) digest: Option<String>,
    /// What the file was, if it came from one.
    pub(super) stamp: Option<Stamp>,
    pub(super) outcome: Outcome,
}

pub(super) enum Outcome {
    /// The bytes that are live already.
    Same,
    /// The bytes that were refused already.
    StillRefused,
    /// The file changed while it was read, or the hub stops: nothing is known of it.
    Moved,
    Good(Box<Generation>),
    /// `settings`: it is the operator's change that cannot be, not the file's.
    Refused {
        reason: String,
        settings: bool,
    },
}

/// The load of a file.
pub(super) struct FileLoad {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
    /// Digest of what is live.
    pub(super) live: Option<String>,
    /// Digest of what was refused last.
    pub(super) refused: Option<String>,
    /// Configs that what is live has taken, if what comes is to be measured by it.
    pub(super) taken: Vec<Arc<str>>,
    pub(super) loader: Arc<Loader>,
    pub(super) tasks: Tasks,
    pub(super) began: Instant,
}

impl FileLoad {
    pub(super) fn run(self, load: Load, runtime: &Handle) -> Loaded {
        let name = load.name.clone();
        let (digest, outcome) = match self.read() {
            Ok(Some(bytes)) => {
                let digest = sha256(&bytes);
                (Some(digest.clone()), self.take(load, digest, &bytes, runtime))
            }
            Ok(None) => (None, Outcome::Moved),
            Err(reason) => (
                None,
                Outcome::Refused {
                    reason,
                    settings: false,
                },
            ),
        };
        Loaded {
            name,
            began: self.began,
            digest,
            stamp: Some(self.stamp),
            outcome,
        }
    }

    /// The bytes; none if the file is not what was seen any more.
    fn read(&self) -> Result<Option<Vec<u8>>, String> {
        let unmoved = || Stamp::of(&self.path) == Some(self.stamp);
        if !unmoved() {
            return Ok(None);
        }
        let size = std::fs::metadata(&self.path).map_or(0, |found| found.len());
        if size > LARGEST {
            return Err(format!("the file has {size} bytes; plugins may have {LARGEST}"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        // It may grow meanwhile: then it is not what was seen.
        let read = File::open(&self.path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(unmoved().then_some(bytes)),
            Err(_) if !unmoved() => Ok(None),
            Err(error) => Err(format!("its file cannot be read: {error}")),
        }
    }

    fn take(&self, load: Load, digest: String, bytes: &[u8], runtime: &Handle) -> Outcome {
        if self.live.as_ref() == Some(&digest) {
            return Outcome::Same;
        }
        if self.refused.as_ref() == Some(&digest) {
            return Outcome::StillRefused;
        }
        let source = self
            .loader
            .source(&load.name, digest.clone(), &load.settings.grants, bytes);
        if self.tasks.is_stopping() {
            // The runtime may be gone by now, and nobody listens.
            return Outcome::Moved;
        }
        let made = source.and_then(|source| runtime.block_on(self.make(source, load)));
        match made {
            Ok(generation) => Outcome::Good(Box::new(generation)),
            Err(reason) => Outcome::Refused {
                reason,
                settings: false,
            },
        }
    }
}

impl FileLoad {
    /// A generation that takes at least some of the configs that the one before it took.
    async fn make(&self, source: Source, load: Load) -> Result<Generation, String> {
        let generation = self.loader.generation(source, load).await?;
        match generation.refuses_all(&self.taken).await {
            None => Ok(generation),
            Some(why) => Err(format!(
                "it does not take the config of any subscription that has used the plugin lately, and the generation \
                 before it did: {why}"
            )),
        }
    }
}

/// A component that is loaded, linked anew under other settings.
pub(super) fn relink(loader: &Loader, source: Source, load: Load, runtime: &Handle, began: Instant) -> Loaded {
    let (name, digest) = (load.name.clone(), Some(source.digest.clone()));
    let outcome = match runtime.block_on(loader.generation(source, load)) {
        Ok(generation) => Outcome::Good(Box::new(generation)),
        Err(reason) => Outcome::Refused { reason, settings: true },
    };
    Loaded {
        name,
        began,
        digest,
        stamp: None,
        outcome,
    }
}
