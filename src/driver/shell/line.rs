//! The task of one project's line of a shared journal. It connects, establishes, appends and follows, and starts
//! again whenever the connection to the store ends.
//!
//! ```text
//!  connect ──► establish ──► catch up ──► line_up ──► write and follow, until either ends
//!     ▲                                                              │
//!     └── pause, refuse jobs ◄── line_down ◄── append unanswered ────┘
//! ```

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver};

use super::{Driver, LineHost};
use crate::causes;
use crate::driver::core::{Core, Moment};
use crate::driver::line::{AppendFailure, LineError, Loss};
use crate::engine::ids::{Cursor, Epoch, NodeId, Position, ProjectName};
use crate::journal::Entry;
use crate::journal::shared::{
    Batch, Connector, Established, Stage, Start, StateHolder, Store, StoreError, StreamRecord,
    StreamSnapshot, establish,
};

/// Jobs of one line at once: an append, a snapshot, and some spare places.
pub(super) const LINE_JOBS_MAX: usize = 4;
/// Records to ask for at once; a store returns fewer if they could be too many bytes.
const READ_RECORDS_MAX: usize = 1_024;
/// How long a follower waits for the next record before it asks again. Each answer, even an empty one, shows that
/// the store is reachable.
const FOLLOW_WAIT: Duration = Duration::from_secs(1);
/// The first and the longest pause before a retry.
const PAUSE_MS_MIN: u64 = 50;
const PAUSE_MS_MAX: u64 = 2_000;

/// What a line does besides following.
#[derive(Debug)]
pub enum LineJob {
    Append(Batch),
    Snapshot {
        snapshot: StreamSnapshot,
        keep_from: Cursor,
    },
}

/// Starts the task of a line. Returns the sender for its jobs.
pub(super) fn spawn<C: Connector>(
    driver: Driver,
    connector: C,
    project: ProjectName,
) -> mpsc::Sender<LineJob> {
    let (sender, task) = task(driver, connector, project);
    tokio::spawn(task);
    sender
}

/// The task of a line, and the sender for its jobs. The task ends when all senders are dropped.
pub fn task<H: LineHost, C: Connector>(
    host: H,
    connector: C,
    project: ProjectName,
) -> (mpsc::Sender<LineJob>, impl Future<Output = ()> + Send) {
    let (sender, jobs) = mpsc::channel(LINE_JOBS_MAX);
    let line = LineTask {
        host,
        project,
        appending: AtomicBool::new(false),
        delay: Mutex::default(),
    };
    (sender, line.run(connector, jobs))
}

/// Why a connection is no longer used.
enum LineEnd {
    /// The store failed or refused.
    Store(StoreError),
    /// What was read does not continue what was applied.
    Line(LineError),
    /// The driver is gone.
    Stopped,
}

impl From<StoreError> for LineEnd {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<LineError> for LineEnd {
    fn from(error: LineError) -> Self {
        Self::Line(error)
    }
}

/// What the end of a connection means for health. `None`: the line reconnects at once.
fn lost(end: &LineEnd) -> Option<Loss> {
    match end {
        LineEnd::Store(error) if error.is_loading() => Some(Loss::Loading),
        LineEnd::Line(_) | LineEnd::Store(StoreError::EpochEnded | StoreError::StreamGone) => None,
        LineEnd::Store(_) | LineEnd::Stopped => Some(Loss::OutOfReach),
    }
}

struct LineTask<H> {
    host: H,
    project: ProjectName,
    /// An append was sent and is not answered yet.
    appending: AtomicBool,
    delay: Mutex<Delay>,
}

/// Measures the time from the answer to an append until the stream shows its record.
#[derive(Default)]
struct Delay {
    /// The record to wait for, and when its append was answered.
    appended: Option<(Position, Moment)>,
    shown: Position,
}

impl<H: LineHost> LineTask<H> {
    async fn run<C: Connector>(self, connector: C, mut jobs: Receiver<LineJob>) {
        let mut pause_ms = PAUSE_MS_MIN;
        let mut told = None;
        loop {
            let begun = self.host.now();
            let end = self.connected(&connector, &mut jobs, &mut told).await;
            let was_up = told.is_none();
            let lasted_ms = self.host.now().since_us(begun) / 1_000;
            // The connection ended with an append unanswered. This comes before `line_down`, so that the records of
            // that append which the stream has shown can still be applied there.
            if self.appending.swap(false, Ordering::Relaxed) {
                self.failed(AppendFailure::Unknown);
            }
            // A tail may be lost, and then other records get the same positions.
            *self.delay() = Delay::default();
            self.host
                .with_core(|core, now| core.line_down(now, &self.project));
            self.host.settled();
            // Only a connection that lasted resets the pause: a store that can be read but not written to is up for a
            // moment each time, and must not be tried without growing pauses.
            if was_up && lasted_ms >= PAUSE_MS_MAX {
                pause_ms = PAUSE_MS_MIN;
            }
            let lost = lost(&end);
            self.host
                .with_core(|core, _| core.line_lost(&self.project, lost));
            match end {
                LineEnd::Stopped => return,
                LineEnd::Store(StoreError::Unfit(why) | StoreError::Corrupt(why)) => {
                    return self.host.fail(why);
                }
                LineEnd::Line(error @ LineError::Unreadable(_)) => {
                    return self.host.fail(causes::one_line(&error));
                }
                LineEnd::Line(error) if !was_up => self.tell(&mut told, error.to_string()),
                LineEnd::Line(_)
                | LineEnd::Store(StoreError::EpochEnded | StoreError::StreamGone) => {
                    told = Some(String::new());
                }
                LineEnd::Store(error) => self.tell(&mut told, error.to_string()),
            }
            self.host.metrics().shared.reconnects.inc();
            if self.rest(pause_ms, &mut jobs).await.is_none() {
                return;
            }
            pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
        }
    }

    /// Logs why the store is not used, once for each reason.
    fn tell(&self, told: &mut Option<String>, why: String) {
        if told.as_ref() != Some(&why) {
            tracing::warn!(project = %self.project, %why, "the shared journal is out of reach");
            *told = Some(why);
        }
    }

    /// Waits before the next try, for a random time, so that coordinators do not all come at once. Jobs that arrive
    /// meanwhile are refused, because the core waits for an answer to each of them.
    async fn rest(&self, pause_ms: u64, jobs: &mut Receiver<LineJob>) -> Option<()> {
        let pause_ms = pause_ms / 2 + self.dice() % pause_ms;
        let pause = self.host.pause(Duration::from_millis(pause_ms));
        let mut pause = std::pin::pin!(pause);
        loop {
            tokio::select! {
                biased;
                () = &mut pause => return Some(()),
                job = jobs.recv() => self.refuse(&job?),
            }
        }
    }

    fn refuse(&self, job: &LineJob) {
        match job {
            LineJob::Append(_) => self.failed(AppendFailure::NotWritten),
            LineJob::Snapshot { .. } => self.snapshot_failed(),
        }
    }

    /// Uses one connection until it ends.
    async fn connected<C: Connector>(
        &self,
        connector: &C,
        jobs: &mut Receiver<LineJob>,
        told: &mut Option<String>,
    ) -> LineEnd {
        match self.establish(connector).await {
            Ok((store, epoch)) => {
                if told.take().is_some() {
                    tracing::info!(project = %self.project, "the shared journal is within reach");
                }
                // The end of either ends both: what was established holds for this pair of connections only.
                tokio::select! {
                    biased;
                    end = self.write(&store, epoch, jobs) => end,
                    end = self.follow(&store, epoch) => end,
                }
            }
            Err(end) => {
                told.get_or_insert_default();
                end
            }
        }
    }

    async fn establish<C: Connector>(&self, connector: &C) -> Result<(C::Store, Epoch), LineEnd> {
        let store = connector.connect(&self.project).await?;
        let Established {
            epoch,
            tail,
            start,
            opened,
            seeded,
        } = establish(&store, self).await?;
        let metrics = &self.host.metrics().shared;
        metrics.epochs_opened.inc_by(u64::from(opened));
        metrics.seeded.inc_by(u64::from(seeded));
        // Before any record is delivered: what follows continues the snapshot, not the present state.
        if let Start::Rebuild(snapshot) = &start {
            self.host
                .with_core(|core, _| core.rebuild(&self.project, snapshot.as_ref()))?;
        }
        self.reached(Stage::CatchingUp);
        // Caught up before the line is up: `line_up` refuses, reconciles and wakes by the state, so the state must
        // have every record up to the tail.
        self.catch_up(&store, tail).await?;
        self.host
            .with_core(|core, now| core.line_up(now, &self.project));
        self.host.settled();
        Ok((store, epoch))
    }

    /// Reads up to the tail that establishing found.
    async fn catch_up<S: Store>(&self, store: &S, tail: Cursor) -> Result<(), LineEnd> {
        loop {
            let read = self.host.inspect(|core| core.read_up_to(&self.project));
            if read >= tail {
                return Ok(());
            }
            let records = store.read(read, READ_RECORDS_MAX).await?;
            // The tail was there a moment ago. Asking again would loop for ever on a store that lost it.
            if records.is_empty() {
                let why = format!("its stream ended at {tail} and now has nothing after {read}");
                return Err(LineEnd::Store(StoreError::Refused(why)));
            }
            self.deliver(records)?;
            if self.host.inspect(|core| core.read_up_to(&self.project)) == read {
                let why = format!("what its stream has after {read} does not follow on that");
                return Err(LineEnd::Store(StoreError::Refused(why)));
            }
        }
    }

    fn deliver(&self, records: Vec<StreamRecord>) -> Result<(), LineError> {
        self.host
            .with_core(|core, now| core.delivered(now, &self.project, records))
    }

    async fn write<S: Store>(
        &self,
        store: &S,
        epoch: Epoch,
        jobs: &mut Receiver<LineJob>,
    ) -> LineEnd {
        loop {
            let job = match self.next_job(jobs).await {
                Ok(job) => job,
                Err(end) => return end,
            };
            // While the store works on this job, the records of the append before it are applied.
            let (done, applied) =
                tokio::join!(self.carry_out(store, epoch, job), self.apply_later());
            if let Err(end) = done.and(applied) {
                return end;
            }
        }
    }

    /// The next job. If none is waiting, what was appended by now is applied first.
    async fn next_job(&self, jobs: &mut Receiver<LineJob>) -> Result<LineJob, LineEnd> {
        if let Ok(job) = jobs.try_recv() {
            return Ok(job);
        }
        self.apply()?;
        jobs.recv().await.ok_or(LineEnd::Stopped)
    }

    fn apply(&self) -> Result<(), LineEnd> {
        self.host
            .with_core(|core, now| core.apply_arrivals(now, &self.project))?;
        self.host.settled();
        Ok(())
    }

    /// Applies after one turn of the other tasks, so that the job beside it reaches the store first.
    async fn apply_later(&self) -> Result<(), LineEnd> {
        tokio::task::yield_now().await;
        self.apply()
    }

    async fn carry_out<S: Store>(
        &self,
        store: &S,
        epoch: Epoch,
        job: LineJob,
    ) -> Result<(), LineEnd> {
        match job {
            LineJob::Append(batch) => self.append(store, epoch, &batch).await,
            LineJob::Snapshot {
                snapshot,
                keep_from,
            } => self.save(store, epoch, &snapshot, keep_from).await,
        }
    }

    async fn append<S: Store>(
        &self,
        store: &S,
        epoch: Epoch,
        batch: &Batch,
    ) -> Result<(), LineEnd> {
        let begun = self.host.now();
        self.appending.store(true, Ordering::Relaxed);
        let result = store.append(epoch, batch).await;
        self.appending.store(false, Ordering::Relaxed);
        let now = self.host.now();
        match result {
            Ok(at) => {
                self.host.observe_append(batch.count(), now.since_us(begun));
                self.observe_appended(at, begun, now);
                self.host
                    .with_core(|core, now| core.stream_appended(now, &self.project, at))?;
                Ok(())
            }
            Err(StoreError::Full(why)) => {
                tracing::warn!(project = %self.project, %why, "the shared journal is full");
                self.failed(AppendFailure::Full);
                Ok(())
            }
            // No answer: the record may be there. All other errors say that nothing was written.
            Err(error @ StoreError::Unreachable(_)) => {
                self.failed(AppendFailure::Unknown);
                Err(error.into())
            }
            Err(error) => {
                self.failed(AppendFailure::NotWritten);
                Err(error.into())
            }
        }
    }

    fn failed(&self, how: AppendFailure) {
        self.host.metrics().shared.appends_failed.inc();
        self.host
            .with_core(|core, now| core.append_failed(now, &self.project, how));
        self.host.settled();
    }

    async fn save<S: Store>(
        &self,
        store: &S,
        epoch: Epoch,
        snapshot: &StreamSnapshot,
        keep_from: Cursor,
    ) -> Result<(), LineEnd> {
        match store.save_snapshot(epoch, snapshot, keep_from).await {
            Ok(saved) => {
                let metrics = &self.host.metrics().shared;
                metrics.records_trimmed.inc_by(saved.trimmed);
                self.host.with_core(|core, now| {
                    core.stream_snapshot_saved(now, &self.project, saved.kept);
                });
                Ok(())
            }
            Err(StoreError::Full(why)) => {
                tracing::warn!(project = %self.project, %why, "no room for a snapshot");
                self.snapshot_failed();
                Ok(())
            }
            Err(error) => {
                self.snapshot_failed();
                Err(error.into())
            }
        }
    }

    fn snapshot_failed(&self) {
        self.host
            .with_core(|core, now| core.stream_snapshot_failed(now, &self.project));
    }

    async fn follow<S: Store>(&self, store: &S, epoch: Epoch) -> LineEnd {
        let mut read = Cursor::default();
        loop {
            let follow_from = |core: &Core| core.follow_from(&self.project, epoch);
            read = read.max(self.host.inspect(follow_from));
            self.pass_over(read.position);
            let records = match store.follow(read, READ_RECORDS_MAX, FOLLOW_WAIT).await {
                Ok(records) => records,
                Err(error) => return error.into(),
            };
            if let Some(last) = records.last() {
                read = last.at;
                self.observe_shown(last.at.position);
            }
            // If an append was answered at the same time, its answer is handled first and the next append is sent.
            // Delivered first, its record would only wait for that answer.
            tokio::task::yield_now().await;
            if let Err(error) = self.deliver(records) {
                return error.into();
            }
            self.host.settled();
        }
    }

    fn observe_appended(&self, at: Position, begun: Moment, now: Moment) {
        let shared = &self.host.metrics().shared;
        shared.append_seconds.observe(seconds(now.since_us(begun)));
        let mut delay = self.delay();
        if at > delay.shown {
            delay.appended.get_or_insert((at, now));
        }
    }

    fn delay(&self) -> MutexGuard<'_, Delay> {
        self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that are not read back are never shown, so their delay is not measured.
    fn pass_over(&self, up_to: Position) {
        let mut delay = self.delay();
        delay.appended.take_if(|(at, _)| *at <= up_to);
    }

    fn observe_shown(&self, up_to: Position) {
        let mut delay = self.delay();
        delay.shown = up_to;
        if let Some((_, since)) = delay.appended.take_if(|(at, _)| *at <= up_to) {
            let micros = self.host.now().since_us(since);
            let shared = &self.host.metrics().shared;
            shared.follow_seconds.observe(seconds(micros));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "latencies are far below 2^52")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

impl<H: LineHost> StateHolder for LineTask<H> {
    fn node(&self) -> NodeId {
        self.host.inspect(|core| core.config().node.clone())
    }

    fn known(&self) -> Option<Cursor> {
        self.host.inspect(|core| core.known(&self.project))
    }

    fn snapshot(&self) -> Option<StreamSnapshot> {
        self.host
            .inspect(|core| core.stream_snapshot(&self.project))
    }

    fn reached(&self, stage: Stage) {
        self.host
            .with_core(|core, now| core.line_reached(now, &self.project, stage));
    }

    fn marker(&self, epoch: Epoch) -> Entry {
        self.host
            .with_core(|core, now| core.epoch_marker(now, &self.project, epoch))
    }

    fn dice(&self) -> u64 {
        self.host.with_core(|core, _| core.dice())
    }

    async fn pause_ms(&self, milliseconds: u64) {
        self.host.pause(Duration::from_millis(milliseconds)).await;
    }
}
