//! Plans: what a request comes to, a command that is ready to be proposed.

use super::connection::ConnectionId;
use super::core::Core;
use super::propose::Extra;
use super::secret::{Secret, secret_hash};
use crate::engine::command::{
    self, Action, ProjectCreate, ProjectScope, SessionClose, SessionOpen, SessionResume,
    TokenCreate, TokenRevoke,
};
use crate::engine::ids::{MessageId, ProjectName, RequestId, TokenId};
use crate::engine::nodes::{COMMAND_FORMAT, STUCK_FORMAT};
use crate::protocol::admin::TokenCreateParams;
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::message::{MessageAckParams, MessageInboxParams};
use crate::protocol::operations::Request;
use crate::protocol::session::{Resume, SessionOpenParams};

/// How long taken messages stay hidden when the request names a time of 0.
const TAKE_MS_MIN: u64 = 1_000;

/// A command ready to be proposed.
pub(super) struct Planned {
    pub(super) project: ProjectName,
    pub(super) request_id: Option<RequestId>,
    pub(super) action: Action,
    pub(super) extra: Extra,
    pub(super) wait_ms: u64,
}

impl Planned {
    /// A record that says nothing, in the project of a connection.
    pub(super) fn tick(connection: ConnectionId, core: &Core) -> Option<Self> {
        let known = core.connections.get(&connection)?;
        Some(Self {
            project: known.project.clone(),
            request_id: None,
            action: Action::Tick,
            extra: Extra::None,
            wait_ms: 0,
        })
    }
}

impl Core {
    /// What a request asks of the engine.
    pub(super) fn plan(
        &mut self,
        connection: ConnectionId,
        request: Request,
    ) -> Result<Planned, RpcError> {
        let known = self.connections.get(&connection);
        let (Some(known), Some(mut planned)) = (known, Planned::tick(connection, self)) else {
            return Err(RpcError::new(ErrorKind::Internal, "the connection is gone"));
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
                planned.extra = Extra::Removed(p.agent.clone());
                planned.action = Action::AgentRemove(command::AgentRemove { agent: p.agent });
            }
            Request::TaskSubmit(mut p) => {
                planned.request_id = p.request_id.take();
                planned.action = self.submission(&planned.project, p.into());
            }
            Request::TaskSubmitMany(mut p) => {
                planned.request_id = p.request_id.take();
                planned.action = self.submission(&planned.project, p.into());
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
                    tells_stuck: self.begins_to_tell(&planned.project),
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
            Request::MessageAck(mut p) => {
                planned.request_id = p.request_id.take();
                planned.action = self.ack_messages(connection, p)?;
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
        self.introduce(&planned.project, &mut planned.action);
        Ok(planned)
    }

    fn submission(&self, project: &ProjectName, submit: command::TaskSubmit) -> Action {
        Action::TaskSubmit(command::TaskSubmit {
            tells_stuck: self.begins_to_tell(project),
            ..submit
        })
    }

    /// Whether the project does not tell of stuck tasks yet, and every coordinator of it could.
    fn begins_to_tell(&self, project: &ProjectName) -> bool {
        let own = self.config.sharing.as_ref();
        let own = own.map_or(COMMAND_FORMAT, |sharing| sharing.command_format);
        let engine = self.projects.get(project).map(|project| &project.engine);
        engine.is_some_and(|engine| {
            !engine.state().tells_stuck && engine.command_format(own) >= STUCK_FORMAT
        })
    }

    fn ack_messages(
        &self,
        connection: ConnectionId,
        params: MessageAckParams,
    ) -> Result<Action, RpcError> {
        let max = self.config.engine.messages_per_request_max;
        let (messages, up_to) = match (params.messages, params.up_to, params.all) {
            (Some(messages), None, false) if messages.len() as u64 > max => {
                return Err(RpcError::limit("messages_per_request_max", max));
            }
            (Some(messages), None, false) => (messages, None),
            (None, Some(up_to), false) => (Vec::new(), Some(up_to)),
            // What arrives from now on was not there when the reader said so.
            (None, None, true) => (Vec::new(), Some(self.newest_mail(connection))),
            _ => {
                let text = "give one of messages, up_to and all";
                return Err(RpcError::new(ErrorKind::InvalidParams, text));
            }
        };
        Ok(Action::MessageAck(command::MessageAck { messages, up_to }))
    }

    /// The newest message in the mailbox of a connection's agent; 0 when there is none.
    fn newest_mail(&self, connection: ConnectionId) -> MessageId {
        let known = self.connections.get(&connection);
        let newest = known.and_then(|known| {
            let project = self.projects.get(&known.project)?;
            project.engine.newest_mail(&known.identity.agent)
        });
        newest.unwrap_or_default()
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
