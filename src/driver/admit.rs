//! Admission: from a frame to an answer, a proposed command, or a place in line.

use serde_json::value::RawValue;

use super::connection::ConnectionId;
use super::core::{Core, Moment, Output};
use super::parked::Parked;
use super::propose::{Extra, Pending, RequestOrigin};
use super::secret::{Secret, secret_hash};
use crate::engine::command::{
    self, Action, Actor, ProjectCreate, ProjectScope, SessionClose, SessionOpen, SessionResume,
    TokenCreate, TokenRevoke,
};
use crate::engine::ids::{ProjectName, RequestId, TokenId};
use crate::engine::outcome::{Outcome, Refusal};
use crate::protocol::admin::TokenCreateParams;
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::jsonrpc;
use crate::protocol::message::MessageInboxParams;
use crate::protocol::operations::Request;
use crate::protocol::session::{Resume, SessionOpenParams};

/// How long taken messages stay hidden when the request names a time of 0.
const TAKE_MS_MIN: u64 = 1_000;

/// A command ready to be proposed.
struct Planned {
    project: ProjectName,
    request_id: Option<RequestId>,
    action: Action,
    extra: Extra,
    wait_ms: u64,
}

impl Core {
    /// One text frame of a connection: at most one request. What it proposes goes off at once.
    pub fn frame(&mut self, now: Moment, connection: ConnectionId, text: &str) {
        self.gather(now, connection, text);
        self.flush();
    }

    /// Like [`Core::frame`], but what it proposes waits for [`Core::flush`], so that what other
    /// connections have sent by now goes off with it.
    pub fn gather(&mut self, now: Moment, connection: ConnectionId, text: &str) {
        // Whoever was shut out, say with its token, has no say even before the socket is closed.
        if self.is_closing(connection) {
            return;
        }
        match jsonrpc::parse(text) {
            Ok(envelope) => {
                let id = envelope.id;
                match Request::parse(&envelope.method, envelope.params) {
                    Ok(request) => {
                        let origin = RequestOrigin {
                            connection,
                            id: id.map(ToOwned::to_owned),
                            operation: request.operation(),
                            started: now,
                        };
                        self.request(now, origin, request);
                    }
                    // A notification gets no answer, not even an error.
                    Err(error) if id.is_some() => self.push_error(connection, id, &error),
                    Err(_) => {}
                }
            }
            Err((id, error)) => self.push_error(connection, id, &error),
        }
    }

    /// A frame that is no text.
    pub fn refuse_frame(&mut self, connection: ConnectionId, why: &str) {
        let error = RpcError::new(ErrorKind::InvalidRequest, why);
        self.push_error(connection, None, &error);
    }

    fn push_error(&mut self, connection: ConnectionId, id: Option<&RawValue>, error: &RpcError) {
        self.push_frame(connection, jsonrpc::error(id, error).into());
    }

    fn request(&mut self, now: Moment, origin: RequestOrigin, request: Request) {
        let Some(connection) = self.connections.get(&origin.connection) else {
            return;
        };
        let role = connection.identity.role;
        if role < origin.operation.role() {
            let message = format!(
                "{} needs the role {}, the token has {}",
                origin.operation.name(),
                origin.operation.role().as_str(),
                role.as_str()
            );
            let error = RpcError::new(ErrorKind::Forbidden, message);
            return self.send_error(now, &origin, &error);
        }
        let Some(request) = self.query(now, &origin, request) else {
            return;
        };
        if let Request::ServerBackup(params) = request {
            return self.start_backup(now, origin, params.name);
        }
        match self.plan(origin.connection, request) {
            Ok(planned) => self.admit(now, origin, planned),
            Err(error) => self.send_error(now, &origin, &error),
        }
    }

    fn admit(&mut self, now: Moment, origin: RequestOrigin, planned: Planned) {
        if let Err(error) = self.has_room(&origin, &planned) {
            return self.send_error(now, &origin, &error);
        }
        let (Some(connection), Some(project)) = (
            self.connections.get(&origin.connection),
            self.projects.get(&planned.project),
        ) else {
            return;
        };
        let by = connection.actor();
        if let Some(id) = &planned.request_id
            && let Some(answer) = project.engine.remembered(&by, id, &planned.action)
        {
            return self.send_answer(now, &origin, answer, Extra::None);
        }
        // With earlier commands of this connection on their way, only the journal's order can tell.
        // Nor with the same request on its way from an earlier connection: its answer is due here too.
        let repeats = planned
            .request_id
            .as_ref()
            .zip(by.agent())
            .is_some_and(|(id, agent)| self.repeatable.contains_key(&(agent.clone(), id.clone())));
        let alone = connection.in_flight == 0 && !repeats;
        let refusal = project.engine.check(&by, &planned.action).err();
        match (&planned.action, refusal) {
            (Action::TaskClaim(_) | Action::LeaseAcquire(_), _) if repeats => {
                let project = planned.project.clone();
                let parked = parked(now, origin, planned);
                let order = self.next_order();
                return self.propose_waiting(now, &project, order, by, parked, None);
            }
            (Action::TaskClaim(_), None) => return self.admit_claim(now, origin, planned, by),
            (Action::LeaseAcquire(_), Some(Refusal::LeaseConflict(_))) if planned.wait_ms > 0 => {
                let project = planned.project.clone();
                let parked = parked(now, origin, planned);
                let order = self.next_order();
                return self.park(&project, order, parked);
            }
            (_, Some(refusal)) if alone => {
                return self.send_answer(now, &origin, Err(refusal), Extra::None);
            }
            _ => {}
        }
        if planned.wait_ms > 0 {
            let project = planned.project.clone();
            let parked = parked(now, origin, planned);
            let order = self.next_order();
            return self.propose_waiting(now, &project, order, by, parked, None);
        }
        let pending = Pending {
            request: Some(origin),
            extra: planned.extra,
            parked: None,
            reserved: None,
        };
        self.propose(
            now,
            &planned.project,
            by,
            planned.request_id,
            planned.action,
            pending,
        );
    }

    /// A claim goes to the journal only towards a task that no claim before it is about to get.
    fn admit_claim(&mut self, now: Moment, origin: RequestOrigin, planned: Planned, by: Actor) {
        let project = planned.project.clone();
        let known = self.projects.get(&project);
        let candidate = known.and_then(|p| p.candidate(&by, &planned.action));
        let contested = known.is_some_and(|p| !p.reserved.is_empty());
        let order = self.next_order();
        if candidate.is_some() {
            let parked = parked(now, origin, planned);
            return self.propose_waiting(now, &project, order, by, parked, candidate);
        }
        if planned.wait_ms > 0 || contested {
            let parked = parked(now, origin, planned);
            return self.park(&project, order, parked);
        }
        self.send_answer(now, &origin, Ok(Outcome::Claimed(None)), Extra::None);
    }

    fn next_order(&mut self) -> u64 {
        self.last_parked += 1;
        self.last_parked
    }

    /// Whether there is room for one more request under way.
    fn has_room(&self, origin: &RequestOrigin, planned: &Planned) -> Result<(), RpcError> {
        if self.draining {
            return Err(self.unavailable("the coordinator is stopping"));
        }
        if self.storage_full() && planned.action.begins_work() {
            return Err(storage_full());
        }
        let limits = &self.config.driver;
        let Some(connection) = self.connections.get(&origin.connection) else {
            return Ok(());
        };
        let overloaded = |limit: &str, max: u64| {
            let message = format!("{limit} ({max}) requests are under way");
            let error = RpcError::retry(ErrorKind::Overloaded, message, limits.retry_after_ms);
            Err(error.with(|detail| {
                detail.limit = Some(limit.to_owned());
                detail.max = Some(max);
            }))
        };
        if connection.in_flight >= limits.requests_in_flight_max {
            return overloaded("requests_in_flight_max", limits.requests_in_flight_max);
        }
        if self.pending.len() as u64 >= limits.commands_in_flight_max {
            return overloaded("commands_in_flight_max", limits.commands_in_flight_max);
        }
        if matches!(
            planned.action,
            Action::TaskClaim(_) | Action::LeaseAcquire(_)
        ) {
            // Those on their way count too: each of them may come back to wait.
            if connection.waiting + connection.claiming >= limits.requests_waiting_max {
                return overloaded("requests_waiting_max", limits.requests_waiting_max);
            }
            if self.waiting + self.claiming >= limits.waiting_max {
                return overloaded("waiting_max", limits.waiting_max);
            }
        }
        Ok(())
    }

    /// What a request asks of the engine.
    fn plan(&mut self, connection: ConnectionId, request: Request) -> Result<Planned, RpcError> {
        let Some(known) = self.connections.get(&connection) else {
            return Err(RpcError::new(ErrorKind::Internal, "the connection is gone"));
        };
        let mut planned = Planned {
            project: known.project.clone(),
            request_id: None,
            action: Action::Tick,
            extra: Extra::None,
            wait_ms: 0,
        };
        let system = &self.system;
        let wait_ms_max = self.config.driver.wait_ms_max;
        let wait = |wait_ms: Option<u64>| match wait_ms {
            Some(wait_ms) if wait_ms > wait_ms_max => {
                Err(RpcError::limit("wait_ms_max", wait_ms_max))
            }
            Some(wait_ms) => Ok(wait_ms),
            None => Ok(0),
        };
        let invalid = |problem: &str| RpcError::new(ErrorKind::InvalidParams, problem);
        match request {
            Request::SessionOpen(p) => return self.plan_session(connection, planned, p),
            Request::TokenCreate(p) => return self.plan_token(planned, p),
            Request::SessionClose(p) => {
                let own = known.session.map(|attached| attached.session);
                let session = p.session.or(own);
                let session = session.ok_or_else(|| invalid("this connection has no session"))?;
                planned.request_id = p.request_id;
                planned.action = Action::SessionClose(SessionClose { session });
            }
            Request::AgentUpdate(mut p) => {
                planned.request_id = p.request_id.take();
                planned.action = Action::AgentUpdate(Box::new(p.into()));
            }
            Request::AgentRemove(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::AgentRemove(command::AgentRemove { agent: p.agent });
            }
            Request::TaskSubmit(mut p) => {
                planned.request_id = p.request_id.take();
                planned.action = Action::TaskSubmit(p.into());
            }
            Request::TaskSubmitMany(mut p) => {
                planned.request_id = p.request_id.take();
                planned.action = Action::TaskSubmit(p.into());
            }
            Request::TaskClaim(mut p) => {
                planned.wait_ms = wait(p.wait_ms)?;
                planned.request_id = p.request_id.take();
                planned.action = Action::TaskClaim(p.into());
            }
            Request::TaskProgress(p) => {
                planned.request_id = p.request_id;
                if p.percent.is_some_and(|percent| percent > 100) {
                    return Err(invalid("percent: a percentage is between 0 and 100"));
                }
                planned.action = Action::TaskProgress(command::TaskProgress {
                    task: p.task,
                    fence: p.fence,
                    percent: p.percent,
                    note: p.note,
                });
            }
            Request::TaskComplete(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::TaskComplete(command::TaskComplete {
                    task: p.task,
                    fence: p.fence,
                    result: p.result,
                    next: p.next.map(Into::into),
                });
            }
            Request::TaskFail(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::TaskFail(command::TaskFail {
                    task: p.task,
                    fence: p.fence,
                    error: p.error,
                    retry: p.retry,
                });
            }
            Request::TaskRelease(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::TaskRelease(command::TaskRelease {
                    task: p.task,
                    fence: p.fence,
                });
            }
            Request::TaskHandoff(mut p) => {
                planned.request_id = p.request_id.take();
                planned.action = Action::TaskHandoff(Box::new(p.try_into().map_err(invalid)?));
            }
            Request::TaskCancel(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::TaskCancel(command::TaskCancel {
                    task: p.task,
                    reason: p.reason,
                });
            }
            Request::TaskRetry(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::TaskRetry(command::TaskRetry { task: p.task });
            }
            Request::LeaseAcquire(mut p) => {
                planned.wait_ms = wait(p.wait_ms)?;
                planned.request_id = p.request_id.take();
                planned.action = Action::LeaseAcquire(p.into());
            }
            Request::LeaseRenew(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::LeaseRenew(command::LeaseRenew {
                    lease: p.lease,
                    fence: p.fence,
                    ttl_ms: p.ttl_ms,
                });
            }
            Request::LeaseRelease(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::LeaseRelease(command::LeaseRelease {
                    lease: p.lease,
                    fence: p.fence,
                });
            }
            Request::LeaseRevoke(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::LeaseRevoke(command::LeaseRevoke {
                    lease: p.lease,
                    reason: p.reason,
                });
            }
            Request::MessageSend(mut p) => {
                planned.request_id = p.request_id.take();
                planned.action = Action::MessageSend(Box::new(p.try_into().map_err(invalid)?));
            }
            Request::MessageInbox(p) => {
                planned.request_id.clone_from(&p.request_id);
                planned.action = take_messages(&p)?;
            }
            Request::MessageAck(p) => {
                let max = self.config.engine.messages_per_request_max;
                if p.messages.len() as u64 > max {
                    return Err(RpcError::limit("messages_per_request_max", max));
                }
                planned.request_id = p.request_id;
                planned.action = Action::MessageAck(command::MessageAck {
                    messages: p.messages,
                });
            }
            Request::ContextPut(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::ContextPut(command::ContextPut {
                    key: p.key,
                    value: p.value,
                    if_revision: p.if_revision,
                });
            }
            Request::ContextDelete(p) => {
                planned.request_id = p.request_id;
                planned.action = Action::ContextDelete(command::ContextDelete {
                    key: p.key,
                    if_revision: p.if_revision,
                });
            }
            Request::TokenRevoke(p) => {
                planned.project = system.clone();
                planned.request_id = p.request_id;
                planned.action = Action::TokenRevoke(TokenRevoke { token: p.token });
            }
            Request::ProjectCreate(p) => {
                if p.project == *system {
                    return Err(invalid("project: this name is the coordinator's own"));
                }
                planned.project = system.clone();
                planned.request_id = p.request_id;
                planned.action = Action::ProjectCreate(ProjectCreate { project: p.project });
            }
            other => {
                let message = format!("{} changes nothing", other.operation().name());
                return Err(RpcError::new(ErrorKind::Internal, message));
            }
        }
        Ok(planned)
    }

    fn plan_session(
        &mut self,
        connection: ConnectionId,
        mut planned: Planned,
        params: SessionOpenParams,
    ) -> Result<Planned, RpcError> {
        let known = self.connections.get(&connection);
        if known.is_some_and(|c| c.opening || c.session.is_some()) {
            let message = "this connection has a session already";
            return Err(RpcError::new(ErrorKind::Conflict, message));
        }
        self.check_environment(params.environment.as_ref())?;
        self.compare_ports(connection, params.port_fingerprint.as_ref());
        let node = self.config.node.clone();
        if let Some(Resume { session, secret }) = params.resume {
            planned.action = Action::SessionResume(SessionResume {
                session,
                node,
                resume_hash: secret_hash(&secret),
            });
            planned.extra = Extra::Session(Secret(secret));
            return Ok(planned);
        }
        let secret = self.secret("");
        // Not remembered by request id: the answer holds a secret that is kept nowhere.
        planned.action = Action::SessionOpen(Box::new(SessionOpen {
            node,
            kind: params.kind,
            capabilities: params.capabilities,
            labels: params.labels,
            resume_hash: secret_hash(&secret),
            grace_ms: params.grace_ms.unwrap_or(self.config.grace_ms),
        }));
        planned.extra = Extra::Session(Secret(secret));
        Ok(planned)
    }

    fn plan_token(
        &mut self,
        mut planned: Planned,
        params: TokenCreateParams,
    ) -> Result<Planned, RpcError> {
        let secret = self.secret("coord_");
        let hash = secret_hash(&secret);
        // The id is a part of the hash: it names the token without saying anything of the secret.
        let token: TokenId = format!("t-{}", hash.get(..12).unwrap_or_default())
            .parse()
            .map_err(|error| RpcError::new(ErrorKind::Internal, format!("token id: {error}")))?;
        planned.project = self.system.clone();
        planned.action = Action::TokenCreate(Box::new(TokenCreate {
            token,
            secret_hash: hash,
            agent: params.agent,
            role: params.role.into(),
            projects: params
                .projects
                .map_or(ProjectScope::All, ProjectScope::Only),
            ttl_ms: params.ttl_ms,
        }));
        planned.extra = Extra::Token(Secret(secret));
        Ok(planned)
    }

    /// 256 random bits as text.
    fn secret(&mut self, prefix: &str) -> String {
        use base64::Engine as _;
        let bytes = (self.entropy.0)();
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        format!("{prefix}{text}")
    }

    fn start_backup(&mut self, now: Moment, origin: RequestOrigin, name: Option<String>) {
        let bad = name.as_deref().is_some_and(|name| !is_file_name(name));
        if bad {
            let message = "name: letters, digits and '-_.' are allowed, no folders";
            let error = RpcError::new(ErrorKind::InvalidParams, message);
            return self.send_error(now, &origin, &error);
        }
        if self.draining {
            let error = self.unavailable("the coordinator is stopping");
            return self.send_error(now, &origin, &error);
        }
        if !self.backups.is_empty() {
            let message = "another backup is being written";
            let error = RpcError::retry(ErrorKind::Overloaded, message, 1_000);
            return self.send_error(now, &origin, &error);
        }
        self.last_command += 1;
        let request = self.last_command;
        let Some(id) = origin.id else { return };
        self.backups
            .insert(request, (origin.connection, id, origin.started));
        self.outputs.push_back(Output::Backup { request, name });
    }
}

pub(super) fn storage_full() -> RpcError {
    RpcError::new(
        ErrorKind::StorageFull,
        "the disk is full: finish or release work, free some space, then try again",
    )
}

fn parked(now: Moment, origin: RequestOrigin, planned: Planned) -> Parked {
    Parked {
        connection: origin.connection,
        id: origin.id,
        operation: origin.operation,
        started: origin.started,
        until: (planned.wait_ms > 0).then(|| now.after_ms(planned.wait_ms)),
        request_id: planned.request_id,
        action: planned.action,
    }
}

fn take_messages(params: &MessageInboxParams) -> Result<Action, RpcError> {
    if params.after.is_some() {
        let message = "after: not allowed with take_ms, which always takes the oldest";
        return Err(RpcError::new(ErrorKind::InvalidParams, message));
    }
    Ok(Action::MessageTake(command::MessageTake {
        count_max: u32::try_from(params.count_max.unwrap_or(1)).unwrap_or(u32::MAX),
        take_ms: params.take_ms.unwrap_or_default().max(TAKE_MS_MIN),
        importance_min: params
            .importance_min
            .map_or(command::Importance::Low, Into::into),
    }))
}

fn is_file_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(allowed)
}
