//! The file sizes of an embedded journal.

use std::io;

use super::format::{FRAMES_OFFSET, frame_bytes};
use super::medium::FILE_BYTES_MAX;
use crate::engine::ids::ProjectName;

/// Length of the first file. It is small, so that a first start is quick; later ones double up to
/// `segment_bytes`.
const FIRST_SEGMENT_BYTES: u64 = 256 << 10;
/// The sizes of an embedded journal.
#[derive(Debug, Clone)]
pub struct SegmentOptions {
    /// Length of a segment file.
    pub segment_bytes: u64,
    /// How many trimmed segments are kept for reuse; more are deleted.
    pub spare_segments_max: usize,
    /// Space that is reserved for a full disk.
    pub reserve_bytes: u64,
    /// The largest body of one record.
    pub record_bytes_max: usize,
}

impl Default for SegmentOptions {
    /// For an edge gateway: about 16 MiB at rest, and space to finish thousands of tasks on a full disk.
    fn default() -> Self {
        Self {
            segment_bytes: 8 << 20,
            spare_segments_max: 4,
            reserve_bytes: 8 << 20,
            record_bytes_max: 128 << 10,
        }
    }
}

impl SegmentOptions {
    /// Every file can hold any one record, so a batch never has to skip a segment.
    pub(super) fn first_bytes(&self) -> u64 {
        let record = frame_bytes(ProjectName::BYTES_MAX, self.record_bytes_max) + FRAMES_OFFSET;
        FIRST_SEGMENT_BYTES
            .max(record as u64)
            .min(self.segment_bytes)
    }

    pub(super) fn check(&self) -> io::Result<()> {
        let record = frame_bytes(ProjectName::BYTES_MAX, self.record_bytes_max) + FRAMES_OFFSET;
        let fits = (record as u64) <= self.segment_bytes && self.segment_bytes <= FILE_BYTES_MAX;
        let what = "segment_bytes must hold one record of record_bytes_max, and be at most 256 MiB";
        if fits {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
    }
}
