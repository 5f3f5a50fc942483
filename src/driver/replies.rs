//! Turns outcomes and refusals into frames in a connection's outbox.

use bytes::Bytes;
use serde::Serialize;

use super::connection::{ConnectionId, Outbox};
use super::core::{Core, CoreOutput, Moment};
use super::propose::{Extra, RequestOrigin};
use super::queries::{cursor_of, inbox_result};
use super::secret::IssuedSecret;
use crate::engine::command::LostReason;
use crate::engine::ids::{AgentName, MessageId};
use crate::engine::outcome::{Answer, EnsureOutcome, Outcome, SessionOutcome, Submitted};
use crate::protocol::PROTOCOL_VERSION;
use crate::protocol::admin::{ServerBackupResult, TokenCreateResult};
use crate::protocol::agent::{AgentRemoveResult, AgentView};
use crate::protocol::context::ContextPutResult;
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::events::SessionClosed;
use crate::protocol::jsonrpc;
use crate::protocol::lease::{LeaseAcquireResult, LeaseEnsureResult, LeaseReleaseResult};
use crate::protocol::message::{MessageAckResult, MessageView};
use crate::protocol::operations::Operation;
use crate::protocol::session::{ConnectionLimits, Empty, SessionOpenResult};
use crate::protocol::task::{
    ClaimView, RenewResult, TaskClaimResult, TaskCompleteResult, TaskFailResult, TaskQueuedResult,
    TaskSubmitManyResult,
};

impl Outbox {
    fn push_closed(&mut self, reason: &str) {
        let closed = SessionClosed {
            reason: reason.to_owned(),
        };
        let frame = jsonrpc::notification("session.closed", &closed);
        self.bytes += frame.len();
        self.frames.push_back(frame.into());
    }
}

impl Core {
    /// Answers one request.
    pub(super) fn send<T: Serialize>(
        &mut self,
        now: Moment,
        origin: &RequestOrigin,
        result: Result<&T, &RpcError>,
    ) {
        let kind = result.err().map(|error| error.kind);
        let micros = now.since_us(origin.started);
        self.metrics.request(origin.operation, kind, micros);
        if let Some(limit) = result.err().and_then(|error| error.detail.limit.as_deref()) {
            self.metrics.limits_hit.with_label_values(&[limit]).inc();
        }
        // A notification gets no answer, not even an error.
        let Some(id) = &origin.id else { return };
        let frame = match result {
            Ok(result) => match self.stale_ms(now, origin.connection) {
                None => jsonrpc::reply(id, result),
                Some(stale_ms) => jsonrpc::reply_stale(id, result, stale_ms),
            },
            Err(error) => jsonrpc::error(Some(id), error),
        };
        self.push_frame(origin.connection, frame.into());
    }

    /// How long the shared journal has not answered, if answers may be out of date.
    fn stale_ms(&self, now: Moment, connection: ConnectionId) -> Option<u64> {
        let sharing = self.config.sharing.as_ref()?;
        let project = &self.connections.get(&connection)?.project;
        self.line(project)?.stale_ms(now, sharing)
    }

    pub(super) fn send_error(&mut self, now: Moment, origin: &RequestOrigin, error: &RpcError) {
        self.send::<Empty>(now, origin, Err(error));
    }

    /// Queues a frame; a connection with too many unread frames is closed and told why.
    pub(super) fn push_frame(&mut self, id: ConnectionId, frame: Bytes) {
        let limits = &self.config.driver;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let outbox = &mut connection.outbox;
        if outbox.closed {
            return;
        }
        let was_empty = outbox.frames.is_empty();
        outbox.bytes += frame.len();
        outbox.frames.push_back(frame);
        let full = outbox.frames.len() as u64 > limits.frames_queued_max
            || outbox.bytes as u64 > limits.bytes_queued_max;
        if full {
            self.metrics
                .limits_hit
                .with_label_values(&["frames_queued_max"])
                .inc();
            return self.close(
                id,
                "too many unread frames: read faster, then resume the session",
            );
        }
        if was_empty {
            self.outputs.push_back(CoreOutput::Wake(id));
        }
    }

    /// Tells a connection that it will be closed, and lets its writer finish.
    pub(super) fn close(&mut self, id: ConnectionId, reason: &str) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.outbox.closed {
            return;
        }
        connection.outbox.push_closed(reason);
        connection.outbox.closed = true;
        self.outputs.push_back(CoreOutput::Close(id));
        // This connection must not get any grant now, because its client would never read it.
        self.unpark_all_of(id);
    }

    /// Tells a connection that the coordinator stops. Its requests are answered until it sends no more.
    pub(super) fn end(&mut self, id: ConnectionId, reason: &str) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.outbox.closed || connection.outbox.ending {
            return;
        }
        connection.lost = Some(LostReason::Drained);
        connection.outbox.push_closed(reason);
        connection.outbox.ending = true;
        self.outputs.push_back(CoreOutput::Close(id));
    }

    /// Answers a request with the engine's result.
    pub(super) fn send_answer(
        &mut self,
        now: Moment,
        origin: &RequestOrigin,
        answer: Answer,
        extra: Extra,
    ) {
        match answer {
            Ok(outcome) => self.send_outcome(now, origin, outcome, extra),
            Err(refusal) => self.send_error(now, origin, &RpcError::from(refusal)),
        }
    }

    fn send_outcome(
        &mut self,
        now: Moment,
        origin: &RequestOrigin,
        outcome: Outcome,
        extra: Extra,
    ) {
        match outcome {
            Outcome::Done => self.send_done(now, origin, extra),
            Outcome::Session(session) => self.send_session(now, origin, &session, extra),
            Outcome::Submitted(submitted) => self.send_submitted(now, origin, submitted, &extra),
            Outcome::Queued(stuck) => {
                self.send(now, origin, Ok(&TaskQueuedResult::from(stuck)));
            }
            Outcome::Claimed(grant) => {
                let claim = grant.map(|grant| ClaimView::from(*grant));
                self.send(now, origin, Ok(&TaskClaimResult { claim }));
            }
            Outcome::Completed { next } => {
                let next = next.map(|grant| ClaimView::from(*grant));
                self.send(now, origin, Ok(&TaskCompleteResult { next }));
            }
            Outcome::Failed(failed) => self.send(now, origin, Ok(&TaskFailResult::from(failed))),
            Outcome::Lease(grant) => {
                self.send(now, origin, Ok(&LeaseAcquireResult::from(*grant)));
            }
            Outcome::Ensured(ensured) => self.send_ensured(now, origin, *ensured),
            Outcome::GivenBack(count) => {
                let released = Some(count);
                self.send(now, origin, Ok(&LeaseReleaseResult { released }));
            }
            Outcome::Renewed { expires_at } => {
                let result = RenewResult {
                    expires_at_ms: expires_at,
                };
                self.send(now, origin, Ok(&result));
            }
            Outcome::Sent(sent) => {
                let Some(connection) = self.connections.get(&origin.connection) else {
                    return;
                };
                let result = self.send_result(&connection.project, sent);
                self.send(now, origin, Ok(&result));
            }
            Outcome::Taken(messages) => self.send_taken(now, origin, &messages),
            Outcome::Acked { acked, unknown } => {
                self.send(now, origin, Ok(&MessageAckResult::named(acked, unknown)));
            }
            Outcome::AckedUpTo { count, unknown } => {
                self.send(now, origin, Ok(&MessageAckResult::up_to(count, unknown)));
            }
            Outcome::Context { revision } => {
                self.send(now, origin, Ok(&ContextPutResult { revision }));
            }
        }
    }

    fn send_ensured(&mut self, now: Moment, origin: &RequestOrigin, ensured: EnsureOutcome) {
        let connection = self.connections.get(&origin.connection);
        let project = connection.and_then(|known| self.projects.get(&known.project));
        let Some(now_ms) = project.map(|project| project.engine.now()) else {
            return;
        };
        self.send(now, origin, Ok(&LeaseEnsureResult::of(ensured, now_ms)));
    }

    fn send_submitted(
        &mut self,
        now: Moment,
        origin: &RequestOrigin,
        submitted: Vec<Submitted>,
        extra: &Extra,
    ) {
        let mut result = TaskSubmitManyResult::from(submitted);
        let one = result.tasks.pop_if(|_| matches!(extra, Extra::OneTask));
        match one {
            Some(one) => self.send(now, origin, Ok(&one)),
            None => self.send(now, origin, Ok(&result)),
        }
    }

    fn send_done(&mut self, now: Moment, origin: &RequestOrigin, extra: Extra) {
        match extra {
            Extra::Token(secret) => self.send_token(now, origin, secret),
            Extra::OwnAgent => self.send_own_agent(now, origin),
            Extra::Removed(agent) => self.send_removed(now, origin, &agent),
            Extra::None | Extra::Session(_) | Extra::OneTask | Extra::Events(_) => {
                self.send(now, origin, Ok(&Empty {}));
            }
        }
    }

    fn send_removed(&mut self, now: Moment, origin: &RequestOrigin, agent: &AgentName) {
        let Some(connection) = self.connections.get(&origin.connection) else {
            return;
        };
        let result = AgentRemoveResult {
            still_known: self.token_knows(&connection.project, agent),
        };
        self.send(now, origin, Ok(&result));
    }

    fn send_token(&mut self, now: Moment, origin: &RequestOrigin, secret: IssuedSecret) {
        let hash = super::secret::secret_hash(&secret.0);
        let result = self
            .system_engine()
            .token_by_hash(&hash)
            .map(|token| TokenCreateResult {
                token: token.id.clone(),
                agent: token.agent.clone(),
                secret: secret.0,
            });
        let gone = || {
            RpcError::new(
                ErrorKind::NotFound,
                "the token was revoked before the answer was sent",
            )
        };
        self.send(now, origin, result.ok_or_else(gone).as_ref());
    }

    fn send_own_agent(&mut self, now: Moment, origin: &RequestOrigin) {
        let Some(connection) = self.connections.get(&origin.connection) else {
            return;
        };
        let engine = self.projects.get(&connection.project).map(|p| &p.engine);
        let view = engine.and_then(|engine| {
            let agent = engine.state().agents.get(&connection.identity.agent)?;
            Some(AgentView::of(engine, agent))
        });
        let gone = || RpcError::new(ErrorKind::NotFound, "the agent was removed");
        self.send(now, origin, view.ok_or_else(gone).as_ref());
    }

    fn send_taken(&mut self, now: Moment, origin: &RequestOrigin, messages: &[MessageId]) {
        let Some(connection) = self.connections.get(&origin.connection) else {
            return;
        };
        let agent = connection.identity.agent.clone();
        let Some(engine) = self.projects.get(&connection.project).map(|p| &p.engine) else {
            return;
        };
        // A repeated request may name messages that were acknowledged since.
        let known = messages
            .iter()
            .filter_map(|id| engine.state().messages.get(id));
        let views = known.map(|message| MessageView::of(message, message.taken_until(&agent)));
        let result = inbox_result(engine, &agent, views.collect());
        self.send(now, origin, Ok(&result));
    }

    fn send_session(
        &mut self,
        now: Moment,
        origin: &RequestOrigin,
        session: &SessionOutcome,
        extra: Extra,
    ) {
        let Some(connection) = self.connections.get(&origin.connection) else {
            return;
        };
        let Some(engine) = self.projects.get(&connection.project).map(|p| &p.engine) else {
            return;
        };
        let resume_secret = match extra {
            Extra::Session(secret) => secret.0,
            Extra::None
            | Extra::Token(_)
            | Extra::OwnAgent
            | Extra::Removed(_)
            | Extra::OneTask
            | Extra::Events(_) => String::new(),
        };
        let known = engine.state().sessions.get(&session.session);
        let driver = &self.config.driver;
        let result = SessionOpenResult {
            session: session.session,
            resume_secret,
            resumed: session.resumed,
            agent: connection.identity.agent.clone(),
            project: connection.project.clone(),
            node: self.config.node.clone(),
            environment: self.config.environment.clone(),
            port_fingerprint: Some(self.config.port_fingerprint.clone()),
            warnings: self.warnings(origin.connection),
            protocol: PROTOCOL_VERSION.to_owned(),
            version: self.config.version.to_owned(),
            cursor: cursor_of(engine),
            now_ms: engine.now(),
            grace_ms: known.map_or(0, |session| session.grace_ms),
            limits: ConnectionLimits {
                message_bytes_max: self.config.message_bytes_max,
                requests_in_flight_max: driver.requests_in_flight_max,
                requests_waiting_max: driver.requests_waiting_max,
                wait_ms_max: driver.wait_ms_max,
                payload_bytes_max: engine.limits().payload_bytes_max,
            },
        };
        self.send(now, origin, Ok(&result));
    }

    /// The shell wrote a backup, or failed to.
    pub fn backup_done(
        &mut self,
        now: Moment,
        request: u64,
        result: Result<ServerBackupResult, String>,
    ) {
        let Some((connection, id, started)) = self.backups.remove(&request) else {
            return;
        };
        let origin = RequestOrigin {
            connection,
            id: Some(id),
            operation: Operation::ServerBackup,
            started,
        };
        let result = result.map_err(|why| RpcError::new(ErrorKind::Internal, why));
        self.send(now, &origin, result.as_ref());
    }
}
