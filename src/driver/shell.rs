//! What turns the driver's core into a running thing: a thread for the journal, a clock, wakers.
//!
//! Connections call the core directly, under a lock that is held for microseconds and never across
//! an await or a write. What they propose is sent off by a task of its own, which runs once every
//! connection that has something to say has said it: a batch is whatever is there, without a timer.
//! While one batch is being synced, commands gather for the next; the next is sent off before the
//! results of the last are applied, so that the medium and the processor work at the same time.
//!
//! A batch of one command on a fast medium is synced by that task itself: handing it to another
//! thread and back can take as long as the sync.

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

pub use host::Host;
use line::LineJob;
pub use link::Link;
pub use worker::BackupWriter;
use worker::{Done, Job, append, journal_thread};

use super::connection::{ConnectionId, Identity};
use super::core::{Core, Moment, Output};
use crate::clock::Clock;
use crate::engine::command::{LostReason, TokenCreate};
use crate::engine::ids::{Position, ProjectName};
use crate::journal::memory::MemoryJournal;
use crate::journal::shared::Connector;
use crate::journal::{Entry, Journal, JournalError, JournalStatus};
use crate::metrics::Metrics;
use crate::protocol::error::RpcError;
use crate::protocol::session::PeerConfig;

/// Jobs that wait for the journal's thread: one append, one set of snapshots, one backup, one check,
/// and room.
const JOURNAL_JOBS_MAX: usize = 8;

/// The running driver; cheap to clone.
#[derive(Clone)]
pub struct Driver {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

/// A lone command is synced in place while syncs have taken no longer than this of late: so long
/// all connections may stand still without anybody noticing.
const SYNC_IN_PLACE_US_MAX: u64 = 1_000;
/// Turns of the connections that a batch for a shared journal waits for at the most.
const GATHER_TURNS_MAX: usize = 32;

struct Shared {
    state: Mutex<State>,
    journal: Arc<Mutex<Box<dyn Journal>>>,
    /// How long syncs take: a moving average.
    sync_us: AtomicU64,
    /// Commands wait to be sent off.
    flush: Notify,
    metrics: Metrics,
    clock: Clock,
    jobs: SyncSender<Job>,
    /// Starts the line of a project of a shared journal.
    lines: Option<LineStarter>,
    /// The time to wake up at may have changed.
    rearm: Notify,
    failure: watch::Sender<Option<String>>,
    settled: Notify,
}

struct State {
    core: Core,
    /// A batch of one, to be synced in place.
    lone: Option<Vec<Entry>>,
    wakers: HashMap<ConnectionId, Arc<Notify>>,
    /// When the clock's task wakes up, as far as it knows.
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

    /// Starts a driver whose journal is shared: every project of the core gets a line of its own.
    /// Must be called in a runtime.
    pub fn start_shared<C: Connector>(
        core: Core,
        connector: C,
        backup: BackupWriter,
        clock: Clock,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let start = move |driver, project| line::spawn(driver, connector.clone(), project);
        // Backups are written from snapshots of the engines; there is nothing else on this box.
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
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
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

    /// Who a secret belongs to; `None` when it is unknown, revoked or has run out.
    pub fn authenticate(&self, secret: &str) -> Option<Identity> {
        self.lock().core.authenticate(secret)
    }

    /// Takes in a connection of an identity, to the project it names or means, unless it is meant for
    /// another environment.
    pub fn connect(
        &self,
        identity: Identity,
        project: Option<&str>,
        peer: &PeerConfig,
    ) -> Result<Link, RpcError> {
        let notify = Arc::new(Notify::new());
        let now = self.shared.clock.now();
        let mut state = self.lock();
        let project = state.core.project_of(&identity, project)?;
        state.core.check_environment(peer.environment.as_ref())?;
        let id = state.core.connect(now, identity, project)?;
        state.core.compare_ports(id, peer.port_fingerprint.as_ref());
        state.wakers.insert(id, Arc::clone(&notify));
        drop(state);
        Ok(Link {
            driver: self.clone(),
            id,
            notify,
            reason: LostReason::ConnectionLost,
        })
    }

    /// Proposes what a start needs, once the core has read what there is.
    pub fn begin(&self, operator: Option<TokenCreate>) {
        self.with_core(None, |core, now| core.start(now, operator));
    }

    /// The coordinator is ready for the first time.
    pub fn begin_serving(&self) {
        self.with_core(None, |core, _| core.begin_serving());
    }

    /// Looks at the core; for health and metrics.
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

    /// Waits until the line of a project is within reach and read to its end.
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
            // From here on nothing is missed, whatever happens between the look and the wait.
            notified.as_mut().enable();
            if reached(&self.lock().core) {
                return;
            }
            notified.await;
        }
    }

    /// Waits until the journal's thread has shown that it can sync, without writing anything. Does
    /// not come back when the journal fails: [`Driver::failure`] tells that.
    pub async fn check_sync(&self) {
        let (asked, answered) = oneshot::channel();
        // A full queue, or a thread that has ended, is a journal that does not answer.
        if self.shared.jobs.try_send(Job::CheckSync(asked)).is_err() || answered.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Makes a token, in the place of an earlier one of the same id.
    pub fn replace_token(&self, token: TokenCreate) {
        self.with_core(None, |core, now| core.replace_token(now, token));
    }

    /// Refuses new work; waiting requests are told to come back.
    pub fn drain(&self) {
        self.with_core(None, Core::drain);
    }

    /// Tells every connection that it ends; each does once its peer is quiet.
    pub fn end_all(&self, reason: &str) {
        self.with_core(None, |core, _| core.end_all(reason));
    }

    /// Becomes a text when the journal has failed: nothing more can be made durable, so the
    /// process must end and recover.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.shared.failure.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock aborts a release build; in a test the state is still consistent,
        // since the core applies whole records.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the core and carries out its effects. `caller` takes its own frames afterwards.
    fn with_core<T>(
        &self,
        caller: Option<ConnectionId>,
        call: impl FnOnce(&mut Core, Moment) -> T,
    ) -> T {
        let now = self.shared.clock.now();
        let mut state = self.lock();
        let result = call(&mut state.core, now);
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

    fn carry_out(&self, state: &mut State, caller: Option<ConnectionId>) {
        while let Some(output) = state.core.poll_output() {
            let job = match output {
                Output::Wake(id) | Output::Close(id) => {
                    if Some(id) != caller
                        && let Some(waker) = state.wakers.get(&id)
                    {
                        waker.notify_one();
                    }
                    continue;
                }
                Output::Follow(project) => {
                    if let Some(start) = &self.shared.lines {
                        let sender = start(self.clone(), project.clone());
                        state.lines.insert(project, sender);
                    }
                    continue;
                }
                Output::StreamAppend { project, batch } => {
                    Self::to_line(state, &project, LineJob::Append(batch));
                    continue;
                }
                Output::StreamSnapshot {
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
                Output::Append(entries) if self.syncs_in_place(&entries) => {
                    state.lone = Some(entries);
                    self.shared.flush.notify_one();
                    continue;
                }
                Output::Append(entries) => Job::Append(entries),
                Output::Snapshots { snapshots, floor } => Job::Snapshots { snapshots, floor },
                Output::Backup {
                    request,
                    name,
                    snapshots,
                } => Job::Backup {
                    request,
                    name,
                    snapshots,
                },
            };
            // The queue has room for every job the core can have out at once, so this never
            // waits; it fails only once the journal's thread has ended with a failure.
            let _ = self.shared.jobs.try_send(job);
        }
    }

    /// A line has room for every job that the core can have out at once; it is gone only once it has
    /// failed for good, and the process with it.
    fn to_line(state: &State, project: &ProjectName, job: LineJob) {
        if let Some(line) = state.lines.get(project) {
            let _ = line.try_send(job);
        }
    }

    /// Sends batches off whenever there is something to send and nothing on its way.
    async fn send_off(self) {
        loop {
            self.shared.flush.notified().await;
            self.gather().await;
            self.with_core(None, |core, _| core.flush());
            // A lone command that was synced in place may have let others go on.
            let lone = self.lock().lone.take();
            if let Some(entries) = lone
                && !self.sync_in_place(entries)
            {
                return;
            }
        }
    }

    /// An append to a shared journal takes far longer than a turn of the connections: as long as each
    /// turn brings more, and until the line has its share, it is worth waiting for the next. Else those
    /// who were just answered would miss the batch of the others, and appends would carry less than they
    /// could.
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

    /// Syncs a lone command on this thread. Says whether the journal is still good.
    fn sync_in_place(&self, entries: Vec<Entry>) -> bool {
        let Ok(mut journal) = self.shared.journal.try_lock() else {
            // The journal's thread is busy with a snapshot or a backup; it takes this one next.
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

    /// Deals with what the journal did. Says whether it is still good.
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
                // Whoever asked may have given up meanwhile.
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

    /// Whether one command is better synced in place than by the journal's thread.
    fn syncs_in_place(&self, entries: &[Entry]) -> bool {
        let fast = self.shared.sync_us.load(Ordering::Relaxed) <= SYNC_IN_PLACE_US_MAX;
        entries.len() == 1 && fast
    }

    fn appended(&self, positions: &[Position], status: JournalStatus) {
        // First the next batch goes off, then the results of this one are applied.
        self.with_core(None, |core, _| core.synced(positions, status));
        self.with_core(None, Core::apply_synced);
    }

    fn fail(&self, error: &JournalError) {
        self.fail_with(describe(error));
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

/// An error with all its causes, on one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
