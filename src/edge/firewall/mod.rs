//! The firewall: from the effective configuration to the text that `nft` reads. Pure: nothing here
//! looks at the box, and nothing runs. What is loaded, and who is connected, comes in as arguments.
//!
//! ```text
//! FirewallConfig ──► Policy ──► Ruleset ──► text, JSON, or a transaction against what is loaded
//!                    who may     rules of       the only thing nft ever sees
//!                    what        one table
//! ```
//!
//! Everything lives in the one table [`TABLE`]. A packet that the table lets through still has to pass
//! whatever other tables there are; one that it drops is gone.

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

pub use listing::{Counter, counters, difference, normal};
pub use policy::{Closed, Contradiction, Policy, PolicyErrors, ServicePolicy};
pub use ruleset::{Outline, Ruleset};
pub use transaction::{Loaded, lease_ports, load, removal, restoration};

/// The family of the one table that is owned.
pub const FAMILY: &str = "inet";
/// Its name.
pub const TABLE: &str = "coord";
/// The set that `coord firewall leases` fills.
pub const LEASE_SET: &str = "lease_ports";

/// How many ports leases may hold open at once.
pub const LEASE_PORTS_OPEN_MAX: usize = 1_024;
/// How many sources are remembered for a limit. Beyond it new sources are not limited, rather than
/// locked out: a flood from invented addresses would otherwise keep everybody else away.
pub const SOURCES_PER_LIMIT_MAX: u32 = 8_192;
/// How long a source is remembered after its last new connection.
const SOURCE_MEMORY_MINUTES: u32 = 5;
/// New connections that may come at once are this part of a minute's, and at least so many.
const BURST_PART_OF_MINUTE: u64 = 4;
const BURST_MIN: u64 = 5;
/// Scrapers and coordinators are few: the same bound as the coordinator's own on its metrics port.
const SCRAPES_OPEN_MAX: u64 = 64;
const REDIS_CLIENTS_OPEN_MAX: u64 = 1_024;
/// Pings a second that a closed box answers, and how many at once.
const PINGS_PER_SECOND_MAX: u64 = 20;
const PINGS_BURST_MAX: u64 = 50;
/// Log lines that may come at once.
const LOG_BURST_MAX: u64 = 5;

#[cfg(test)]
mod tests;
