//! How large the embedded journal may get.

use super::reader::Reader;
use super::settings;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalConfig {
    pub segment_bytes: u64,
    /// How much journal may pile up before a snapshot is taken; at least two segments.
    pub live_bytes_max: u64,
    pub reserve_bytes: u64,
}

impl JournalConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            segment_bytes: reader.get(&settings::JOURNAL_SEGMENT_BYTES),
            live_bytes_max: reader.get(&settings::JOURNAL_LIVE_BYTES_MAX),
            reserve_bytes: reader.get(&settings::JOURNAL_RESERVE_BYTES),
        }
    }
}
