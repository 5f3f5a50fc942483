//! Carries out the jobs of a line: appends and snapshots, one at a time.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc::Receiver;

use super::{LineEnd, LineJob, LineTask};
use crate::driver::line::AppendFailure;
use crate::driver::shell::LineHost;
use crate::engine::ids::{Cursor, Epoch};
use crate::journal::shared::{Batch, Store, StoreError, StreamSnapshot};

impl<H: LineHost> LineTask<H> {
    pub(super) async fn write<S: Store>(
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

    pub(super) fn failed(&self, how: AppendFailure) {
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
                tracing::warn!(project = %self.project, %why, "no space for a snapshot");
                self.snapshot_failed();
                Ok(())
            }
            Err(error) => {
                self.snapshot_failed();
                Err(error.into())
            }
        }
    }

    pub(super) fn snapshot_failed(&self) {
        self.host
            .with_core(|core, now| core.stream_snapshot_failed(now, &self.project));
    }
}
