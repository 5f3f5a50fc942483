//! What a coordinator is told of its part in a shared journal.

use crate::engine::nodes::COMMAND_FORMAT;

/// What tells this coordinator's part in a shared journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// How long this node counts as alive without a sign of life.
    pub node_ttl_ms: u64,
    /// The highest format of commands that it announces.
    pub command_format: u32,
    /// How long requests wait for a store that is out of reach before they are answered.
    pub unavailable_after_ms: u64,
    /// After how long without an answer of the store reads are marked as stale.
    pub stale_after_ms: u64,
    /// How long a full store is left alone before it is asked again.
    pub full_pause_ms: u64,
    /// By how much later than the node before it a node lets a deadline fall due, so that one record does.
    pub tick_rank_ms: u64,
    /// Bytes of records that may gather in a project's stream before a snapshot lets them go.
    pub live_bytes_max: u64,
    /// Records that it covers and a snapshot leaves in the stream, for nodes that lag a little.
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
