//! What a run is given: its seed, and the limits that follow from it.

use cli_coordinator::driver::DriverLimits;
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::journal::SegmentOptions;

/// Rounds with faults in each, before all is made well and the rest must come out right.
pub(crate) const ROUNDS: usize = 45;
/// Largest record: small, so that the limit is met.
const RECORD_BYTES_MAX: usize = 3_000;

/// Everything that is fixed during a run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) engine: Limits,
    pub(crate) driver: DriverLimits,
    pub(crate) journal: SegmentOptions,
    /// How likely faults of the disk and of the process are: once in so many steps.
    pub(crate) fault_one_in: usize,
    /// Whether the disk is left without room until appends are refused.
    pub(crate) fills_the_disk: bool,
}

impl Settings {
    /// Every other seed has limits so small that ordinary work meets them.
    pub(crate) fn of(seed: u64) -> Self {
        let mut engine = Limits {
            clock_step_ms_max: 6_000,
            crash_offer_ms: 3_000,
            lock_delay_ms: 1_500,
            seat_idle_ms: 4_000,
            ..Limits::default()
        };
        let mut driver = DriverLimits {
            heartbeat_ms: 4_000,
            live_bytes_max: 4_000 + (seed % 7) * 4_000,
            ..DriverLimits::default()
        };
        if seed % 2 == 1 {
            shrink(&mut engine);
        }
        if seed % 3 == 1 {
            driver.requests_in_flight_max = 3;
            driver.requests_waiting_max = 2;
            driver.commands_in_flight_max = 6;
            driver.waiting_max = 4;
            driver.batch_commands_max = 2;
            driver.events_queued_max = 4;
            driver.frames_queued_max = 12;
            driver.bytes_queued_max = 16_000;
        }
        Self {
            engine,
            driver,
            journal: SegmentOptions {
                segment_bytes: 16 << 10,
                spare_segments_max: 2,
                // With hardly any reserve a full disk is soon full to the last byte.
                reserve_bytes: if seed.is_multiple_of(4) {
                    1 << 10
                } else {
                    16 << 10
                },
                record_bytes_max: RECORD_BYTES_MAX,
            },
            // Some seeds have few faults: long histories find other bugs than short lives do.
            fault_one_in: if seed.is_multiple_of(3) { 60 } else { 12 },
            fills_the_disk: seed % 8 == 4,
        }
    }
}

fn shrink(limits: &mut Limits) {
    limits.tasks_open_max = 10;
    limits.tasks_finished_max = 5;
    limits.tasks_bytes_max = 2_500;
    limits.payload_bytes_max = 600;
    limits.concurrency_keys_max = 2;
    limits.leases_max = 5;
    limits.sessions_max = 6;
    limits.sessions_per_agent_max = 2;
    limits.mailbox_messages_max = 3;
    limits.mailbox_messages_per_sender_max = 2;
    limits.mailbox_messages_reserved = 1;
    limits.mailbox_messages_reserved_per_sender_max = 1;
    limits.mailbox_bytes_max = 900;
    limits.mailbox_bytes_per_sender_max = 700;
    limits.mailbox_bytes_reserved = 300;
    limits.mailbox_bytes_reserved_per_sender_max = 300;
    limits.messages_bytes_max = 3_000;
    limits.messages_bytes_per_sender_max = 2_000;
    limits.messages_bytes_reserved = 700;
    limits.messages_bytes_reserved_per_sender_max = 700;
    limits.messages_finished_max = 3;
    limits.context_entries_max = 3;
    limits.context_bytes_max = 700;
    limits.events_history_max = 12;
    limits.changes_per_event_max = 2;
    limits.agents_max = 6;
    limits.seats_per_principal_max = 1;
    limits.sessions_per_principal_max = 2;
    limits.tokens_max = 4;
    limits.projects_max = 2;
    limits.pattern_bytes_per_agent_max = 30;
}
