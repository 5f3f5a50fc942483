//! How one entry of the index changes.

use std::collections::{BTreeMap, BTreeSet};

/// Whether an item's entries are inserted or removed. One function lists them for both, so the removed
/// entries are always the inserted ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Edit {
    Insert,
    Remove,
}

impl Edit {
    /// Some values of a set.
    pub(super) fn values<T: Ord>(self, set: &mut BTreeSet<T>, values: impl IntoIterator<Item = T>) {
        for value in values {
            match self {
                Self::Insert => set.insert(value),
                Self::Remove => set.remove(&value),
            };
        }
    }

    /// One value of the set at a key. Returns whether the key was added or removed with it.
    pub(in super::super) fn member<K: Ord + Clone, V: Ord + Clone>(
        self,
        map: &mut BTreeMap<K, BTreeSet<V>>,
        key: &K,
        value: &V,
    ) -> bool {
        match (self, map.get_mut(key)) {
            (Self::Insert, Some(set)) => {
                set.insert(value.clone());
                false
            }
            (Self::Insert, None) => {
                map.insert(key.clone(), BTreeSet::from([value.clone()]));
                true
            }
            (Self::Remove, Some(set)) => {
                set.remove(value);
                set.is_empty() && map.remove(key).is_some()
            }
            (Self::Remove, None) => false,
        }
    }

    /// The only value at a key.
    pub(super) fn only<K: Ord + Clone, V: Clone>(
        self,
        map: &mut BTreeMap<K, V>,
        key: &K,
        value: &V,
    ) {
        match self {
            Self::Insert => map.insert(key.clone(), value.clone()),
            Self::Remove => map.remove(key),
        };
    }

    /// How many items have a key.
    pub(super) fn count<K: Ord + Clone>(self, map: &mut BTreeMap<K, u32>, key: &K) {
        match (self, map.get_mut(key)) {
            (Self::Insert, Some(count)) => *count += 1,
            (Self::Insert, None) => {
                map.insert(key.clone(), 1);
            }
            (Self::Remove, Some(count)) => {
                *count -= 1;
                if *count == 0 {
                    map.remove(key);
                }
            }
            (Self::Remove, None) => {}
        }
    }

    /// An item's part of a sum.
    pub(in super::super) fn part(self, sum: &mut u64, part: u64) {
        match self {
            Self::Insert => *sum += part,
            Self::Remove => *sum -= part,
        }
    }
}
