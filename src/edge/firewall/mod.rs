//! The firewall: turns the effective configuration into the text that `nft` reads. Pure: it reads nothing
//! from the machine and runs nothing. The loaded table and the sessions are arguments.
//!
//! ```text
//! FirewallConfig ──► Policy ──► Ruleset ──► text, JSON, or a transaction against what is loaded
//!                    who may     rules of       the only thing nft ever sees
//!                    what        one table
//! ```
//!
//! All rules are in the one table [`TABLE`]. A packet that it accepts must still pass all other tables; a
//! packet that it drops is dropped.

mod contradictions;
mod derive;
mod json;
mod listing;
mod policy;
mod rules;
mod ruleset;
mod service;
mod statement;
mod transaction;

pub use listing::{Counter, counters, normal};
pub use policy::{Closed, Contradiction, Policy, PolicyErrors, ServicePolicy};
pub use ruleset::{Outline, Ruleset};
pub use transaction::{Loaded, lease_ports, load, removal, restoration};

/// The family of our table.
pub const FAMILY: &str = "inet";
/// Its name.
pub const TABLE: &str = "coord";
/// The set that `coord firewall leases` fills.
pub const LEASE_SET: &str = "lease_ports";

/// The most ports that leases can open at once.
pub const LEASE_PORTS_OPEN_MAX: usize = 1_024;
/// How many sources are remembered for a limit. Further sources are not limited, instead of blocked:
/// otherwise a flood from forged addresses would block everybody else.
pub const SOURCES_PER_LIMIT_MAX: u32 = 8_192;
/// How long a source is remembered after its last new connection.
const SOURCE_MEMORY_MINUTES: u32 = 5;
/// The burst of new connections: this part of a minute's limit, and at least this many.
const BURST_PART_OF_MINUTE: u64 = 4;
const BURST_MIN: u64 = 5;
/// There are few scrapers and coordinators: the same limit as the coordinator's own on its metrics port.
const SCRAPES_OPEN_MAX: u64 = 64;
const REDIS_CLIENTS_OPEN_MAX: u64 = 1_024;
/// With `default_drop`: pings that are answered each second, and their burst.
const PINGS_PER_SECOND_MAX: u64 = 20;
const PINGS_BURST_MAX: u64 = 50;
/// Log lines that may come at once.
const LOG_BURST_MAX: u64 = 5;

#[cfg(test)]
mod tests;
