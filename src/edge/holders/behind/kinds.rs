//! The table, in the order in which it is asked: the first kind that fits counts.

use super::{BehindKind, engines, machines, sessions, tunnels};

pub(super) fn all() -> impl Iterator<Item = &'static BehindKind> {
    let tables = [
        engines::KINDS,
        machines::KINDS,
        tunnels::KINDS,
        sessions::KINDS,
        tunnels::TOLD,
    ];
    let last = std::iter::once(&engines::IN_CONTAINER);
    tables.into_iter().flatten().chain(last)
}
