//! Which leases hold something at a place, so that no search looks at all of them.

use std::collections::BTreeSet;

use super::super::ids::LeaseId;
use super::super::leases::Lease;
use super::super::leases::sizes::Sizes;
use super::super::place::Place;
use super::super::resource::HostName;
use super::{Edit, Index};

/// What one resource of a lease contributes: its place, the lease, and which of its resources it is.
type HeldPlace = (Place, LeaseId, u32);

/// A resource of a lease.
pub(in super::super) type HeldAt = (LeaseId, u32);

/// The places of everything that leases hold, those of lapsed leases included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in super::super) struct HeldPlaces(BTreeSet<HeldPlace>);

impl HeldPlaces {
    /// What is held at a place and above it: all that could contain a resource there.
    pub(in super::super) fn at_or_above<'a>(
        &'a self,
        place: &'a Place,
    ) -> impl Iterator<Item = HeldAt> + 'a {
        let above = place.above().flat_map(|above| self.at(above));
        above.chain(self.at(place.clone()))
    }

    /// What is held at a place, above it and below it: all that could overlap a resource there.
    pub(in super::super) fn near<'a>(
        &'a self,
        place: &'a Place,
    ) -> impl Iterator<Item = HeldAt> + 'a {
        let above = place.above().flat_map(|above| self.at(above));
        let below = self.starting_at(place.clone());
        above.chain(visited(
            below.take_while(|(other, ..)| place.contains(other)),
        ))
    }

    /// What is held of the ports of a host, from one number to another.
    pub(in super::super) fn ports<'a>(
        &'a self,
        host: &HostName,
        from: u16,
        to: u16,
    ) -> impl Iterator<Item = HeldAt> + 'a {
        let first = self.starting_at(Place::Port(host.clone(), from));
        let last = Place::Port(host.clone(), to);
        visited(first.take_while(move |(place, ..)| *place <= last))
    }

    fn at(&self, place: Place) -> impl Iterator<Item = HeldAt> + '_ {
        let first = self.starting_at(place.clone());
        visited(first.take_while(move |(other, ..)| *other == place))
    }

    fn starting_at(&self, place: Place) -> impl Iterator<Item = &HeldPlace> {
        self.0.range((place, LeaseId(0), 0)..)
    }
}

fn visited<'a>(found: impl Iterator<Item = &'a HeldPlace>) -> impl Iterator<Item = HeldAt> {
    found.map(|(_, lease, at)| {
        #[cfg(test)]
        tests::VISITED.set(tests::VISITED.get() + 1);
        (*lease, *at)
    })
}

impl Index {
    /// What a lease holds, whether it lapsed or not.
    pub(super) fn edit_places(&mut self, lease: &Lease, edit: Edit) {
        let places = (0..).zip(&lease.resources);
        let places = places.map(|(at, resource)| (resource.place(), lease.id, at));
        edit.values(&mut self.held.0, places);
    }

    /// How much the principal of a lease holds, with all its seats.
    pub(super) fn edit_holdings(&mut self, lease: &Lease, edit: Edit) {
        let sizes = Sizes::of(&lease.resources);
        let principal = lease.agent.principal();
        let all = self
            .principal_holdings
            .entry(principal.clone())
            .or_default();
        all.edit(&sizes, edit);
        if *all == Sizes::default() {
            self.principal_holdings.remove(&principal);
        }
    }
}

#[cfg(test)]
pub(in super::super) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// Resources that searches of this thread looked at.
        pub(in super::super::super) static VISITED: Cell<u64> = const { Cell::new(0) };
    }
}
