//! A simulated coordinator: the real core and the real tasks of its lines, polled by hand.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cli_coordinator::driver::core::{Core, Moment, Output, SYSTEM_PROJECT};
use cli_coordinator::driver::secret::Entropy;
use cli_coordinator::driver::shell::line::{Host, LineJob, task};
use cli_coordinator::engine::ids::ProjectName;
use cli_coordinator::journal::shared::sim_store::SimConnector;
use cli_coordinator::journal::{JournalStatus, Space};
use cli_coordinator::metrics::Metrics;
use tokio::sync::mpsc;

use super::chance::Chance;
use super::settings::Settings;
use super::violation::{Checked, Invariant, broken};

/// How the journal stands that a coordinator with a shared one has beside it, for nothing.
const NO_JOURNAL: JournalStatus = JournalStatus {
    space: Space::Ample,
    live_bytes: 0,
    disk_bytes: 0,
    syncs: 0,
    written_bytes: 0,
};

/// Rounds without rest after which a coordinator counts as spinning.
const ROUNDS_MAX: usize = 1_000;

/// One coordinator.
pub(crate) struct Node {
    pub(crate) name: String,
    host: SimHost,
    connector: SimConnector,
    lines: BTreeMap<ProjectName, Line>,
    /// It does nothing while others go on, and then goes on with what it had.
    pub(crate) frozen: bool,
    pub(crate) down: bool,
    begun: bool,
    skew_us: u64,
}

struct Line {
    jobs: mpsc::Sender<LineJob>,
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
}

impl Node {
    pub(crate) fn start(
        number: usize,
        life: u32,
        settings: &Settings,
        chance: &mut Chance,
        metrics: &Metrics,
        connector: SimConnector,
        now_us: u64,
    ) -> Self {
        let name = format!("n{number}-{life}");
        let mut own = Chance::new(chance.next_u64());
        let entropy = Entropy(Box::new(move || own.bytes()));
        let core = Core::new(
            settings.core_config(&name),
            entropy,
            metrics.clone(),
            BTreeMap::new(),
            NO_JOURNAL,
            Moment(now_us),
        );
        Self {
            name,
            host: SimHost {
                core: Arc::new(Mutex::new(core)),
                clock: Arc::new(AtomicU64::new(now_us)),
                metrics: metrics.clone(),
                failed: Arc::default(),
            },
            connector,
            lines: BTreeMap::new(),
            frozen: false,
            down: false,
            begun: false,
            skew_us: 0,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.frozen && !self.down
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.host.lock()
    }

    pub(crate) fn now(&self) -> Moment {
        self.host.now()
    }

    /// Its clock shows what the others' show, and what it has jumped ahead.
    pub(crate) fn set_time(&mut self, now_us: u64) {
        let time_us = now_us + self.skew_us;
        self.host.clock.store(time_us, Ordering::Relaxed);
    }

    pub(crate) fn jump_ahead(&mut self, us: u64) {
        self.skew_us += us;
        self.host.clock.fetch_add(us, Ordering::Relaxed);
    }

    /// Why it cannot go on, if it said so.
    pub(crate) fn failure(&self) -> Option<String> {
        let failed = self.host.failed.lock();
        failed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How its lines stand, for whoever looks for a fault.
    pub(crate) fn describe(&self) -> String {
        let core = self.core();
        let lines = core.lines(self.now());
        let lines: Vec<String> = lines
            .map(|(name, line)| format!("{name} at {}: {line:?}", core.read_up_to(name)))
            .collect();
        format!("{}: {lines:?}", self.name)
    }

    /// The process ends: calls on their way are left behind.
    pub(crate) fn end(&mut self) {
        self.down = true;
        self.lines.clear();
    }

    /// Does everything it can do without anybody else.
    pub(crate) fn run(&mut self) -> Checked {
        for _ in 0..ROUNDS_MAX {
            if !self.is_running() {
                return Ok(());
            }
            let due = {
                let core = self.core();
                core.next_wakeup().is_some_and(|at| at <= self.now())
            };
            if due {
                let now = self.now();
                self.core().tick(now);
            }
            let mut moved = self.carry_out() || due;
            let mut context = Context::from_waker(Waker::noop());
            for line in self.lines.values_mut().filter(|line| !line.ended) {
                line.ended = line.task.as_mut().poll(&mut context).is_ready();
            }
            moved |= self.carry_out();
            let system: ProjectName = SYSTEM_PROJECT.parse().expect("the name is valid");
            if !self.begun && self.core().is_established(&system) {
                self.begun = true;
                let now = self.now();
                self.core().start(now, None);
                moved = true;
            }
            if !moved {
                return self
                    .failure()
                    .map_or(Ok(()), |why| broken(Invariant::Live, why));
            }
        }
        broken(
            Invariant::Live,
            format!("{} does not come to rest", self.name),
        )
    }

    /// Takes the core's effects. Says whether there were any.
    fn carry_out(&mut self) -> bool {
        let mut moved = false;
        loop {
            let Some(output) = self.core().poll_output() else {
                return moved;
            };
            moved = true;
            match output {
                Output::Wake(_) | Output::Close(_) => {}
                Output::Follow(project) => {
                    let (host, connector) = (self.host.clone(), self.connector.clone());
                    let (jobs, task) = task(host, connector, project.clone());
                    let line = Line {
                        jobs,
                        task: Box::pin(task),
                        ended: false,
                    };
                    self.lines.insert(project, line);
                }
                Output::StreamAppend { project, entries } => {
                    self.to_line(&project, LineJob::Append(entries));
                }
                Output::StreamSnapshot {
                    project,
                    snapshot,
                    records_kept,
                } => {
                    let job = LineJob::Snapshot {
                        snapshot,
                        records_kept,
                    };
                    self.to_line(&project, job);
                }
                // Whether a full store has room again.
                Output::Append(entries) if entries.is_empty() => {
                    let now = self.now();
                    self.core().appended(now, &[], NO_JOURNAL);
                }
                Output::Append(_) | Output::Snapshots { .. } | Output::Backup { .. } => {
                    unreachable!("the journal is shared, and nobody asks for a backup")
                }
            }
        }
    }

    fn to_line(&self, project: &ProjectName, job: LineJob) {
        let line = &self.lines[project];
        if !line.ended {
            let sent = line.jobs.try_send(job);
            sent.expect("a line has room for all jobs that the core can have out at once");
        }
    }
}

/// What surrounds a line here.
#[derive(Clone)]
struct SimHost {
    core: Arc<Mutex<Core>>,
    clock: Arc<AtomicU64>,
    metrics: Metrics,
    failed: Arc<Mutex<Option<String>>>,
}

impl SimHost {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for SimHost {
    fn with_core<T>(&self, call: impl FnOnce(&mut Core, Moment) -> T) -> T {
        let now = self.now();
        let mut core = self.lock();
        let result = call(&mut core, now);
        core.flush();
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
