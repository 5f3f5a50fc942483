//! Calls under way to the servers: sent, carried out, answered, or left behind by a caller that gave up.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::server::{SimAnswer, SimRequest};
use super::{SimStore, SimStoreState};
use crate::engine::ids::ProjectName;
use crate::journal::shared::StoreError;

/// How long a caller waits for an answer.
const CALL_MS_MAX: u64 = 3_000;

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) from: u64,
    pub(super) project: ProjectName,
    /// The run of the server that the connection leads to; `None` for a new connection.
    pub(super) run: Option<u64>,
    pub(super) request: SimRequest,
    pub(super) stage: CallStage,
    pub(super) waker: Option<Waker>,
    pub(super) sent_us: u64,
    pub(super) abandoned: bool,
}

#[derive(Debug, Clone)]
pub(super) enum CallStage {
    Sent,
    /// How many writes the server had done by then.
    Done(Result<SimAnswer, StoreError>, u64),
    Answered(Result<SimAnswer, StoreError>),
}

impl Call {
    pub(super) fn answer(&mut self, result: Result<SimAnswer, StoreError>) {
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

impl SimStore {
    /// Sends a call.
    pub(super) fn ask(
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

/// The answer to a call that was sent.
#[derive(Debug)]
pub(super) struct PendingCall {
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

impl SimStoreState {
    pub(super) fn step(&mut self, id: u64) -> bool {
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

    pub(super) fn break_off(&mut self, id: u64) {
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

pub(super) fn gone() -> StoreError {
    StoreError::Unreachable("the connection broke".to_owned())
}
