//! Restores a backup into an empty Redis, as the journal of several coordinators.

use std::io::Read;
use std::sync::Arc;

use super::{operator, segment_options};
use crate::config::{Config, RedisConfig};
use crate::driver::migrate::moved;
use crate::driver::recover::{RecoverError, recover};
use crate::engine::limits::Limits;
use crate::journal::disk::RealDisk;
use crate::journal::redis::{RedisConnector, RedisJournal};
use crate::journal::{JournalError, SegmentJournal, inspect};

/// The gap between the backup's epoch and the new one.
const EPOCH_GAP_MAX: u64 = 1 << 20;

/// Why a backup was not restored into Redis.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("cannot read the backup")]
    Unpack(#[source] std::io::Error),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error("cannot set up TLS for Redis")]
    Tls(#[source] std::io::Error),
    #[error(
        "Redis already has a journal of {0} project(s): restore into an empty one; after an interrupted restore, \
         first delete its keys (coord:*)"
    )]
    NotEmpty(usize),
}

/// Fills the configured Redis; returns how many projects it has now. No coordinator may run on it yet,
/// because it would fill the Redis with its own state.
pub fn restore_into_redis(
    config: &Config,
    redis: &RedisConfig,
    backup: &mut dyn Read,
) -> Result<usize, RestoreError> {
    let connector = RedisConnector::new(redis, config.profile).map_err(RestoreError::Tls)?;
    let mut target = RedisJournal::open(connector)?;
    if target.project_count() > 0 {
        return Err(RestoreError::NotEmpty(target.project_count()));
    }
    // The whole backup is read and checked first, so that an incomplete one changes nothing.
    let folder = tempfile::tempdir().map_err(RestoreError::Unpack)?;
    let disk = RealDisk::create(folder.path()).map_err(RestoreError::Unpack)?;
    let disk: Arc<dyn crate::journal::disk::Disk> = Arc::new(disk);
    inspect::restore(&disk, segment_options(config), backup)?;
    let (mut journal, _) = SegmentJournal::open(disk, segment_options(config))?;
    let recovered = recover(&mut journal, &Limits::default())?;
    let [a, b, c, ..] = operator::random();
    let gap = u64::from(u32::from_le_bytes([a, b, c, 0])) % EPOCH_GAP_MAX;
    let projects = moved(recovered, gap);
    for project in &projects {
        target.seed(project.at, &project.snapshot, &project.marker)?;
    }
    Ok(projects.len())
}
