//! Where a resource lies: what can overlap it lies at the same place, above it or below it.

use std::cmp::Ordering;
use std::sync::Arc;

use super::resource::{HostName, SlotName};

/// The place of a resource. In this order, everything below a path follows it without a gap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Path(PathPlace),
    Name(SlotName),
    Port(HostName, u16),
}

/// The folders that every path of a resource begins with; of a file, its whole name. Empty: the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPlace(pub(super) Arc<str>);

impl Place {
    /// Whether the other place is this one or lies below it.
    pub(super) fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(place), Self::Path(other)) => place.contains(other),
            _ => self == other,
        }
    }

    /// The places above this one, from the root down.
    pub(super) fn above(&self) -> impl Iterator<Item = Self> + '_ {
        let path = match self {
            Self::Path(PathPlace(path)) => &**path,
            Self::Name(_) | Self::Port(..) => "",
        };
        let root = (!path.is_empty()).then_some(0);
        let ends = path.match_indices('/').map(|(at, _)| at);
        let ends = root.into_iter().chain(ends);
        ends.map(|end| Self::Path(PathPlace(path[..end].into())))
    }
}

impl PathPlace {
    pub(super) fn contains(&self, other: &Self) -> bool {
        let below = |rest: &str| self.0.is_empty() || rest.is_empty() || rest.starts_with('/');
        other.0.strip_prefix(&*self.0).is_some_and(below)
    }
}

impl Ord for PathPlace {
    /// A slash comes before everything else, so that `a/b` stands right behind `a`, before `a-b`.
    /// Paths have no control characters, so no two of them are equal by this.
    fn cmp(&self, other: &Self) -> Ordering {
        let slash_first = |byte: u8| if byte == b'/' { 0 } else { byte };
        let own = self.0.bytes().map(slash_first);
        own.cmp(other.0.bytes().map(slash_first))
    }
}

impl PartialOrd for PathPlace {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::Path(PathPlace(text.into()))
    }

    #[test]
    fn what_is_below_a_path_follows_it_without_a_gap() {
        let paths = [
            "a-b", "a/b", "b", "a", "a/b/c", "", "a b", "a.b", "a/b-c", "aa",
        ];
        let mut places = paths.map(place);
        places.sort();
        for above in &places {
            let contains = places.iter().map(|it| above.contains(it));
            let runs: Vec<bool> = contains.collect();
            let first = runs.iter().position(|it| *it);
            assert_eq!(first.map(|at| &places[at]), Some(above));
            let count = runs.iter().filter(|it| **it).count();
            let run = runs.iter().skip_while(|it| !**it).take_while(|it| **it);
            assert_eq!(run.count(), count, "{above:?} in {places:?}");
        }
    }

    #[test]
    fn the_places_above_a_path_are_its_folders() {
        let above: Vec<Place> = place("a/b/c").above().collect();
        assert_eq!(above, ["", "a", "a/b"].map(place));
        assert_eq!(place("").above().count(), 0);
    }
}
