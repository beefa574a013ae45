//! What readers have made of a record, kept beside it: made once for all who show it the same way.
//!
//! Why so: a thousand listeners get the same bytes. Rendering them anew for each was the larger half of what a stream
//! cost. The kept thing is found by its type, so that the log knows no front door; a map by name would have each door
//! make sure that nobody else uses its names.
//! Invariant: what is kept follows from the record alone, so it does not matter who made it, or that it is made again.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Things made of one record, one of each type.
#[derive(Default)]
pub(super) struct Memo(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    things: Vec<Arc<dyn Any + Send + Sync>>,
    /// Nothing is kept any more.
    over: bool,
}

impl Memo {
    /// What is kept of this type; made now if nothing is. Two who ask at once may both make it; one of them is kept.
    pub(super) fn once<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(kept) = self.lock().find() {
            return kept;
        }
        // Not under the lock: what makes one thing may ask for another.
        let made = Arc::new(make());
        let mut kept = self.lock();
        if let Some(earlier) = kept.find() {
            return earlier;
        }
        if !kept.over {
            kept.things.push(Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
        }
        made
    }

    /// Lets go of everything, and keeps nothing from now on.
    pub(super) fn close(&self) {
        *self.lock() = Kept {
            things: Vec::new(),
            over: true,
        };
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let found = self.things.iter().find(|thing| (***thing).is::<T>())?;
        Arc::clone(found).downcast().ok()
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memo({})", self.lock().things.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_made_once_until_it_is_forgotten() {
        let memo = Memo::default();
        assert_eq!(*memo.once(|| 1_u32), 1);
        assert_eq!(*memo.once(|| 2_u32), 1, "kept");
        assert_eq!(*memo.once(|| "text"), "text", "of another type");
        let nested = memo.once(|| vec![*memo.once(|| 3_u32)]);
        assert_eq!(*nested, [1], "one may be made of another");
        memo.close();
        assert_eq!(*memo.once(|| 4_u32), 4);
        assert_eq!(*memo.once(|| 5_u32), 5, "not kept any more");
    }
}
