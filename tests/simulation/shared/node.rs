//! A simulated coordinator: the real core and the real tasks of its lines, polled by hand.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Wake, Waker};

use cli_coordinator::driver::core::{Core, CoreOutput, Moment, SYSTEM_PROJECT};
use cli_coordinator::driver::secret::Entropy;
use cli_coordinator::driver::shell::LineHost as _;
use cli_coordinator::driver::shell::line::task;
use cli_coordinator::engine::ids::ProjectName;
use cli_coordinator::journal::JournalStatus;
use cli_coordinator::journal::shared::sim_store::SimConnector;
use cli_coordinator::metrics::Metrics;

use super::host::SimHost;
use super::settings::Settings;
use crate::simulation::chance::Chance;
use crate::simulation::violation::{Checked, Invariant, broken};

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
    woken: Arc<Woken>,
}

/// A task let others go first: it goes on when the node runs the next time, whatever happens until then.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Line {
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
            JournalStatus::EMPTY,
            Moment(now_us),
        );
        Self {
            name,
            host: SimHost::new(core, metrics.clone(), now_us),
            connector,
            lines: BTreeMap::new(),
            frozen: false,
            down: false,
            begun: false,
            skew_us: 0,
            woken: Arc::default(),
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
        self.host.set_time(now_us + self.skew_us);
    }

    pub(crate) fn jump_ahead(&mut self, us: u64) {
        self.skew_us += us;
        self.host.set_time(self.now().0 + us);
    }

    /// Why it cannot go on, if it said so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.host.failure()
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

    /// Whether a task of its only let others go first.
    pub(crate) fn goes_on(&self) -> bool {
        self.is_running() && self.woken.0.load(Ordering::Relaxed)
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
            self.woken.0.store(false, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&self.woken));
            let mut context = Context::from_waker(&waker);
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
        let (outputs, mut moved) = self.host.outputs();
        for output in outputs {
            moved = true;
            match output {
                CoreOutput::Wake(_) | CoreOutput::Close(_) => {}
                CoreOutput::Follow(project) => {
                    let (host, connector) = (self.host.clone(), self.connector.clone());
                    let (jobs, task) = task(host, connector, project.clone());
                    self.host.add_line(project.clone(), jobs);
                    let line = Line {
                        task: Box::pin(task),
                        ended: false,
                    };
                    self.lines.insert(project, line);
                }
                // Whether a full store has room again.
                CoreOutput::Append(entries) if entries.is_empty() => {
                    let now = self.now();
                    self.core().appended(now, &[], JournalStatus::EMPTY);
                }
                CoreOutput::StreamAppend { .. } | CoreOutput::StreamSnapshot { .. } => {
                    unreachable!("the lines have them by now")
                }
                CoreOutput::Append(_)
                | CoreOutput::Snapshots { .. }
                | CoreOutput::Backup { .. } => {
                    unreachable!("the journal is shared, and nobody asks for a backup")
                }
            }
        }
        moved
    }
}
