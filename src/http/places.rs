//! The places of a listener: how many connections it has at once, and how many of them one source.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who may still come.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    per_source_max: usize,
    /// Connections of each source.
    taken: Mutex<BTreeMap<IpAddr, usize>>,
}

/// One connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    source: IpAddr,
}

impl Places {
    pub(super) fn new(max: usize, per_source_max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            per_source_max,
            taken: Mutex::default(),
        })
    }

    /// A place for a connection, or why there is none.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Place, &'static str> {
        let source = source(peer);
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= self.max {
            return Err("connections_max");
        }
        let of_source = taken.entry(source).or_default();
        if *of_source >= self.per_source_max {
            return Err("connections_per_source_max");
        }
        *of_source += 1;
        Ok(Place {
            places: Arc::clone(self),
            source,
        })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(of_source) = taken.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

/// One IPv4 address, or an IPv6 network of 64 bits, as the firewall counts.
pub(super) fn source(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(places: &Arc<Places>, peer: &str, refused: Option<&str>) -> Option<Place> {
        let taken = places.take(peer.parse().expect("an address"));
        assert_eq!(taken.as_ref().err().copied(), refused, "{peer}");
        taken.ok()
    }

    #[test]
    fn one_source_leaves_places_for_others() {
        let places = Places::new(5, 2);
        let mut kept = vec![
            check(&places, "2001:db8::1", None),
            check(&places, "2001:db8::2", None),
        ];
        check(&places, "2001:db8::3", Some("connections_per_source_max"));
        kept.push(check(&places, "2001:db8:0:1::1", None));
        kept.push(check(&places, "192.0.2.1", None));
        kept.push(check(&places, "::ffff:192.0.2.1", None));
        check(&places, "192.0.2.2", Some("connections_max"));
        kept.remove(0);
        kept.push(check(&places, "2001:db8::3", None));
        drop(kept);
        assert!(places.taken().is_empty());
    }
}
