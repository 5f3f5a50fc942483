//! What the simulations share: many seeds on all processors, replays, planted bugs.

use std::collections::BTreeMap;

use cli_coordinator::metrics::{Metrics, MetricsScope};

use super::violation::{Invariant, Violation};
use cli_coordinator::planted::{Bug, Planted};

/// Failing seeds after which a run gives up: enough to see whether they have one cause.
const FAILURES_SHOWN: usize = 12;

/// What a run came to: the hash of all that happened, and how often what did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) hash: u64,
    pub(crate) seen: BTreeMap<String, u64>,
}

/// Which seeds to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// `SIM_SEED`: this one, with a trace.
    One(u64),
    /// So many from 0 on.
    Many(u64),
}

/// A simulation: what runs one of its seeds, and how it is called.
#[derive(Debug)]
pub(crate) struct Simulation {
    /// Its module, for the command that replays.
    pub(crate) name: &'static str,
    /// The variable that sets how many seeds run.
    pub(crate) seeds_variable: &'static str,
    /// Seeds of an ordinary test run.
    pub(crate) seeds: u64,
    /// What an ordinary run must come across: runs that never reach something prove nothing of it.
    pub(crate) reached: &'static [&'static str],
    /// Runs a seed; the last argument asks for a trace.
    pub(crate) run: fn(u64, &Metrics, bool) -> Result<Report, Violation>,
}

pub(crate) fn metrics() -> Metrics {
    Metrics::new(&[("version", "0")], MetricsScope::default())
}

/// What some of the seeds came to.
#[derive(Default)]
struct Results {
    failing: Vec<(u64, String)>,
    seen: BTreeMap<String, u64>,
}

impl Results {
    fn add(&mut self, seen: BTreeMap<String, u64>) {
        for (what, count) in seen {
            *self.seen.entry(what).or_default() += count;
        }
    }
}

impl Simulation {
    #[allow(
        clippy::disallowed_methods,
        reason = "a failing seed must be replayed without changing the test"
    )]
    fn plan(&self) -> Plan {
        let number = |name: &str| std::env::var(name).ok()?.parse().ok();
        match (number("SIM_SEED"), number(self.seeds_variable)) {
            (Some(seed), _) => Plan::One(seed),
            (None, count) => Plan::Many(count.unwrap_or(self.seeds)),
        }
    }

    /// Runs as many seeds as are asked for; all of them must keep every promise.
    pub(crate) fn every_seed_keeps_every_promise(&self) {
        let Plan::Many(count) = self.plan() else {
            return;
        };
        let Results { failing, seen } = self.all_seeds(count);
        let shown: Vec<String> = failing
            .iter()
            .map(|(seed, what)| format!("seed {seed} breaks {what}"))
            .collect();
        assert!(
            failing.is_empty(),
            "{}\nreplay: SIM_SEED={} cargo test --features test-doubles --test simulation {}::replay -- --nocapture",
            shown.join("\n"),
            failing[0].0,
            self.name
        );
        let reached = self.reached.iter();
        let missing: Vec<&&str> = reached.filter(|what| !seen.contains_key(**what)).collect();
        assert!(
            count < self.seeds || missing.is_empty(),
            "never reached: {missing:?}; reached: {seen:#?}"
        );
    }

    /// Replays the seed in `SIM_SEED` with a trace; without one, proves on some that replays are exact.
    pub(crate) fn replay(&self) {
        let metrics = metrics();
        if let Plan::One(seed) = self.plan() {
            let result = (self.run)(seed, &metrics, true);
            return assert!(result.is_ok(), "seed {seed}: {result:?}");
        }
        for seed in 0..4 {
            let [first, second] = [(); 2].map(|()| (self.run)(seed, &metrics, false));
            assert_eq!(first, second, "seed {seed} does not replay");
        }
    }

    /// Each run is single-threaded; the runs are shared out over the processors.
    fn all_seeds(&self, count: u64) -> Results {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut all = Results::default();
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads as u64)
                .map(|first| scope.spawn(move || self.some_seeds(first, threads, count)))
                .collect();
            for thread in running {
                let results = thread.join().expect("panics of runs are caught");
                all.failing.extend(results.failing);
                all.add(results.seen);
            }
        });
        all.failing.sort();
        all
    }

    /// Runs every `stride`th seed from `first` on.
    fn some_seeds(&self, first: u64, stride: usize, count: u64) -> Results {
        let metrics = metrics();
        let mut results = Results::default();
        for seed in (first..count).step_by(stride) {
            match self.outcome(seed, &metrics) {
                Ok(report) => results.add(report.seen),
                Err(what) => results.failing.push((seed, what)),
            }
            if results.failing.len() == FAILURES_SHOWN {
                break;
            }
        }
        results
    }

    /// Runs one seed. A panic is a violation too: no input may cause one.
    fn outcome(&self, seed: u64, metrics: &Metrics) -> Result<Report, String> {
        let run = || (self.run)(seed, metrics, false);
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(violation)) => Err(format!("{:?}: {}", violation.invariant, violation.what)),
            Err(_) => Err("Panic: see above".to_owned()),
        }
    }

    /// A bug is found within so many seeds, by the invariant that is there for it; `others` may see it
    /// first.
    #[allow(clippy::print_stdout, reason = "says how soon each bug was found")]
    pub(crate) fn finds(&self, bug: Bug, within: u64, expected: Invariant, others: &[Invariant]) {
        let _planted = Planted::new(bug);
        let metrics = metrics();
        for seed in 0..within {
            let Err(violation) = (self.run)(seed, &metrics, false) else {
                continue;
            };
            let Violation { invariant, what } = violation;
            println!("{bug:?}: seed {seed}, {invariant:?}: {what}");
            if invariant == expected {
                return;
            }
            let seen_first = others.contains(&invariant);
            let broke = format!("{bug:?} broke {invariant:?}, not {expected:?}: {what}");
            assert!(seen_first, "{broke}");
        }
        panic!("{bug:?} did not break {expected:?} within {within} seeds");
    }
}
