//! Plans: requests turned into commands that are ready to be proposed.

mod session;

use super::connection::ConnectionId;
use super::core::Core;
use super::propose::Extra;
use super::secret::secret_hash;
use crate::engine::command::{self, Action, ProjectScope};
use crate::engine::ids::{MessageId, ProjectName, RequestId, TokenId};
use crate::engine::nodes::{COMMAND_FORMAT, STUCK_FORMAT};
use crate::protocol::admin::{ProjectCreateParams, TokenCreateParams};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::message::MessageAckParams;
use crate::protocol::operations::CommandRequest;

/// A command ready to be proposed.
pub(super) struct Planned {
    pub(super) project: ProjectName,
    pub(super) request_id: Option<RequestId>,
    pub(super) action: Action,
    pub(super) extra: Extra,
    pub(super) wait_ms: u64,
}

impl Planned {
    /// A record without effect, in the project of a connection.
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
    /// The engine's action for a command.
    pub(super) fn plan(
        &mut self,
        connection: ConnectionId,
        mut request: CommandRequest,
    ) -> Result<Planned, RpcError> {
        let mut planned = self.nothing_planned(connection)?;
        planned.request_id = request.take_request_id();
        planned.action = match request {
            CommandRequest::AgentUpdate(p) => {
                planned.extra = Extra::OwnAgent;
                Action::AgentUpdate(Box::new(p.into()))
            }
            CommandRequest::AgentRemove(p) => {
                planned.extra = Extra::Removed(p.agent.clone());
                Action::AgentRemove(p.into())
            }
            CommandRequest::TaskSubmit(p) => {
                planned.extra = Extra::OneTask;
                self.submission(&planned.project, p.into())
            }
            CommandRequest::TaskSubmitMany(p) => self.submission(&planned.project, p.into()),
            CommandRequest::TaskClaim(p) => {
                planned.wait_ms = self.wait_ms(p.wait_ms)?;
                Action::TaskClaim(p.into())
            }
            CommandRequest::TaskProgress(p) => Action::TaskProgress(p.try_into()?),
            CommandRequest::TaskComplete(p) => Action::TaskComplete(p.into()),
            CommandRequest::TaskFail(p) => Action::TaskFail(p.into()),
            CommandRequest::TaskRelease(p) => Action::TaskRelease(p.into()),
            CommandRequest::TaskHandoff(p) => Action::TaskHandoff(Box::new(p.try_into()?)),
            CommandRequest::TaskCancel(p) => self.cancellation(&planned.project, p.into()),
            CommandRequest::TaskRetry(p) => Action::TaskRetry(p.into()),
            CommandRequest::LeaseAcquire(p) => {
                planned.wait_ms = self.wait_ms(p.wait_ms)?;
                Action::LeaseAcquire(p.into())
            }
            CommandRequest::LeaseEnsure(p) => Action::LeaseEnsure(p.into()),
            CommandRequest::LeaseRenew(p) => Action::LeaseRenew(p.into()),
            CommandRequest::LeaseRelease(p) => p.try_into()?,
            CommandRequest::LeaseRevoke(p) => Action::LeaseRevoke(p.into()),
            CommandRequest::MessageSend(p) => Action::MessageSend(Box::new(p.try_into()?)),
            CommandRequest::MessageInbox(p) => Action::MessageTake(p.try_into()?),
            CommandRequest::MessageAck(p) => self.acknowledgement(connection, p)?,
            CommandRequest::ContextPut(p) => Action::ContextPut(p.into()),
            CommandRequest::ContextDelete(p) => Action::ContextDelete(p.into()),
            CommandRequest::TokenCreate(p) => return self.plan_token(planned, p),
            CommandRequest::TokenRevoke(p) => {
                planned.project = self.system.clone();
                Action::TokenRevoke(p.into())
            }
            CommandRequest::ProjectCreate(p) => {
                planned.project = self.system.clone();
                self.new_project(p)?
            }
        };
        self.introduce(&planned.project, &mut planned.action);
        Ok(planned)
    }

    fn nothing_planned(&self, connection: ConnectionId) -> Result<Planned, RpcError> {
        let gone = || RpcError::new(ErrorKind::Internal, "the connection is gone");
        Planned::tick(connection, self).ok_or_else(gone)
    }

    /// How long a request waits. A longer wait than allowed is refused.
    fn wait_ms(&self, asked: Option<u64>) -> Result<u64, RpcError> {
        let (asked, max) = (asked.unwrap_or(0), self.config.driver.wait_ms_max);
        if asked > max {
            return Err(RpcError::limit("wait_ms_max", max));
        }
        Ok(asked)
    }

    fn submission(&self, project: &ProjectName, submit: command::TaskSubmit) -> Action {
        Action::TaskSubmit(command::TaskSubmit {
            tells_stuck: self.begins_to_tell(project),
            ..submit
        })
    }

    fn cancellation(&self, project: &ProjectName, cancel: command::TaskCancel) -> Action {
        Action::TaskCancel(command::TaskCancel {
            tells_stuck: self.begins_to_tell(project),
            ..cancel
        })
    }

    /// Whether the project does not report stuck tasks yet, although all its coordinators could.
    fn begins_to_tell(&self, project: &ProjectName) -> bool {
        let own = self.config.sharing.as_ref();
        let own = own.map_or(COMMAND_FORMAT, |sharing| sharing.command_format);
        let engine = self.projects.get(project).map(|project| &project.engine);
        engine.is_some_and(|engine| {
            !engine.state().tells_stuck && engine.command_format(own) >= STUCK_FORMAT
        })
    }

    fn acknowledgement(
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
            // Messages that arrive later are not covered: the reader did not know them.
            (None, None, true) => (Vec::new(), Some(self.newest_mail(connection))),
            _ => {
                return Err(RpcError::invalid("give one of messages, up_to and all"));
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

    fn new_project(&self, params: ProjectCreateParams) -> Result<Action, RpcError> {
        if params.project == self.system {
            let problem = "project: this name is reserved for the coordinator";
            return Err(RpcError::invalid(problem));
        }
        Ok(Action::ProjectCreate(params.into()))
    }

    fn plan_token(
        &mut self,
        mut planned: Planned,
        params: TokenCreateParams,
    ) -> Result<Planned, RpcError> {
        let secret = self.entropy.secret("coord_");
        let hash = secret_hash(&secret.0);
        // The id is a part of the hash: it identifies the token and reveals nothing about the secret.
        let token: TokenId = format!("t-{}", hash.get(..12).unwrap_or_default())
            .parse()
            .map_err(|error| RpcError::new(ErrorKind::Internal, format!("token id: {error}")))?;
        planned.project = self.system.clone();
        planned.action = Action::TokenCreate(Box::new(command::TokenCreate {
            token,
            secret_hash: hash,
            agent: params.agent,
            role: params.role.into(),
            projects: params
                .projects
                .map_or(ProjectScope::All, ProjectScope::Only),
            ttl_ms: params.ttl_ms,
            seats: params.seats,
        }));
        planned.extra = Extra::Token(secret);
        Ok(planned)
    }
}
