//! Builds the driver and its journal from the configuration: an embedded journal, or a shared one in Redis.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::durability;
use super::operator::{self, Operator};
use super::starting::Starting;
use super::{AppError, RECORD_HEADROOM_BYTES};
use crate::clock::Clock;
use crate::config::{Config, RedisConfig};
use crate::driver::core::{Core, CoreConfig, SYSTEM_PROJECT};
use crate::driver::line::Sharing;
use crate::driver::recover::{Recovered, recover_telling};
use crate::driver::secret::Entropy;
use crate::driver::shell::Driver;
use crate::engine::ids::ProjectName;
use crate::engine::limits::Limits;
use crate::journal::disk::RealDisk;
use crate::journal::redis::RedisConnector;
use crate::journal::segments::{Recovery, SegmentJournal, SegmentOptions};
use crate::journal::{Journal, JournalStatus};
use crate::metrics::Metrics;

/// The journal's name in health, metrics and greetings.
pub(super) fn kind(config: &Config) -> &'static str {
    match config.redis {
        Some(_) => "redis",
        None => "embedded",
    }
}

/// Starts a driver that is ready for connections: recovered, with its default project and an
/// operator's token.
pub(super) async fn start(
    config: &Config,
    core: CoreConfig,
    clock: Clock,
    metrics: &Metrics,
    starting: &Starting,
    disk: RealDisk,
) -> Result<(Driver, Operator), AppError> {
    let started = match &config.redis {
        None => start_embedded(config, core, clock, metrics, starting, disk).await,
        Some(redis) => start_shared(config, redis, core, clock, metrics, starting).await,
    };
    let (driver, operator) = started?;
    driver.begin_serving();
    Ok((driver, operator))
}

async fn start_embedded(
    config: &Config,
    core_config: CoreConfig,
    clock: Clock,
    metrics: &Metrics,
    starting: &Starting,
    disk: RealDisk,
) -> Result<(Driver, Operator), AppError> {
    let limits = core_config.engine.clone();
    let (reading, telling) = (config.clone(), starting.clone());
    // On its own thread, so that health requests are answered meanwhile.
    let read = tokio::task::spawn_blocking(move || read_journal(&reading, disk, &limits, &telling));
    let (journal, recovery, recovered) = match read.await {
        Ok(read) => read?,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    };
    tell_recovery(&recovery, recovered.records, metrics);
    let mut core = Core::new(
        core_config,
        Entropy(Box::new(operator::random)),
        metrics.clone(),
        recovered.engines,
        journal.status(),
        clock.now(),
    );
    let operator = operator::prepare(config, &core)?;
    core.start(clock.now(), operator.new_token.clone());
    let backups = operator::backup_writer(&config.state_dir);
    let driver = Driver::start(core, Box::new(journal), backups, clock, metrics.clone());
    let driver = driver.map_err(not_started)?;
    driver.settled().await;
    Ok((driver, operator))
}

fn read_journal(
    config: &Config,
    disk: RealDisk,
    limits: &Limits,
    starting: &Starting,
) -> Result<(SegmentJournal, Recovery, Recovered), AppError> {
    let (mut journal, recovery) = open_journal(config, disk)?;
    let recovered = recover_telling(&mut journal, limits, &mut |records| {
        starting.replayed(records);
    });
    let recovered = recovered.map_err(|source| AppError::Recover {
        path: config.state_dir.display().to_string(),
        source,
    })?;
    Ok((journal, recovery, recovered))
}

/// Waits for the store without a limit: the coordinator cannot serve without it, and the store may start
/// later than this machine. Permanent failures end the wait.
async fn start_shared(
    config: &Config,
    redis: &RedisConfig,
    mut core_config: CoreConfig,
    clock: Clock,
    metrics: &Metrics,
    starting: &Starting,
) -> Result<(Driver, Operator), AppError> {
    core_config.sharing = Some(Sharing::default());
    let connector =
        RedisConnector::new(redis, config.profile).map_err(|source| AppError::Start {
            what: "TLS for Redis",
            source,
        })?;
    let core = Core::new(
        core_config,
        Entropy(Box::new(operator::random)),
        metrics.clone(),
        BTreeMap::new(),
        JournalStatus::EMPTY,
        clock.now(),
    );
    let backups = operator::backup_writer(&config.state_dir);
    let watched = durability::watch(connector.clone(), metrics.clone());
    let driver = Driver::start_shared(core, connector, backups, clock, metrics.clone());
    let driver = driver.map_err(not_started)?;
    starting.driven_by(&driver);
    let system: ProjectName = SYSTEM_PROJECT.parse().expect("the name is valid");
    established(&driver, &system).await?;
    let operator = driver.inspect(|core| operator::prepare(config, core))?;
    driver.begin(operator.new_token.clone());
    // The start may propose the default project, whose line begins only then.
    driver.settled().await;
    for project in driver.inspect(Core::followed) {
        established(&driver, &project).await?;
    }
    driver.settled().await;
    tokio::spawn(watched);
    Ok((driver, operator))
}

async fn established(driver: &Driver, project: &ProjectName) -> Result<(), AppError> {
    let mut failure = driver.failure();
    tokio::select! {
        () = driver.established(project) => Ok(()),
        failed = failure.wait_for(Option::is_some) => {
            let text = failed.ok().and_then(|text| text.clone()).unwrap_or_default();
            Err(AppError::SharedJournal(text))
        }
    }
}

fn not_started(source: std::io::Error) -> AppError {
    AppError::Start {
        what: "the journal's thread",
        source,
    }
}

fn open_journal(config: &Config, disk: RealDisk) -> Result<(SegmentJournal, Recovery), AppError> {
    let path = || config.state_dir.display().to_string();
    SegmentJournal::open(Arc::new(disk), segment_options(config)).map_err(|source| {
        AppError::Journal {
            path: path(),
            source,
        }
    })
}

/// The configured sizes of the journal.
pub fn segment_options(config: &Config) -> SegmentOptions {
    SegmentOptions {
        segment_bytes: config.journal.segment_bytes,
        reserve_bytes: config.journal.reserve_bytes,
        record_bytes_max: record_bytes_max(config),
        ..SegmentOptions::default()
    }
}

pub(super) fn record_bytes_max(config: &Config) -> usize {
    config.websocket.message_bytes_max + RECORD_HEADROOM_BYTES
}

fn tell_recovery(recovery: &Recovery, records: u64, metrics: &Metrics) {
    metrics
        .journal
        .recovered_torn_bytes
        .set(i64::try_from(recovery.torn_bytes).unwrap_or(i64::MAX));
    if recovery.torn_bytes > 0 {
        tracing::warn!(
            bytes = recovery.torn_bytes,
            "removed an incomplete write at the end of the journal; it contained nothing acknowledged"
        );
    }
    tracing::info!(records, "recovered");
}
