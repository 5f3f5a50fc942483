//! The shell runs the driver's core: a thread for the journal, a clock, wakers.
//!
//! Connections call the core directly, under a lock that is held for microseconds and never across an await or
//! a write. A separate task sends what they propose. It runs after every connection that has a frame has
//! handed it over, so a batch is whatever is there, without a timer. While one batch is being synced, commands
//! gather for the next. The next batch is sent before the results of the last one are applied, so that disk
//! and processor work at the same time.
//!
//! On a fast disk, that task syncs a batch of one command itself: handing it to another thread and back can
//! take as long as the sync.

mod calls;
mod host;
pub mod line;
mod link;
mod sync;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use host::LineHost;
use line::LineJob;
pub use link::DriverLink;
pub use worker::BackupWriter;
use worker::{Job, journal_thread};

use super::connection::{ConnectionId, Identity};
use super::core::{Core, Moment};
use super::history::READER;
use crate::clock::Clock;
use crate::engine::command::{LostReason, TokenCreate};
use crate::engine::ids::ProjectName;
use crate::journal::memory::MemoryJournal;
use crate::journal::shared::Connector;
use crate::journal::{Entry, Journal};
use crate::metrics::Metrics;
use crate::protocol::admin::MqttStatus;
use crate::protocol::error::RpcError;
use crate::protocol::session::PeerConfig;

/// Jobs that may wait for the journal's thread: one append, one set of snapshots, one backup, one check, and
/// some spare places.
const JOURNAL_JOBS_MAX: usize = 8;

/// The running driver; cheap to clone.
#[derive(Clone)]
pub struct Driver {
    shared: Arc<DriverParts>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

struct DriverParts {
    state: Mutex<DriverState>,
    journal: Arc<Mutex<Box<dyn Journal>>>,
    /// How long syncs take: a moving average.
    sync_us: AtomicU64,
    /// Commands wait to be sent.
    flush: Notify,
    metrics: Metrics,
    clock: Clock,
    jobs: SyncSender<Job>,
    /// Starts a project's line, if the journal is shared.
    lines: Option<LineStarter>,
    /// The next wake-up may have changed.
    rearm: Notify,
    failure: watch::Sender<Option<String>>,
    settled: Notify,
}

struct DriverState {
    core: Core,
    /// A batch of one command, to be synced in place.
    lone: Option<Vec<Entry>>,
    wakers: HashMap<ConnectionId, Arc<Notify>>,
    /// When the clock's task will wake up.
    wakeup: Option<Moment>,
    lines: BTreeMap<ProjectName, mpsc::Sender<LineJob>>,
}

type LineStarter = Box<dyn Fn(Driver, ProjectName) -> mpsc::Sender<LineJob> + Send + Sync>;

impl Driver {
    /// Starts the journal's thread and the tasks that serve the core. Must be called in a runtime.
    pub fn start(
        core: Core,
        journal: Box<dyn Journal>,
        backup: BackupWriter,
        clock: Clock,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        Self::start_with(core, journal, None, backup, clock, metrics)
    }

    /// Starts a driver with a shared journal: every project of the core gets its own line.
    /// Must be called in a runtime.
    pub fn start_shared<C: Connector>(
        core: Core,
        connector: C,
        backup: BackupWriter,
        clock: Clock,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let start = move |driver, project| line::spawn(driver, connector.clone(), project);
        // Backups are written from snapshots of the engines, so the local journal stays empty.
        let journal = Box::new(MemoryJournal::new());
        Self::start_with(core, journal, Some(Box::new(start)), backup, clock, metrics)
    }

    fn start_with(
        core: Core,
        journal: Box<dyn Journal>,
        lines: Option<LineStarter>,
        backup: BackupWriter,
        clock: Clock,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let (jobs, job_queue) = sync_channel(JOURNAL_JOBS_MAX);
        let (done, results) = mpsc::channel(JOURNAL_JOBS_MAX);
        let (failure, _) = watch::channel(None);
        let journal = Arc::new(Mutex::new(journal));
        let shared = Arc::new(DriverParts {
            state: Mutex::new(DriverState {
                core,
                lone: None,
                wakers: HashMap::new(),
                wakeup: None,
                lines: BTreeMap::new(),
            }),
            journal: Arc::clone(&journal),
            sync_us: AtomicU64::new(0),
            flush: Notify::new(),
            metrics,
            clock,
            jobs,
            lines,
            rearm: Notify::new(),
            failure,
            settled: Notify::new(),
        });
        thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || journal_thread(&journal, backup, &job_queue, &done, clock))?;
        let driver = Self { shared };
        tokio::spawn(driver.clone().serve_results(results));
        tokio::spawn(driver.clone().send_off());
        tokio::spawn(driver.clone().keep_time());
        driver.with_core(None, |_, _| ());
        Ok(driver)
    }

    /// The identity that a secret belongs to; `None` if it is unknown, revoked or expired.
    pub fn authenticate(&self, secret: &str) -> Option<Identity> {
        self.lock().core.authenticate(secret)
    }

    /// Accepts a connection of an identity, to the project that it names or that its token implies. Refuses it if
    /// it is meant for another environment.
    pub fn connect(
        &self,
        identity: Identity,
        project: Option<&str>,
        peer: &PeerConfig,
    ) -> Result<DriverLink, RpcError> {
        let notify = Arc::new(Notify::new());
        let now = self.shared.clock.now();
        let mut state = self.lock();
        let project = state.core.project_of(&identity, project)?;
        state.core.check_environment(peer.environment.as_ref())?;
        let id = state.core.connect(now, identity, project)?;
        state.core.compare_ports(id, peer.port_fingerprint.as_ref());
        state.wakers.insert(id, Arc::clone(&notify));
        drop(state);
        Ok(DriverLink {
            driver: self.clone(),
            id,
            notify,
            reason: LostReason::ConnectionLost,
        })
    }

    /// Proposes the commands of a start, after the core has read the journal.
    pub fn begin(&self, operator: Option<TokenCreate>) {
        self.with_core(None, |core, now| core.start(now, operator));
    }

    /// The coordinator is ready for the first time.
    pub fn begin_serving(&self) {
        self.with_core(None, |core, _| core.begin_serving());
    }

    /// Registers the reader of the history. The returned waker tells that there may be new events.
    pub fn begin_reading(&self) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        let mut state = self.lock();
        state.wakers.insert(READER, Arc::clone(&notify));
        state.core.begin_reading();
        notify
    }

    /// Publishes the state of the connection to the broker, and whether this coordinator can publish events.
    pub fn set_mqtt_status(&self, status: MqttStatus, can_publish: bool) {
        self.with_core(None, |core, _| {
            core.set_mqtt_status(status);
            core.stand_for_publisher(can_publish);
        });
    }

    /// Reads the core, for health and metrics.
    pub fn inspect<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.lock().core)
    }

    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    /// Waits until everything proposed so far is durable and answered.
    pub async fn settled(&self) {
        self.until(Core::is_settled).await;
    }

    /// Waits until the line of a project is up.
    pub async fn established(&self, project: &ProjectName) {
        self.until(|core| core.is_established(project)).await;
    }

    /// Waits until there is no connection.
    pub async fn emptied(&self) {
        self.until(|core| core.connection_count() == 0).await;
    }

    async fn until(&self, reached: impl Fn(&Core) -> bool) {
        loop {
            let mut notified = std::pin::pin!(self.shared.settled.notified());
            // Enabled before the look: a notification between the look and the wait would be missed otherwise.
            notified.as_mut().enable();
            if reached(&self.lock().core) {
                return;
            }
            notified.await;
        }
    }

    /// Waits until the journal's thread has shown that it can sync, without writing anything. Never returns if the
    /// journal fails: [`Driver::failure`] reports that.
    pub async fn check_sync(&self) {
        let (asked, answered) = oneshot::channel();
        // If the queue is full or the thread has ended, the journal does not answer.
        if self.shared.jobs.try_send(Job::CheckSync(asked)).is_err() || answered.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Creates a token, and replaces an earlier one with the same id.
    pub fn replace_token(&self, token: TokenCreate) {
        self.with_core(None, |core, now| core.replace_token(now, token));
    }

    /// Refuses new work; waiting requests are told to come back.
    pub fn drain(&self) {
        self.with_core(None, Core::drain);
    }

    /// Tells every connection that it ends. Each one ends once its peer sends nothing more.
    pub fn end_all(&self, reason: &str) {
        self.with_core(None, |core, _| core.end_all(reason));
    }

    /// Becomes a text when the journal has failed. Nothing more can be made durable then, so the process must end
    /// and recover.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.shared.failure.subscribe()
    }
}
