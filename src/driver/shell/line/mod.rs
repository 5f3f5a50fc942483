//! The task of one project's line of a shared journal. It connects, establishes, appends and follows, and starts
//! again whenever the connection to the store ends.
//!
//! ```text
//!  connect ──► establish ──► catch up ──► line_up ──► write and follow, until either ends
//!     ▲                                                              │
//!     └── pause, refuse jobs ◄── line_down ◄── append unanswered ────┘
//! ```

mod delay;
mod establish;
mod follow;
mod write;

use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver};

use delay::Delay;

use super::{Driver, LineHost};
use crate::causes;
use crate::driver::line::{AppendFailure, LineError, Loss};
use crate::engine::ids::{Cursor, ProjectName};
use crate::journal::shared::{
    Batch, Connector, StateHolder, StoreError, StreamRecord, StreamSnapshot,
};

/// Jobs of one line at once: an append, a snapshot, and some spare places.
pub(super) const LINE_JOBS_MAX: usize = 4;
/// Records to ask for at once; a store returns fewer if they could be too many bytes.
const READ_RECORDS_MAX: usize = 1_024;
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
            tracing::warn!(project = %self.project, %why, "the shared journal cannot be reached");
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
                    tracing::info!(project = %self.project, "the shared journal can be reached");
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

    fn deliver(&self, records: Vec<StreamRecord>) -> Result<(), LineError> {
        self.host
            .with_core(|core, now| core.delivered(now, &self.project, records))
    }
}
