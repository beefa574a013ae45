//! Values under small numbers that are used again: a slab, and a list that costs nothing while it holds one.

/// Values by number. A freed number is given out again.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(number as usize)
        {
            *slot = Some(value);
            return number;
        }
        self.slots.push(Some(value));
        // Four billion subscriptions do not fit in memory: the number cannot be cut off.
        (self.slots.len() - 1) as u32
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.slots.get_mut(number as usize)?.take();
        if value.is_some() {
            self.free.push(number);
        }
        value
    }

    pub(super) fn at(&self, number: u32) -> Option<&T> {
        self.slots.get(number as usize)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    /// All numbers given out are below this.
    pub(super) fn bound(&self) -> usize {
        self.slots.len()
    }
}

/// A list that is most often of one: then it takes no memory of its own.
#[derive(Debug, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T> Few<T> {
    /// Adds at the end, and says where that is.
    pub(super) fn push(&mut self, value: T) -> u32 {
        match std::mem::take(self) {
            Self::None => *self = Self::One(value),
            Self::One(first) => *self = Self::Many(vec![first, value]),
            Self::Many(mut values) => {
                values.push(value);
                *self = Self::Many(values);
            }
        }
        (self.as_slice().len() - 1) as u32
    }

    /// Takes out the value there; the last one moves into its place.
    pub(super) fn swap_remove(&mut self, at: u32) {
        match self {
            Self::None => {}
            Self::One(_) => *self = Self::None,
            Self::Many(values) => {
                if (at as usize) < values.len() {
                    values.swap_remove(at as usize);
                }
                if let (1, Some(_)) = (values.len(), values.first()) {
                    *self = values.pop().map_or(Self::None, Self::One);
                }
            }
        }
    }

    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(value) => std::slice::from_mut(value),
            Self::Many(values) => values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again() {
        let mut slots = Slots::default();
        let (a, b) = (slots.insert("a"), slots.insert("b"));
        assert_eq!(slots.remove(a), Some("a"));
        assert_eq!((slots.remove(a), slots.at(a)), (None, None));
        assert_eq!(slots.insert("c"), a);
        assert_eq!((slots.at(a), slots.at(b)), (Some(&"c"), Some(&"b")));
        assert_eq!(slots.bound(), 2);
        assert_eq!(slots.remove(9), None);
    }

    #[test]
    fn few_grows_and_shrinks() {
        let mut few = Few::default();
        assert_eq!([few.push(1), few.push(2), few.push(3)], [0, 1, 2]);
        few.swap_remove(0);
        assert_eq!(few.as_slice(), [3, 2]);
        few.swap_remove(1);
        assert!(matches!(few, Few::One(3)));
        few.swap_remove(0);
        assert!(few.as_slice().is_empty());
    }
}
