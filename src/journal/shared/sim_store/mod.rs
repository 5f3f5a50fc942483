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

mod chronicle;
mod connection;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub use chronicle::{Chronicle, Seeding, Written};
pub use connection::{SimConnection, SimConnector};
use server::{SimAnswer, SimRequest, SimServer};

use super::StoreError;
use crate::engine::ids::{Cursor, ProjectName};

/// How long a caller waits for an answer.
const CALL_MS_MAX: u64 = 3_000;

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

#[derive(Debug, Clone)]
struct Call {
    from: u64,
    project: ProjectName,
    /// The run of the server that the connection leads to; `None` for a new connection.
    run: Option<u64>,
    request: SimRequest,
    stage: CallStage,
    waker: Option<Waker>,
    sent_us: u64,
    abandoned: bool,
}

#[derive(Debug, Clone)]
enum CallStage {
    Sent,
    /// How many writes the server had done by then.
    Done(Result<SimAnswer, StoreError>, u64),
    Answered(Result<SimAnswer, StoreError>),
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

    /// Sends a call.
    fn ask(
        &self,
        from: u64,
        run: Option<u64>,
        project: &ProjectName,
        request: SimRequest,
    ) -> PendingCall {
        let mut inner = self.lock();
        inner.last_call += 1;
        let (id, sent_us) = (inner.last_call, inner.now_us);
        let call = Call {
            from,
            project: project.clone(),
            run,
            request,
            stage: CallStage::Sent,
            waker: None,
            sent_us,
            abandoned: false,
        };
        inner.calls.insert(id, call);
        PendingCall {
            store: self.clone(),
            id,
        }
    }
}

impl SimStoreState {
    fn server(&mut self, run: u64) -> &mut SimServer {
        self.servers.get_mut(&run).expect("the master is a server")
    }

    fn step(&mut self, id: u64) -> bool {
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        let run = call.run.unwrap_or(self.master);
        let is_master = run == self.master;
        let Some(server) = self.servers.get_mut(&run).filter(|server| server.alive) else {
            call.answer(Err(gone()));
            if call.abandoned {
                self.calls.remove(&id);
            }
            return true;
        };
        match &call.stage {
            CallStage::Sent => {
                let waited_ms = (self.now_us - call.sent_us) / 1_000;
                if server.has_nothing_yet(&call.project, &call.request, waited_ms) {
                    return false;
                }
                server.full = self.full;
                let now_ms = self.now_us / 1_000;
                let chronicle = &mut self.chronicle;
                chronicle.now_us = self.now_us;
                chronicle.run = run;
                chronicle.is_master = is_master;
                let result =
                    server.carry_out(call.from, &call.project, &call.request, now_ms, chronicle);
                call.stage = CallStage::Done(result, server.written);
                if call.abandoned {
                    self.calls.remove(&id);
                }
                true
            }
            CallStage::Done(_, written)
                if self.waits_for_replica
                    && matches!(call.request, SimRequest::Append { .. })
                    && server.replicated() < *written =>
            {
                false
            }
            CallStage::Done(result, _) => {
                let result = result.clone();
                call.answer(result);
                true
            }
            CallStage::Answered(_) => false,
        }
    }

    fn break_off(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let left_behind = call.left_behind();
        call.answer(Err(gone()));
        self.leave_behind(left_behind);
    }

    fn leave_behind(&mut self, call: Option<Call>) {
        if let Some(call) = call {
            self.last_call += 1;
            self.calls.insert(self.last_call, call);
        }
    }

    /// The caller gives up.
    fn abandon(&mut self, id: u64) {
        if let Some(call) = self.calls.remove(&id) {
            self.leave_behind(call.left_behind());
        }
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

    /// The answer to a call, or a timeout if the caller has waited long enough.
    fn take(&mut self, id: u64, context: &Context<'_>) -> Option<Result<SimAnswer, StoreError>> {
        let call = self.calls.get_mut(&id)?;
        if let CallStage::Answered(result) = &call.stage {
            let result = result.clone();
            self.calls.remove(&id);
            return Some(result);
        }
        let max_us = (call.request.wait_ms() + CALL_MS_MAX) * 1_000;
        if self.now_us >= call.sent_us + max_us {
            self.abandon(id);
            let text = format!("no answer within {} ms", max_us / 1_000);
            return Some(Err(StoreError::Unreachable(text)));
        }
        call.waker = Some(context.waker().clone());
        None
    }
}

impl Call {
    fn answer(&mut self, result: Result<SimAnswer, StoreError>) {
        self.stage = CallStage::Answered(result);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// What remains of the call when its caller gives up.
    fn left_behind(&self) -> Option<Self> {
        matches!(self.stage, CallStage::Sent).then(|| Self {
            abandoned: true,
            waker: None,
            ..self.clone()
        })
    }
}

fn gone() -> StoreError {
    StoreError::Unreachable("the connection broke".to_owned())
}

/// The answer to a call that was sent.
#[derive(Debug)]
struct PendingCall {
    store: SimStore,
    id: u64,
}

impl Future for PendingCall {
    type Output = Result<SimAnswer, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.store.lock().take(self.id, context) {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.store.lock().abandon(self.id);
    }
}
