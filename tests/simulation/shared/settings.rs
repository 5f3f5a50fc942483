//! What a run is given: its seed, and what follows from it.

use cli_coordinator::driver::DriverLimits;
use cli_coordinator::driver::core::CoreConfig;
use cli_coordinator::driver::line::Sharing;
use cli_coordinator::engine::limits::Limits;

/// Times that faults come and are over again.
pub(crate) const PHASES: usize = 3;
/// Steps with faults in each.
pub(crate) const STEPS: usize = 350;

/// Everything that is fixed during a run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) nodes: usize,
    engine: Limits,
    pub(crate) driver: DriverLimits,
    sharing: Sharing,
    /// Appends are answered once the replica has them: then only an empty store loses anything.
    pub(crate) waits_for_replica: bool,
    /// Whether the store may come back empty.
    pub(crate) may_be_emptied: bool,
    pub(crate) fault_one_in: usize,
}

impl Settings {
    pub(crate) fn of(seed: u64) -> Self {
        let driver = DriverLimits {
            heartbeat_ms: 4_000,
            events_queued_max: if seed.is_multiple_of(3) { 4 } else { 256 },
            batch_commands_max: if seed.is_multiple_of(5) { 2 } else { 1_024 },
            ..DriverLimits::default()
        };
        let engine = Limits {
            clock_step_ms_max: 6_000,
            crash_offer_ms: 3_000,
            lock_delay_ms: 1_500,
            // In some runs a cursor is soon forgotten.
            events_history_max: if seed % 3 == 2 { 12 } else { 1_000 },
            // A repeated request is told from a new one however late its client sends it again.
            request_ids_per_agent_max: 1_000,
            request_late_ms_max: if seed.is_multiple_of(2) { 0 } else { 1_000 },
            ..Limits::default()
        };
        let sharing = Sharing {
            node_ttl_ms: 8_000,
            // Snapshots come often in some runs, and leave little for those who lag.
            live_bytes_max: if seed.is_multiple_of(2) {
                3_000
            } else {
                30_000
            },
            records_kept: seed % 4 * 3,
            ..Sharing::default()
        };
        Self {
            nodes: 2 + (seed % 3) as usize,
            engine,
            driver,
            sharing,
            waits_for_replica: seed % 4 == 1,
            may_be_emptied: seed % 8 != 1,
            fault_one_in: if seed.is_multiple_of(4) { 60 } else { 18 },
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.engine
    }

    pub(crate) fn core_config(&self, name: &str) -> CoreConfig {
        CoreConfig {
            node: name.parse().expect("a node id"),
            environment: "testing".to_owned(),
            port_fingerprint: "0123456789abcdef".parse().expect("a fingerprint"),
            journal: "redis",
            version: "0",
            message_bytes_max: 1 << 20,
            record_bytes_max: 1 << 16,
            grace_ms: 5_000,
            engine: self.engine.clone(),
            driver: self.driver.clone(),
            sharing: Some(self.sharing.clone()),
        }
    }
}
