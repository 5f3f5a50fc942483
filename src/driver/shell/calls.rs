//! Calls of the core under its lock. Their effects are carried out before the lock is free again, and the clock's
//! task is set to the next wake-up.

use std::sync::{MutexGuard, PoisonError};

use super::line::LineJob;
use super::worker::Job;
use super::{Driver, DriverState};
use crate::driver::connection::ConnectionId;
use crate::driver::core::{Core, CoreOutput, Moment};
use crate::engine::ids::ProjectName;

impl Driver {
    pub(super) fn lock(&self) -> MutexGuard<'_, DriverState> {
        // A panic under the lock aborts a release build. In a test the state is still consistent, because the core
        // applies whole records.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the core and carries out its effects. `caller` takes its own frames afterwards, so it is not woken.
    pub(super) fn with_core<T>(
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

    pub(super) async fn keep_time(self) {
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
