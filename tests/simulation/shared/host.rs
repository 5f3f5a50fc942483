//! What surrounds the lines of a simulated coordinator: its core, its clock, and where its effects go.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use cli_coordinator::driver::core::{Core, CoreOutput, Moment};
use cli_coordinator::driver::shell::LineHost;
use cli_coordinator::driver::shell::line::LineJob;
use cli_coordinator::engine::ids::ProjectName;
use cli_coordinator::metrics::Metrics;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Cheap to clone; all clones are of one coordinator.
#[derive(Clone)]
pub(crate) struct SimHost {
    core: Arc<Mutex<Core>>,
    clock: Arc<AtomicU64>,
    metrics: Metrics,
    failed: Arc<Mutex<Option<String>>>,
    effects: Arc<Mutex<Effects>>,
    /// A line was given a job.
    moved: Arc<AtomicBool>,
}

/// Where the core's effects go: to the lines at once, as in the shell, the others wait for the node.
#[derive(Default)]
struct Effects {
    lines: BTreeMap<ProjectName, mpsc::Sender<LineJob>>,
    others: VecDeque<CoreOutput>,
}

impl SimHost {
    pub(crate) fn new(core: Core, metrics: Metrics, now_us: u64) -> Self {
        Self {
            core: Arc::new(Mutex::new(core)),
            clock: Arc::new(AtomicU64::new(now_us)),
            metrics,
            failed: Arc::default(),
            effects: Arc::default(),
            moved: Arc::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_time(&self, time_us: u64) {
        self.clock.store(time_us, Ordering::Relaxed);
    }

    pub(crate) fn failure(&self) -> Option<String> {
        let failed = self.failed.lock();
        failed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add_line(&self, project: ProjectName, jobs: mpsc::Sender<LineJob>) {
        self.effects().lines.insert(project, jobs);
    }

    /// What the node has to carry out, and whether lines have been given jobs since this was asked last.
    pub(crate) fn outputs(&self) -> (VecDeque<CoreOutput>, bool) {
        self.hand_on(&mut self.lock());
        let others = std::mem::take(&mut self.effects().others);
        (others, self.moved.swap(false, Ordering::Relaxed))
    }

    fn effects(&self) -> MutexGuard<'_, Effects> {
        self.effects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_on(&self, core: &mut Core) {
        let mut effects = self.effects();
        while let Some(output) = core.poll_output() {
            let (project, job) = match output {
                CoreOutput::StreamAppend { project, batch } => (project, LineJob::Append(batch)),
                CoreOutput::StreamSnapshot {
                    project,
                    snapshot,
                    keep_from,
                } => {
                    let job = LineJob::Snapshot {
                        snapshot,
                        keep_from,
                    };
                    (project, job)
                }
                other => {
                    effects.others.push_back(other);
                    continue;
                }
            };
            self.moved.store(true, Ordering::Relaxed);
            // A line that has ended takes nothing any more.
            if let Err(TrySendError::Full(_)) = effects.lines[&project].try_send(job) {
                panic!("a line has room for all jobs that the core can have out at once");
            }
        }
    }
}

impl LineHost for SimHost {
    fn with_core<T>(&self, call: impl FnOnce(&mut Core, Moment) -> T) -> T {
        let now = self.now();
        let mut core = self.lock();
        let result = call(&mut core, now);
        core.flush();
        self.hand_on(&mut core);
        result
    }

    fn inspect<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.lock())
    }

    fn now(&self) -> Moment {
        Moment(self.clock.load(Ordering::Relaxed))
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn observe_append(&self, _commands: usize, _micros: u64) {}

    fn settled(&self) {}

    fn fail(&self, why: String) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(why);
    }

    async fn pause(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let until = self.now().0.saturating_add(us);
        std::future::poll_fn(|_| {
            if self.now().0 >= until {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
