//! A store in memory that fails as a Redis and its network do: the test double under the shared journal.
//!
//! Nothing happens by itself. A call is sent and waits. The driver of the simulation lets it reach the server,
//! lets the answer come back, or does neither; each is one [`SimStore::step`]. So calls of several coordinators
//! interleave at every point where they wait, in any order, and every order can be replayed. A caller that
//! gives up leaves a call behind that may still take effect, as long as its server runs.
//!
//! There is one master, and a replica that is behind it. [`SimStore::fail_over`] makes the replica the master,
//! under a new incarnation and without what was not replicated. A [`Chronicle`] records what was written and
//! lost, so that the simulation can check against it.

mod calls;
mod chronicle;
mod connection;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use calls::{Call, CallStage, gone};
pub use chronicle::{Chronicle, Seeding, Written};
pub use connection::{SimConnection, SimConnector};
use server::SimServer;

use crate::engine::ids::{Cursor, ProjectName};

/// Which data a server has when it starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Everything that was ever acknowledged.
    Whole,
    /// What its replica has.
    WithoutTail,
    Empty,
}

/// A call under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    pub id: u64,
    /// Which coordinator called.
    pub from: u64,
    pub project: ProjectName,
    pub what: &'static str,
    /// It took effect; its answer is under way.
    pub took_effect: bool,
    /// Its caller has given up.
    pub abandoned: bool,
}

/// The deployment: servers, and calls under way to them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SimStore(Arc<Mutex<SimStoreState>>);

#[derive(Debug)]
struct SimStoreState {
    now_us: u64,
    servers: BTreeMap<u64, SimServer>,
    master: u64,
    calls: BTreeMap<u64, Call>,
    last_call: u64,
    /// Coordinators that are cut off from every server.
    cut: BTreeSet<u64>,
    full: bool,
    /// An append is answered once the replica has it.
    waits_for_replica: bool,
    chronicle: Chronicle,
}

impl Default for SimStoreState {
    fn default() -> Self {
        Self {
            now_us: 0,
            servers: BTreeMap::from([(1, SimServer::new(1))]),
            master: 1,
            calls: BTreeMap::new(),
            last_call: 0,
            cut: BTreeSet::new(),
            full: false,
            waits_for_replica: false,
            chronicle: Chronicle::default(),
        }
    }
}

impl SimStore {
    /// The connector of the coordinator `from`.
    pub fn connector(&self, from: u64) -> SimConnector {
        SimConnector::new(self.clone(), from)
    }

    /// Sets the time of servers and callers.
    pub fn set_now_us(&self, now_us: u64) {
        self.lock().now_us = now_us;
    }

    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Appends are answered only once the replica has them.
    pub fn set_waits_for_replica(&self, waits: bool) {
        self.lock().waits_for_replica = waits;
    }

    /// Cuts a coordinator off from every server, or connects it again.
    pub fn cut(&self, from: u64, cut: bool) {
        let mut inner = self.lock();
        if cut {
            inner.cut.insert(from);
        } else {
            inner.cut.remove(&from);
        }
    }

    /// Whether this coordinator reaches a master that runs.
    pub fn reaches(&self, from: u64) -> bool {
        let inner = self.lock();
        !inner.cut.contains(&from) && inner.servers[&inner.master].alive
    }

    /// Calls that could take a step, the oldest first.
    pub fn calls(&self) -> Vec<CallView> {
        let inner = self.lock();
        let calls = inner.calls.iter();
        let open = calls.filter(|(_, call)| !matches!(call.stage, CallStage::Answered(_)));
        open.map(|(id, call)| CallView {
            id: *id,
            from: call.from,
            project: call.project.clone(),
            what: call.request.name(),
            took_effect: matches!(call.stage, CallStage::Done(..)),
            abandoned: call.abandoned,
        })
        .collect()
    }

    /// Moves a call one step: to the server, or back. Returns whether anything happened.
    pub fn step(&self, id: u64) -> bool {
        self.lock().step(id)
    }

    /// The connection breaks for the caller; the server may still get what was sent.
    pub fn break_off(&self, id: u64) {
        self.lock().break_off(id);
    }

    /// Drops the calls whose callers have given up: they do not arrive.
    pub fn forget_abandoned(&self) {
        self.lock().calls.retain(|_, call| !call.abandoned);
    }

    /// Lets the replica catch up by so many writes.
    pub fn replicate(&self, writes: usize) {
        let mut inner = self.lock();
        let master = inner.master;
        inner.server(master).replicate(writes);
    }

    /// The replica becomes the master. The old master still serves its connections until
    /// [`SimStore::end_old_masters`]; what is written there is lost.
    pub fn fail_over(&self) {
        let mut inner = self.lock();
        let old = &inner.servers[&inner.master];
        let run = inner.master + 1;
        let next = SimServer::holding(run, old.replica.clone());
        inner.take_over(next);
    }

    /// Masters that were replaced stop answering.
    pub fn end_old_masters(&self) {
        let mut inner = self.lock();
        let master = inner.master;
        let old: Vec<u64> = inner.servers.range(..master).map(|(run, _)| *run).collect();
        for run in old {
            inner.kill(run);
            inner.servers.remove(&run);
        }
    }

    /// The master ends. No server answers until it starts again, or another takes over.
    pub fn kill(&self) {
        let mut inner = self.lock();
        let master = inner.master;
        inner.kill(master);
    }

    /// The master starts again, as another run.
    pub fn restart(&self, restart: Restart) {
        let mut inner = self.lock();
        let master = inner.master;
        inner.kill(master);
        let old = &inner.servers[&master];
        let held = match restart {
            Restart::Whole => old.projects.clone(),
            Restart::WithoutTail => old.replica.clone(),
            Restart::Empty => BTreeMap::new(),
        };
        inner.take_over(SimServer::holding(master + 1, held));
        inner.servers.remove(&master);
    }

    /// The master and its replica are emptied, and continue as the same run.
    pub fn empty(&self) {
        let mut inner = self.lock();
        let master = &inner.servers[&inner.master];
        if master.alive {
            let next = master.emptied();
            inner.take_over(next);
        }
    }

    /// The master was a replica for a moment, unnoticed. It continues as the same run, with what its replica has.
    pub fn forget_tail(&self) {
        let mut inner = self.lock();
        let run = inner.master;
        let next = SimServer::holding(run, inner.servers[&run].replica.clone());
        inner.take_over(next);
    }

    /// The newest record or snapshot that the master has of a project.
    pub fn end_of(&self, project: &ProjectName) -> Option<Cursor> {
        let inner = self.lock();
        inner.servers[&inner.master].projects.get(project)?.end()
    }

    /// What the master's snapshot of a project covers, and its state.
    pub fn snapshot_of(&self, project: &ProjectName) -> Option<super::StreamSnapshot> {
        let inner = self.lock();
        let kept = inner.servers[&inner.master].projects.get(project)?;
        kept.snapshot.as_deref().cloned()
    }

    /// Everything that was ever written and lost.
    pub fn chronicle<T>(&self, look: impl FnOnce(&Chronicle) -> T) -> T {
        look(&self.lock().chronicle)
    }

    /// Runs something on a store without faults and without other users.
    pub fn run_alone<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            let calls = self.calls();
            let moved = calls.iter().filter(|call| self.step(call.id)).count();
            if moved == 0 {
                // Only followers can still be waiting, for a record.
                self.lock().now_us += 1_000;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, SimStoreState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimStoreState {
    fn server(&mut self, run: u64) -> &mut SimServer {
        self.servers.get_mut(&run).expect("the master is a server")
    }

    fn kill(&mut self, run: u64) {
        let is_master = run == self.master;
        if let Some(server) = self.servers.get_mut(&run) {
            server.alive = false;
        }
        let concerned = |call: &Call| call.run == Some(run) || (call.run.is_none() && is_master);
        self.calls
            .retain(|_, call| !(call.abandoned && concerned(call)));
        for call in self.calls.values_mut().filter(|call| concerned(call)) {
            if !matches!(call.stage, CallStage::Answered(_)) {
                call.answer(Err(gone()));
            }
        }
    }

    fn take_over(&mut self, next: SimServer) {
        let old = &self.servers[&self.master];
        for (project, kept) in &old.projects {
            let after = next.projects.get(project).and_then(server::SimProject::end);
            self.chronicle.replaced(project, kept.end(), after);
        }
        self.master = next.run;
        self.servers.insert(next.run, next);
    }
}
