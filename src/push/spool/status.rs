//! The sizes of a spool, and what it says of itself.

use crate::journal::SegmentOptions;

/// The sizes of a spool.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// Bytes of all its files.
    pub bytes_max: u64,
    /// Bytes of records in memory while the disk cannot be used.
    pub memory_bytes_max: u64,
    /// With more records in memory the oldest go to disk.
    pub memory_records_max: usize,
    /// A record that is not sent by then goes to disk.
    pub patience_ms: u64,
    pub segments: SegmentOptions,
}

impl SpoolOptions {
    /// With this bound on disk, but at least four segments.
    pub fn new(bytes_max: u64) -> Self {
        let segments = SegmentOptions {
            segment_bytes: 256 << 10,
            spare_segments_max: 1,
            reserve_bytes: 0,
            record_bytes_max: 128 << 10,
        };
        Self {
            bytes_max: bytes_max.max(4 * segments.segment_bytes),
            memory_bytes_max: 512 << 10,
            memory_records_max: 2,
            patience_ms: 10_000,
            segments,
        }
    }

    /// For a sender that keeps the newest records in its own memory: what it hands over goes to disk at once.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        (self.memory_records_max, self.patience_ms) = (0, 0);
        self
    }
}

/// Where the records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolState {
    /// None is on disk.
    Memory,
    /// Some are on disk.
    Disk,
    /// The disk cannot be used: until the next start, memory serves alone.
    Failed { reason: String },
}

/// Figures of a spool since it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolStatus {
    pub state: SpoolState,
    pub records: u64,
    pub bytes: u64,
    /// How many of the records are on disk. They are the oldest ones.
    pub disk_records: u64,
    /// Bytes of all files.
    pub disk_bytes: u64,
    pub written_bytes: u64,
    /// Records that were dropped for want of space, or because the disk failed.
    pub dropped: u64,
    /// Times that the disk failed.
    pub failures: u64,
}
