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

mod host;
pub mod line;
mod link;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use host::LineHost;
use line::LineJob;
pub use link::DriverLink;
pub use worker::BackupWriter;
use worker::{Done, Job, append, journal_thread};

use super::connection::{ConnectionId, Identity};
use super::core::{Core, CoreOutput, Moment};
use crate::causes;
use crate::clock::Clock;
use crate::engine::command::{LostReason, TokenCreate};
use crate::engine::ids::{Position, ProjectName};
use crate::journal::memory::MemoryJournal;
use crate::journal::shared::Connector;
use crate::journal::{Entry, Journal, JournalError, JournalStatus};
use crate::metrics::Metrics;
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

/// A lone command is synced in place while recent syncs took no longer than this. All connections stand still
/// for that time, which is too short to notice.
const SYNC_IN_PLACE_US_MAX: u64 = 1_000;
/// How many turns of the connections a batch for a shared journal waits at most.
const GATHER_TURNS_MAX: usize = 32;

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

    fn lock(&self) -> MutexGuard<'_, DriverState> {
        // A panic under the lock aborts a release build. In a test the state is still consistent, because the core
        // applies whole records.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the core and carries out its effects. `caller` takes its own frames afterwards, so it is not woken.
    fn with_core<T>(
        &self,
        caller: Option<ConnectionId>,
        call: impl FnOnce(&mut Core, Moment) -> T,
    ) -> T {
        let now = self.shared.clock.now();
        let mut state = self.lock();
        let result = call(&mut state.core, now);
        // Under the same lock as the call: appends must reach the journal's queue in the order of the core.
        self.carry_out(&mut state, caller);
        if state.core.wants_flush() {
            self.shared.flush.notify_one();
        }
        let wakeup = state.core.next_wakeup();
        if wakeup.is_some_and(|at| state.wakeup.is_none_or(|known| at < known)) {
            state.wakeup = wakeup;
            self.shared.rearm.notify_one();
        }
        result
    }

    fn carry_out(&self, state: &mut DriverState, caller: Option<ConnectionId>) {
        while let Some(output) = state.core.poll_output() {
            let job = match output {
                CoreOutput::Wake(id) | CoreOutput::Close(id) => {
                    if Some(id) != caller
                        && let Some(waker) = state.wakers.get(&id)
                    {
                        waker.notify_one();
                    }
                    continue;
                }
                CoreOutput::Follow(project) => {
                    if let Some(start) = &self.shared.lines {
                        let sender = start(self.clone(), project.clone());
                        state.lines.insert(project, sender);
                    }
                    continue;
                }
                CoreOutput::StreamAppend { project, batch } => {
                    Self::to_line(state, &project, LineJob::Append(batch));
                    continue;
                }
                CoreOutput::StreamSnapshot {
                    project,
                    snapshot,
                    keep_from,
                } => {
                    let job = LineJob::Snapshot {
                        snapshot,
                        keep_from,
                    };
                    Self::to_line(state, &project, job);
                    continue;
                }
                CoreOutput::Append(entries) if self.syncs_in_place(&entries) => {
                    state.lone = Some(entries);
                    self.shared.flush.notify_one();
                    continue;
                }
                CoreOutput::Append(entries) => Job::Append(entries),
                CoreOutput::Snapshots { snapshots, floor } => Job::Snapshots { snapshots, floor },
                CoreOutput::Backup {
                    request,
                    name,
                    snapshots,
                } => Job::Backup {
                    request,
                    name,
                    snapshots,
                },
            };
            // The queue holds every job that the core can have under way at once, so it is never full. Sending fails
            // only after the journal's thread has ended with a failure, which ends the process.
            let _ = self.shared.jobs.try_send(job);
        }
    }

    /// The queue of a line holds every job that the core can have under way at once. The line is gone only after it
    /// has failed permanently, which ends the process.
    fn to_line(state: &DriverState, project: &ProjectName, job: LineJob) {
        if let Some(line) = state.lines.get(project) {
            let _ = line.try_send(job);
        }
    }

    /// Sends a batch whenever commands wait and no batch is under way.
    async fn send_off(self) {
        loop {
            self.shared.flush.notified().await;
            self.gather().await;
            self.with_core(None, |core, _| core.flush());
            // Taken out before the sync, so that the lock is free while the disk works.
            let lone = self.lock().lone.take();
            if let Some(entries) = lone
                && !self.sync_in_place(entries)
            {
                return;
            }
        }
    }

    /// Lets the connections add commands to a batch for a shared journal. An append takes far longer than a turn of
    /// the connections. So it pays to wait for another turn as long as each one brings more commands, and until the
    /// line has its share. Otherwise clients that were just answered would miss this batch, and appends would carry
    /// less than they could.
    async fn gather(&self) {
        let mut known = 0;
        for _ in 0..GATHER_TURNS_MAX {
            match self.inspect(Core::gathered) {
                Some(gathered) if gathered > known => known = gathered,
                _ => return,
            }
            tokio::task::yield_now().await;
        }
    }

    /// Syncs a lone command on this thread. Returns false if the journal has failed.
    fn sync_in_place(&self, entries: Vec<Entry>) -> bool {
        let Ok(mut journal) = self.shared.journal.try_lock() else {
            // The journal's thread is busy with a snapshot or a backup. It takes this batch next.
            let _ = self.shared.jobs.try_send(Job::Append(entries));
            return true;
        };
        let done = append(&mut **journal, &entries, &self.shared.clock);
        drop(journal);
        self.finish(done)
    }

    async fn serve_results(self, mut results: mpsc::Receiver<Done>) {
        while let Some(done) = results.recv().await {
            if !self.finish(done) {
                return;
            }
        }
    }

    /// Handles a finished job of the journal. Returns false if the journal has failed.
    fn finish(&self, done: Done) -> bool {
        match done {
            Done::Appended {
                result,
                status,
                commands,
                micros,
            } => {
                self.observe_append(commands, micros);
                match result {
                    Ok(positions) => self.appended(&positions, status),
                    Err(JournalError::Full { .. }) => {
                        self.with_core(None, |core, now| core.append_refused(now, status));
                    }
                    Err(error) => {
                        self.fail(&error);
                        return false;
                    }
                }
            }
            Done::Snapshots {
                saved,
                failure,
                status,
            } => {
                match failure {
                    None | Some(JournalError::Full { .. }) => {}
                    Some(error) => {
                        self.fail(&error);
                        return false;
                    }
                }
                self.with_core(None, |core, _| core.snapshots_saved(&saved, status));
            }
            Done::Backup { request, result } => {
                self.with_core(None, |core, now| core.backup_done(now, request, result));
            }
            Done::CheckedSync { result, asked } => {
                if let Err(error) = result {
                    self.fail(&error);
                    return false;
                }
                // The asker may have given up meanwhile.
                let _ = asked.send(());
            }
        }
        if self.lock().core.is_settled() {
            self.shared.settled.notify_waiters();
        }
        true
    }

    fn observe_append(&self, commands: usize, micros: u64) {
        let average = self.shared.sync_us.load(Ordering::Relaxed);
        let average = average - average / 8 + micros / 8;
        self.shared.sync_us.store(average, Ordering::Relaxed);
        let metrics = &self.shared.metrics;
        #[allow(clippy::cast_precision_loss, reason = "both are far below 2^52")]
        {
            metrics.journal.batch_commands.observe(commands as f64);
            metrics.journal.sync_seconds.observe(micros as f64 / 1e6);
        }
    }

    /// Whether to sync this batch in place instead of on the journal's thread.
    fn syncs_in_place(&self, entries: &[Entry]) -> bool {
        let fast = self.shared.sync_us.load(Ordering::Relaxed) <= SYNC_IN_PLACE_US_MAX;
        entries.len() == 1 && fast
    }

    fn appended(&self, positions: &[Position], status: JournalStatus) {
        // Two calls: the first sends the next batch, so that the disk works while the second applies this one.
        self.with_core(None, |core, _| core.synced(positions, status));
        self.with_core(None, Core::apply_synced);
    }

    fn fail(&self, error: &JournalError) {
        self.fail_with(causes::one_line(error));
    }

    fn fail_with(&self, text: String) {
        tracing::error!(error = %text, "the journal failed; nothing more can be made durable");
        self.shared.failure.send_replace(Some(text));
    }

    async fn keep_time(self) {
        loop {
            let wakeup = {
                let mut state = self.lock();
                state.wakeup = state.core.next_wakeup();
                state.wakeup
            };
            let rearmed = self.shared.rearm.notified();
            match wakeup {
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(self.shared.clock.instant(at)) => {
                            self.with_core(None, Core::tick);
                        }
                        () = rearmed => {}
                    }
                }
                None => rearmed.await,
            }
        }
    }
}
