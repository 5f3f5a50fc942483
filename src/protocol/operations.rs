//! The one table of operations. Dispatch, roles, schemas, reference and command line come from it.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::admin::{
    ProjectCreateParams, ProjectListResult, ServerBackupParams, ServerBackupResult,
    ServerStatusResult, TokenCreateParams, TokenCreateResult, TokenListResult, TokenRevokeParams,
};
use super::agent::{
    AgentGetParams, AgentListParams, AgentListResult, AgentRemoveParams, AgentRemoveResult,
    AgentUpdateParams, AgentView,
};
use super::context::{
    ContextDeleteParams, ContextGetParams, ContextListParams, ContextListResult, ContextPutParams,
    ContextPutResult, ContextView, ContextWatchParams,
};
use super::error::{ErrorKind, RpcError};
use super::events::{EventsSubscribeParams, EventsSubscribeResult};
use super::explain::{TaskExplainParams, TaskExplainResult};
use super::lease::{
    LeaseAcquireParams, LeaseAcquireResult, LeaseCheckParams, LeaseCheckResult, LeaseListParams,
    LeaseListResult, LeaseReleaseParams, LeaseRenewParams, LeaseRevokeParams,
};
use super::message::{
    MessageAckParams, MessageAckResult, MessageInboxParams, MessageInboxResult, MessageSendParams,
    MessageSendResult, MessageThreadParams, MessageThreadResult,
};
use super::session::{Empty, PingResult, SessionCloseParams, SessionOpenParams, SessionOpenResult};
use super::task::{
    RenewResult, TaskCancelParams, TaskClaimParams, TaskClaimResult, TaskCompleteParams,
    TaskCompleteResult, TaskFailParams, TaskFailResult, TaskGetParams, TaskHandoffParams,
    TaskListParams, TaskListResult, TaskProgressParams, TaskQueuedResult, TaskReleaseParams,
    TaskRetryParams, TaskSubmitManyParams, TaskSubmitManyResult, TaskSubmitParams,
    TaskSubmitResult, TaskView,
};
use crate::engine::command::Role;

/// What the reference and other front ends need to know of an operation.
#[derive(Debug, Clone, Copy)]
pub struct OperationInfo {
    pub operation: Operation,
    pub name: &'static str,
    pub summary: &'static str,
    /// The least role that may call it.
    pub role: Role,
    pub params: fn(&mut SchemaGenerator) -> Schema,
    pub result: fn(&mut SchemaGenerator) -> Schema,
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])* $name:literal => $variant:ident($params:ty) -> $result:ty, $role:ident;)*) => {
        /// Which operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $($(#[doc = $doc])* $variant,)*
        }

        /// A parsed request: the operation with its parameters.
        #[allow(
            clippy::large_enum_variant,
            reason = "there is one at a time, and it lives for one call"
        )]
        #[derive(Debug, Clone)]
        pub enum Request {
            $($variant($params),)*
        }

        /// Every operation, in the order of the reference.
        pub const OPERATIONS: &[OperationInfo] = &[$(OperationInfo {
            operation: Operation::$variant,
            name: $name,
            summary: concat!($($doc,)*).trim_ascii(),
            role: Role::$role,
            params: schema_of::<$params>,
            result: schema_of::<$result>,
        },)*];

        impl Operation {
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The least role that may call it.
            pub fn role(self) -> Role {
                match self { $(Self::$variant => Role::$role,)* }
            }

            pub fn by_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }

        impl Request {
            pub fn operation(&self) -> Operation {
                match self { $(Self::$variant(_) => Operation::$variant,)* }
            }

            fn of(operation: Operation, params: &RawValue) -> Result<Self, RpcError> {
                match operation { $(Operation::$variant => read(params).map(Self::$variant),)* }
            }
        }
    };
}

operations! {
    /// Begins a session, or takes one up again after a lost connection.
    "session.open" => SessionOpen(SessionOpenParams) -> SessionOpenResult, Agent;
    /// Ends a session; all it held is free at once.
    "session.close" => SessionClose(SessionCloseParams) -> Empty, Agent;
    /// Answers at once.
    "ping" => Ping(Empty) -> PingResult, Observer;
    /// Lists agents with their presence.
    "agent.list" => AgentList(AgentListParams) -> AgentListResult, Observer;
    /// Shows one agent.
    "agent.get" => AgentGet(AgentGetParams) -> AgentView, Observer;
    /// Says something of oneself: status, capabilities, topics, load, note.
    "agent.update" => AgentUpdate(AgentUpdateParams) -> AgentView, Agent;
    /// Forgets an agent that has no session, and frees all it held.
    "agent.remove" => AgentRemove(AgentRemoveParams) -> AgentRemoveResult, Agent;
    /// Submits a task.
    "task.submit" => TaskSubmit(TaskSubmitParams) -> TaskSubmitResult, Agent;
    /// Submits several tasks that may wait for each other, all or none.
    "task.submit_many" => TaskSubmitMany(TaskSubmitManyParams) -> TaskSubmitManyResult, Agent;
    /// Claims the ready task of the highest priority, the oldest first; may wait for one.
    "task.claim" => TaskClaim(TaskClaimParams) -> TaskClaimResult, Agent;
    /// Reports progress, and renews an attempt with a time-to-live.
    "task.progress" => TaskProgress(TaskProgressParams) -> RenewResult, Agent;
    /// Finishes an attempt; may claim the next task in the same step.
    "task.complete" => TaskComplete(TaskCompleteParams) -> TaskCompleteResult, Agent;
    /// Reports that an attempt failed; the task is tried again after a pause, or is dead.
    "task.fail" => TaskFail(TaskFailParams) -> TaskFailResult, Agent;
    /// Gives an attempt back; it does not count as failed.
    "task.release" => TaskRelease(TaskReleaseParams) -> Empty, Agent;
    /// Hands an attempt to another agent, or to whoever has a capability, with context.
    "task.handoff" => TaskHandoff(TaskHandoffParams) -> TaskQueuedResult, Agent;
    /// Cancels a task; its submitter, its holder or an operator may.
    "task.cancel" => TaskCancel(TaskCancelParams) -> Empty, Agent;
    /// Takes a dead or cancelled task up again, with all its attempts.
    "task.retry" => TaskRetry(TaskRetryParams) -> TaskQueuedResult, Agent;
    /// Shows one task with payload and result.
    "task.get" => TaskGet(TaskGetParams) -> TaskView, Observer;
    /// Says why a task does not run: every reason, down the chain of what it waits for.
    "task.explain" => TaskExplain(TaskExplainParams) -> TaskExplainResult, Observer;
    /// Lists tasks.
    "task.list" => TaskList(TaskListParams) -> TaskListResult, Observer;
    /// Acquires a lease on resources, all or none; may wait for them.
    "lease.acquire" => LeaseAcquire(LeaseAcquireParams) -> LeaseAcquireResult, Agent;
    /// Renews a lease with a time-to-live.
    "lease.renew" => LeaseRenew(LeaseRenewParams) -> RenewResult, Agent;
    /// Gives a lease back.
    "lease.release" => LeaseRelease(LeaseReleaseParams) -> Empty, Agent;
    /// Takes a lease away; its holder is told.
    "lease.revoke" => LeaseRevoke(LeaseRevokeParams) -> Empty, Agent;
    /// Lists leases.
    "lease.list" => LeaseList(LeaseListParams) -> LeaseListResult, Observer;
    /// Asks whether a lease still holds, or what stands in the way of resources.
    "lease.check" => LeaseCheck(LeaseCheckParams) -> LeaseCheckResult, Observer;
    /// Sends a message; the answer says what happened at every recipient.
    "message.send" => MessageSend(MessageSendParams) -> MessageSendResult, Agent;
    /// Reads one's mailbox.
    "message.inbox" => MessageInbox(MessageInboxParams) -> MessageInboxResult, Agent;
    /// Takes messages out of one's mailbox.
    "message.ack" => MessageAck(MessageAckParams) -> MessageAckResult, Agent;
    /// Shows a thread, as far as one took part in it.
    "message.thread" => MessageThread(MessageThreadParams) -> MessageThreadResult, Agent;
    /// Reads an entry of the shared context.
    "context.get" => ContextGet(ContextGetParams) -> ContextView, Observer;
    /// Writes an entry, if wanted only over a known revision.
    "context.put" => ContextPut(ContextPutParams) -> ContextPutResult, Agent;
    /// Deletes an entry, if wanted only at a known revision.
    "context.delete" => ContextDelete(ContextDeleteParams) -> ContextPutResult, Agent;
    /// Lists entries by prefix.
    "context.list" => ContextList(ContextListParams) -> ContextListResult, Observer;
    /// Adds a watch on keys to the connection's subscription.
    "context.watch" => ContextWatch(ContextWatchParams) -> EventsSubscribeResult, Observer;
    /// Subscribes the connection to events, from now or from a cursor.
    "events.subscribe" => EventsSubscribe(EventsSubscribeParams) -> EventsSubscribeResult, Observer;
    /// Ends the connection's subscription, watches included.
    "events.unsubscribe" => EventsUnsubscribe(Empty) -> Empty, Observer;
    /// Makes a token.
    "token.create" => TokenCreate(TokenCreateParams) -> TokenCreateResult, Operator;
    /// Lists tokens, without their secrets.
    "token.list" => TokenList(Empty) -> TokenListResult, Operator;
    /// Revokes a token; its connections are closed.
    "token.revoke" => TokenRevoke(TokenRevokeParams) -> Empty, Operator;
    /// Makes a project.
    "project.create" => ProjectCreate(ProjectCreateParams) -> Empty, Operator;
    /// Lists the projects that the token opens.
    "project.list" => ProjectList(Empty) -> ProjectListResult, Observer;
    /// Shows how the coordinator and the project are.
    "server.status" => ServerStatus(Empty) -> ServerStatusResult, Observer;
    /// Writes a consistent backup while all goes on.
    "server.backup" => ServerBackup(ServerBackupParams) -> ServerBackupResult, Operator;
}

impl Request {
    /// Reads the parameters of `method`. Absent ones are an empty object.
    pub fn parse(method: &str, params: Option<&RawValue>) -> Result<Self, RpcError> {
        let Some(operation) = Operation::by_name(method) else {
            return Err(unknown(method));
        };
        let none: &RawValue = serde_json::from_str("{}").expect("an empty object is JSON");
        let params = params.unwrap_or(none);
        // Read by position they would make the order of the fields a part of the interface.
        if params.get().starts_with('[') {
            let message = "params: they are given by name, as an object";
            let error = RpcError::new(ErrorKind::InvalidParams, message);
            return Err(error.with(|detail| detail.path = Some("params".to_owned())));
        }
        Self::of(operation, params)
    }
}

/// Reads fast; only a failure is read again, to find out where.
fn read<T: DeserializeOwned>(params: &RawValue) -> Result<T, RpcError> {
    serde_json::from_str(params.get()).map_err(|_| explain::<T>(params))
}

fn explain<T: DeserializeOwned>(params: &RawValue) -> RpcError {
    let mut reader = serde_json::Deserializer::from_str(params.get());
    let (path, problem) = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Ok(_) => (".".to_owned(), "more than one value".to_owned()),
        Err(error) => (error.path().to_string(), error.inner().to_string()),
    };
    let path = if path == "." {
        "params".to_owned()
    } else {
        path
    };
    RpcError::new(ErrorKind::InvalidParams, format!("{path}: {problem}"))
        .with(|detail| detail.path = Some(path))
}

fn unknown(method: &str) -> RpcError {
    let shown: String = method.chars().take(64).collect();
    let similar = OPERATIONS
        .iter()
        .map(|info| (strsim::jaro_winkler(info.name, &shown), info.name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.8);
    let error = RpcError::new(
        ErrorKind::MethodNotFound,
        format!("there is no operation {shown:?}"),
    );
    error.with(|detail| detail.suggestion = similar.map(|(_, name)| name.to_owned()))
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
