//! The table of kinds; the first kind that matches is used.

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
