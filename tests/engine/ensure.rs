//! `lease.ensure` and trees, against a model that looks at every lease.

use cli_coordinator::engine::command::{
    Action, Actor, HoldRequest, LeaseAcquire, LeaseEnsure, LeaseGiveBack, LeaseMode,
};
use cli_coordinator::engine::ids::{AgentName, TreeName};
use cli_coordinator::engine::leases::Lease;
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::{Outcome, Refusal};
use cli_coordinator::engine::resource::{Resource, ResourceRequest};
use cli_coordinator::engine::state::State;
use cli_coordinator::planted::{Bug, Planted};
use cli_coordinator::protocol::resource::ResourceParam;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use super::bench::{Bench, agent};
use crate::naive_ensure as naive;
use crate::naive_paths::{self as paths, CLOSE, FILES, RESOURCES, TREES};

/// What an agent does; its name is a number.
#[derive(Debug, Clone)]
enum Step {
    Ensure(LeaseEnsure),
    Acquire(LeaseAcquire),
    GiveBack(LeaseGiveBack),
    /// Nothing, for so long.
    Wait(u64),
}

fn read(text: &str) -> Resource {
    text.parse::<ResourceParam>().expect("it is a resource").0
}

fn resource() -> impl Strategy<Value = Resource> {
    let any = [RESOURCES, CLOSE, &["name:slot", "port:h:1"]].concat();
    prop_oneof![
        3 => prop::sample::select(FILES),
        1 => prop::sample::select(any),
    ]
    .prop_map(read)
}

fn tree() -> impl Strategy<Value = Option<TreeName>> {
    let tree = prop::sample::select(TREES);
    of(tree.prop_map(|text| text.parse().expect("a tree")))
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![4 => Just(LeaseMode::Exclusive), 1 => Just(LeaseMode::Shared)];
    let ttl = prop::sample::select(vec![1_000, 4_000, 30_000]);
    let asked = (vec(resource(), 1..4), mode, ttl, tree());
    let asked = asked.prop_map(|(resources, mode, ttl, tree)| LeaseEnsure {
        resources,
        mode,
        hold: HoldRequest::TtlMs(ttl),
        note: None,
        tree,
    });
    let waits = prop::sample::select(vec![1, 400, 600, 2_100, 16_000]);
    let asked = asked.boxed();
    prop_oneof![
        6 => asked.clone().prop_map(Step::Ensure),
        2 => asked.prop_map(|asked| Step::Acquire(LeaseAcquire {
            resources: asked.resources.into_iter().map(ResourceRequest::One).collect(),
            mode: asked.mode,
            hold: asked.hold,
            note: None,
            tree: asked.tree,
        })),
        1 => (vec(resource(), 1..3), tree()).prop_map(|(resources, tree)| {
            Step::GiveBack(LeaseGiveBack { resources, tree })
        }),
        3 => waits.prop_map(Step::Wait),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    vec((0..3usize, step()), 1..40)
}

/// Why a run is wrong, by the promise that is broken.
type Checked = Result<(), TestCaseError>;

fn check(holds: bool, promise: &str, what: &dyn std::fmt::Debug) -> Checked {
    if holds {
        return Ok(());
    }
    Err(TestCaseError::fail(format!("{promise}: {what:?}")))
}

fn run(steps: Vec<(usize, Step)>) -> Checked {
    let mut bench = Bench::new(Limits::default());
    for (number, step) in steps {
        let name = ["ant", "bee", "cat"][number];
        let by = agent(name);
        let holder = name.parse().expect("an agent");
        match step {
            Step::Ensure(asked) => ensure(&mut bench, &by, &holder, &asked)?,
            Step::Acquire(acquire) => acquires(&mut bench, &by, &acquire)?,
            Step::GiveBack(back) => gives_back(&mut bench, &by, &back)?,
            Step::Wait(ms) => {
                let node = Actor::Node("node".parse().expect("a node id"));
                bench.apply(node, None, Action::Tick, ms);
            }
        }
        check(bench.engine.is_consistent(), "consistent", &name)?;
        exclusive(bench.engine.state())?;
    }
    Ok(())
}

/// Nobody holds what another one holds, of the same tree or of none.
fn exclusive(state: &State) -> Checked {
    let held: Vec<&Lease> = state.leases.values().filter(|it| it.is_held()).collect();
    for (at, one) in held.iter().enumerate() {
        for other in held.iter().skip(at + 1) {
            let own = one.agent == other.agent && (one.ensured || other.ensured);
            let fine = own || !naive::exclude(one, other);
            check(fine, "exclusive", &(one, other))?;
        }
    }
    Ok(())
}

fn ensure(bench: &mut Bench, by: &Actor, holder: &AgentName, asked: &LeaseEnsure) -> Checked {
    let before = bench.engine.state().clone();
    let leases = || before.leases.values();
    let held = naive::holds_all(&leases(), holder, asked);
    let spared = naive::is_spared(&leases(), holder, asked, before.now);
    // From the state alone: only if all is held, and always if it is for long enough.
    let unwritten = bench.engine.ensured(by, asked);
    check(unwritten.is_none() || held, "ensured", &asked)?;
    check(unwritten.is_some() || !spared, "spared", &asked)?;
    let barred = |wanted: &String| leases().any(|lease| is_barred_by(lease, holder, asked, wanted));
    let wanted = naive::texts(&asked.resources);
    let is_barred = wanted.iter().any(barred);
    let lacks = |wanted: &String| {
        let alone = LeaseEnsure {
            resources: vec![read(wanted)],
            ..asked.clone()
        };
        !naive::holds_all(&leases(), holder, &alone)
    };
    let must_refuse = wanted.iter().any(|it| lacks(it) && barred(it));
    let answer = bench
        .apply(by.clone(), None, Action::LeaseEnsure(asked.clone()), 0)
        .answer;
    let after = bench.engine.state();
    match answer {
        Ok(outcome) => {
            check(!must_refuse, "all or nothing", &asked)?;
            let all = naive::holds_all(&after.leases.values(), holder, asked);
            check(all, "ensured", &(asked, &outcome))?;
            let Outcome::Ensured(told) = outcome else {
                return check(false, "ensured", &outcome);
            };
            let mut indices: Vec<u32> =
                told.leases.iter().flat_map(|it| it.asked.clone()).collect();
            indices.sort_unstable();
            let each: Vec<u32> = (0..).take(asked.resources.len()).collect();
            check(indices == each, "ensured", &told)?;
            let others = others_elsewhere(&before, holder, asked);
            check(
                told.elsewhere.is_empty() != others,
                "elsewhere",
                &(asked, &told),
            )?;
            if unwritten.is_some() {
                check(after.leases == before.leases, "spared", &asked)?;
            }
        }
        Err(refusal) => {
            let conflict = matches!(refusal, Refusal::LeaseConflict(_));
            check(conflict && is_barred, "free is taken", &(asked, refusal))?;
            check(after.leases == before.leases, "all or nothing", &asked)?;
        }
    }
    Ok(())
}

/// Whether a lease in the way keeps the agent from getting a resource.
fn is_barred_by(lease: &Lease, agent: &AgentName, asked: &LeaseEnsure, wanted: &str) -> bool {
    let shared = lease.mode == LeaseMode::Shared && asked.mode == LeaseMode::Shared;
    let meet = naive::meet(lease.tree.as_ref(), asked.tree.as_ref()) || !paths::is_place(wanted);
    let held = naive::texts(&lease.resources);
    let overlaps = held.iter().any(|held| paths::overlap(held, wanted));
    lease.agent != *agent && !shared && meet && overlaps
}

/// Whether others hold some of the same paths in other trees.
fn others_elsewhere(state: &State, holder: &AgentName, asked: &LeaseEnsure) -> bool {
    let Some(tree) = &asked.tree else {
        return false;
    };
    let wanted = naive::texts(&asked.resources);
    state.leases.values().any(|lease| {
        let shared = lease.mode == LeaseMode::Shared && asked.mode == LeaseMode::Shared;
        let other = lease.tree.as_ref().is_some_and(|other| other != tree);
        let held = naive::texts(&lease.resources);
        let overlaps =
            |held: &String, wanted: &String| paths::is_place(held) && paths::overlap(held, wanted);
        let overlaps = held.iter().any(|a| wanted.iter().any(|b| overlaps(a, b)));
        lease.is_held() && lease.agent != *holder && !shared && other && overlaps
    })
}

/// The index finds what a look at every lease finds, and nothing else.
fn acquires(bench: &mut Bench, by: &Actor, acquire: &LeaseAcquire) -> Checked {
    let asked = LeaseEnsure {
        resources: acquire
            .resources
            .iter()
            .filter_map(|it| it.one().cloned())
            .collect(),
        mode: acquire.mode,
        hold: acquire.hold,
        note: None,
        tree: acquire.tree.clone(),
    };
    let leases = bench.engine.state().leases.values();
    // One's own leases are in the way of an acquire, unless they have lapsed.
    let nobody = "nobody".parse().expect("an agent");
    let wanted = naive::texts(&asked.resources);
    let barred = leases.clone().any(|lease| {
        let own_lapsed = Some(&lease.agent) == by.agent() && !lease.is_held();
        let mut wanted = wanted.iter();
        !own_lapsed && wanted.any(|it| is_barred_by(lease, &nobody, &asked, it))
    });
    let answer = bench
        .apply(by.clone(), None, Action::LeaseAcquire(acquire.clone()), 0)
        .answer;
    check(answer.is_err() == barred, "conflicts", &(acquire, answer))
}

/// All that the resources contain, and nothing else, of what the agent has ensured.
fn gives_back(bench: &mut Bench, by: &Actor, back: &LeaseGiveBack) -> Checked {
    let before = bench.engine.state().clone();
    let unwritten = bench.engine.nothing_to_give_back(by, back).is_some();
    let answer = bench
        .apply(by.clone(), None, Action::LeaseGiveBack(back.clone()), 0)
        .answer;
    let after = bench.engine.state();
    let count = |state: &State| -> u64 {
        let counts = state.leases.values().map(|it| it.resources.len() as u64);
        counts.sum()
    };
    let gone = count(&before) - count(after);
    check(
        answer == Ok(Outcome::GivenBack(gone)),
        "given back",
        &(back, answer),
    )?;
    check(!unwritten || gone == 0, "given back", back)?;
    let asked = naive::texts(&back.resources);
    for (id, lease) in &before.leases {
        let left = after.leases.get(id).map(|it| naive::texts(&it.resources));
        let may_end = left.is_some() || naive::is_given_back(lease, back);
        check(may_end, "given back", &(back, lease))?;
        let left = left.unwrap_or_default();
        for held in naive::texts(&lease.resources) {
            let tree = lease.tree == back.tree || !paths::is_place(&held);
            let own = lease.ensured && lease.is_held() && Some(&lease.agent) == by.agent();
            let named = asked.iter().any(|asked| paths::contains(asked, &held));
            let stays = left.contains(&held);
            // Of a glob in another one, only what is plain to see is known.
            let is_sure = named && !held.starts_with("path:") && !held.ends_with('/');
            check(
                stays || (own && tree && named),
                "given back",
                &(back, lease),
            )?;
            check(
                !(stays && own && tree && is_sure),
                "given back",
                &(back, lease),
            )?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(super::bench::cases(400))]

    #[test]
    fn ensuring_is_all_or_nothing_and_true(steps in steps()) {
        run(steps)?;
    }
}

/// What is said to be contained is: every path that the inner one means, the outer one means too.
#[test]
fn what_is_contained_is_contained() {
    for outer in RESOURCES {
        for inner in RESOURCES {
            let says = read(outer).contains(&read(inner));
            assert!(!says || paths::contains(outer, inner), "{inner} in {outer}");
            let is_file = inner.starts_with("file:") && !inner.ends_with('/');
            assert!(
                says || !is_file || !paths::contains(outer, inner),
                "{inner} in {outer}"
            );
        }
    }
}

/// The promise that a planted bug breaks first.
fn broken_by(bug: Bug) -> String {
    let _planted = Planted::new(bug);
    let mut runner = TestRunner::deterministic();
    for _ in 0..20 {
        if let Err(TestError::Fail(why, _)) = runner.run(&steps(), run) {
            let why = why.to_string();
            return why.split(':').next().unwrap_or_default().to_owned();
        }
    }
    "nothing".to_owned()
}

#[test]
fn each_planted_bug_breaks_its_promise() {
    for (bug, promises) in [
        (
            Bug::TreelessExcludesNothing,
            &["exclusive", "conflicts", "all or nothing"][..],
        ),
        (Bug::EnsureTakesPart, &["all or nothing", "ensured"]),
        (Bug::LapsedIsEnsured, &["ensured"]),
        (Bug::EnsureAlwaysWrites, &["spared"]),
    ] {
        let promise = broken_by(bug);
        assert!(
            promises.contains(&promise.as_str()),
            "{bug:?} broke {promise}"
        );
    }
}
