//! Which leases hold something at a place, so that no search looks at all of them.

use std::collections::BTreeSet;

use super::super::ids::LeaseId;
use super::super::leases::Lease;
use super::super::leases::sizes::Sizes;
use super::super::place::Place;
use super::super::resource::{HostName, Resource};
use super::{Edit, Index};
use crate::planted::{Bug, is_on, visit};

/// What one resource of a lease contributes: its place, the lease, and which of its resources it is.
type HeldPlace = (Place, LeaseId, u32);

/// The same of a glob, with how the last name of each of its paths ends.
type HeldEnding = (Place, Box<str>, LeaseId, u32);

/// A resource of a lease.
pub(in super::super) type HeldAt = (LeaseId, u32);

/// The places of everything that leases hold, those of lapsed leases included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in super::super) struct HeldPlaces {
    plain: BTreeSet<HeldPlace>,
    /// Globs such as `**/*.rs`. Many may lie at one place, mostly the root, and few of them overlap one file.
    ended: BTreeSet<HeldEnding>,
}

impl HeldPlaces {
    /// What is held at the place of a resource and above it: all that could contain the resource.
    pub(in super::super) fn at_or_above(&self, wanted: &Resource) -> Vec<HeldAt> {
        let mut found = Vec::new();
        let place = wanted.place();
        for above in place.above() {
            self.at(&above, wanted, &mut found);
        }
        self.at(&place, wanted, &mut found);
        found
    }

    /// What is held at the place of a resource, above it and below it: all that could overlap the resource.
    pub(in super::super) fn near(&self, wanted: &Resource) -> Vec<HeldAt> {
        let mut found = Vec::new();
        let place = wanted.place();
        for above in place.above() {
            self.at(&above, wanted, &mut found);
        }
        let below = self.starting_at(place.clone());
        found.extend(visited(
            below.take_while(|(other, ..)| place.contains(other)),
        ));
        let ending = wanted.ending();
        let below = self
            .ended
            .range((place.clone(), "".into(), LeaseId(0), 0)..);
        let below = below.take_while(|(other, ..)| place.contains(other));
        let below = below.filter(|(_, other, ..)| ending.is_none_or(|it| *it == **other));
        found.extend(
            below
                .map(|(_, _, lease, at)| (*lease, *at))
                .inspect(|_| visit()),
        );
        found
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

    /// What is held exactly at a place and could overlap a resource there or below.
    fn at(&self, place: &Place, wanted: &Resource, found: &mut Vec<HeldAt>) {
        let plain = self.starting_at(place.clone());
        found.extend(visited(plain.take_while(|(other, ..)| other == place)));
        if self.ended.is_empty() || is_on(Bug::WildcardMissed) {
            return;
        }
        let ending = wanted.ending();
        let first = (
            place.clone(),
            ending.unwrap_or_default().into(),
            LeaseId(0),
            0,
        );
        let ended = self.ended.range(first..);
        let ended = ended
            .take_while(|(other, end, ..)| other == place && ending.is_none_or(|it| *it == **end));
        found.extend(
            ended
                .map(|(_, _, lease, at)| (*lease, *at))
                .inspect(|_| visit()),
        );
    }

    fn starting_at(&self, place: Place) -> impl Iterator<Item = &HeldPlace> {
        self.plain.range((place, LeaseId(0), 0)..)
    }

    fn edit(&mut self, lease: &Lease, edit: Edit) {
        for (at, resource) in (0..).zip(&lease.resources) {
            let place = resource.place();
            match resource.ending().filter(|_| resource.is_glob()) {
                Some(ending) => {
                    let ended = (place, ending.into(), lease.id, at);
                    edit.values(&mut self.ended, [ended]);
                }
                None => edit.values(&mut self.plain, [(place, lease.id, at)]),
            }
        }
    }
}

fn visited<'a>(found: impl Iterator<Item = &'a HeldPlace>) -> impl Iterator<Item = HeldAt> {
    found.map(|(_, lease, at)| {
        visit();
        (*lease, *at)
    })
}

impl Index {
    /// What a lease holds, whether it lapsed or not.
    pub(super) fn edit_places(&mut self, lease: &Lease, edit: Edit) {
        self.held.edit(lease, edit);
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
