//! The settings of a coordinator for a shared journal.

use crate::engine::nodes::COMMAND_FORMAT;

/// The settings of this coordinator for a shared journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// How long this node counts as alive after its last heartbeat.
    pub node_ttl_ms: u64,
    /// The highest format of commands that this node announces.
    pub command_format: u32,
    /// How long requests wait for an unreachable store before they are answered with an error.
    pub unavailable_after_ms: u64,
    /// Reads are marked as stale when the store has not answered for this long.
    pub stale_after_ms: u64,
    /// How long to wait before a full store is asked again.
    pub full_pause_ms: u64,
    /// How much later than the node before it a node proposes a tick for a deadline. Usually the record of the first
    /// node is enough, and the others need not write one.
    pub tick_rank_ms: u64,
    /// Bytes of records that may accumulate in a project's stream before a snapshot lets it be trimmed.
    pub live_bytes_max: u64,
    /// Covered records that a snapshot leaves in the stream, for nodes that are a little behind.
    pub records_kept: u64,
}

impl Default for Sharing {
    fn default() -> Self {
        Self {
            node_ttl_ms: 10_000,
            command_format: COMMAND_FORMAT,
            unavailable_after_ms: 1_000,
            stale_after_ms: 3_000,
            full_pause_ms: 1_000,
            tick_rank_ms: 100,
            live_bytes_max: 16 << 20,
            records_kept: 64,
        }
    }
}
