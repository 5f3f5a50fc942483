//! The one table of operations. Dispatch, roles, schemas, reference and command line come from it.
//!
//! Each row names the kind of its operation, and the kind decides who handles it. The handlers match without
//! a default, so the compiler demands a handler for a new row:
//!
//! | kind | what it does | who handles it |
//! |---|---|---|
//! | `query` | reads; answered at once from the state this coordinator has | `driver/queries.rs` |
//! | `command` | changes the state of a project by a record; its `request_id` makes it repeatable | `driver/plan/mod.rs` |
//! | `secret` | a command whose answer contains a secret that is not stored, so it has no `request_id` | `driver/plan/mod.rs` |
//! | `either` | a query or a command: its parameters say which (`changes_state`) | both |
//! | `session` | a command about the session of its own connection | `driver/plan/session.rs` |
//! | `connection` | neither reads nor changes state: sends events, or writes a backup | `driver/admit.rs` |

mod request;

use schemars::{JsonSchema, Schema, SchemaGenerator};
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
use super::error::RpcError;
use super::events::{EventsSubscribeParams, EventsSubscribeResult};
use super::explain::{TaskExplainParams, TaskExplainResult};
use super::lease::{
    LeaseAcquireParams, LeaseAcquireResult, LeaseCheckParams, LeaseCheckResult, LeaseEnsureParams,
    LeaseEnsureResult, LeaseListParams, LeaseListResult, LeaseReleaseParams, LeaseReleaseResult,
    LeaseRenewParams, LeaseRevokeParams,
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
use crate::engine::ids::RequestId;
use request::{read, request, requests, take_request_id};

/// The description of an operation, for the reference and other front ends.
#[derive(Debug, Clone, Copy)]
pub struct OperationInfo {
    pub operation: Operation,
    pub name: &'static str,
    pub summary: &'static str,
    /// Its kind, as in the table above.
    pub kind: &'static str,
    /// The least role that may call it.
    pub role: Role,
    pub params: fn(&mut SchemaGenerator) -> Schema,
    pub result: fn(&mut SchemaGenerator) -> Schema,
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])* $name:literal => $kind:ident $variant:ident($params:ident) -> $result:ident, $role:ident;)*) => {
        /// Which operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $($(#[doc = $doc])* $variant,)*
        }

        /// Every operation, in the order of the reference.
        pub const OPERATIONS: &[OperationInfo] = &[$(OperationInfo {
            operation: Operation::$variant,
            name: $name,
            summary: concat!($($doc,)*).trim_ascii(),
            kind: stringify!($kind),
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
            fn of(operation: Operation, params: &RawValue) -> Result<Self, RpcError> {
                match operation {
                    $(Operation::$variant => read(params).map(|params: $params| request!($kind $variant params)),)*
                }
            }
        }

        requests! { [] [] [] [] $($kind $variant($params);)* }
    };
}

operations! {
    /// Opens a session, or resumes one after a lost connection.
    "session.open" => session SessionOpen(SessionOpenParams) -> SessionOpenResult, Agent;
    /// Ends a session; all it held is released at once.
    "session.close" => session SessionClose(SessionCloseParams) -> Empty, Agent;
    /// Answers at once.
    "ping" => query Ping(Empty) -> PingResult, Observer;
    /// Lists agents with their presence.
    "agent.list" => query AgentList(AgentListParams) -> AgentListResult, Observer;
    /// Shows one agent.
    "agent.get" => query AgentGet(AgentGetParams) -> AgentView, Observer;
    /// Updates the caller's own status, capabilities, labels, topics, load and note.
    "agent.update" => command AgentUpdate(AgentUpdateParams) -> AgentView, Agent;
    /// Removes an agent that has no session, and releases all it held.
    "agent.remove" => command AgentRemove(AgentRemoveParams) -> AgentRemoveResult, Agent;
    /// Submits a task.
    "task.submit" => command TaskSubmit(TaskSubmitParams) -> TaskSubmitResult, Agent;
    /// Submits several tasks, all or none; they may depend on each other.
    "task.submit_many" => command TaskSubmitMany(TaskSubmitManyParams) -> TaskSubmitManyResult, Agent;
    /// Claims the ready task of the highest priority, the oldest first; may wait for one.
    "task.claim" => command TaskClaim(TaskClaimParams) -> TaskClaimResult, Agent;
    /// Reports progress, and renews an attempt with a time-to-live.
    "task.progress" => command TaskProgress(TaskProgressParams) -> RenewResult, Agent;
    /// Completes the task of an attempt; may claim the next task in the same step.
    "task.complete" => command TaskComplete(TaskCompleteParams) -> TaskCompleteResult, Agent;
    /// Reports that an attempt failed; the task is retried after a pause, or is dead.
    "task.fail" => command TaskFail(TaskFailParams) -> TaskFailResult, Agent;
    /// Releases an attempt; it does not count as failed.
    "task.release" => command TaskRelease(TaskReleaseParams) -> Empty, Agent;
    /// Hands a task over to another agent, or to agents with a capability, with context.
    "task.handoff" => command TaskHandoff(TaskHandoffParams) -> TaskQueuedResult, Agent;
    /// Cancels a task; its submitter, its holder or an operator may.
    "task.cancel" => command TaskCancel(TaskCancelParams) -> Empty, Agent;
    /// Requeues a dead or cancelled task and resets its failure count.
    "task.retry" => command TaskRetry(TaskRetryParams) -> TaskQueuedResult, Agent;
    /// Shows one task with its payload and result.
    "task.get" => query TaskGet(TaskGetParams) -> TaskView, Observer;
    /// Explains why a task does not run: every reason, also of the tasks it waits for.
    "task.explain" => query TaskExplain(TaskExplainParams) -> TaskExplainResult, Observer;
    /// Lists tasks.
    "task.list" => query TaskList(TaskListParams) -> TaskListResult, Observer;
    /// Acquires a lease on resources, all or none; may wait for them.
    "lease.acquire" => command LeaseAcquire(LeaseAcquireParams) -> LeaseAcquireResult, Agent;
    /// Makes sure that the agent holds resources, all or none: renews what it holds, takes what is free.
    "lease.ensure" => command LeaseEnsure(LeaseEnsureParams) -> LeaseEnsureResult, Agent;
    /// Renews a lease with a time-to-live.
    "lease.renew" => command LeaseRenew(LeaseRenewParams) -> RenewResult, Agent;
    /// Releases a lease, or resources that `lease.ensure` took.
    "lease.release" => command LeaseRelease(LeaseReleaseParams) -> LeaseReleaseResult, Agent;
    /// Revokes a lease; its holder is notified.
    "lease.revoke" => command LeaseRevoke(LeaseRevokeParams) -> Empty, Agent;
    /// Lists leases.
    "lease.list" => query LeaseList(LeaseListParams) -> LeaseListResult, Observer;
    /// Checks whether a lease still holds, or which leases conflict with resources.
    "lease.check" => query LeaseCheck(LeaseCheckParams) -> LeaseCheckResult, Observer;
    /// Sends a message; the answer shows the delivery at each recipient.
    "message.send" => command MessageSend(MessageSendParams) -> MessageSendResult, Agent;
    /// Reads the caller's mailbox.
    "message.inbox" => either MessageInbox(MessageInboxParams) -> MessageInboxResult, Agent;
    /// Acknowledges messages, which removes them from the caller's mailbox.
    "message.ack" => command MessageAck(MessageAckParams) -> MessageAckResult, Agent;
    /// Shows the messages of a thread that the caller sent or got.
    "message.thread" => query MessageThread(MessageThreadParams) -> MessageThreadResult, Agent;
    /// Reads an entry of the shared context.
    "context.get" => query ContextGet(ContextGetParams) -> ContextView, Observer;
    /// Writes an entry, optionally only if it has a given revision.
    "context.put" => command ContextPut(ContextPutParams) -> ContextPutResult, Agent;
    /// Deletes an entry, optionally only if it has a given revision.
    "context.delete" => command ContextDelete(ContextDeleteParams) -> ContextPutResult, Agent;
    /// Lists entries by prefix.
    "context.list" => query ContextList(ContextListParams) -> ContextListResult, Observer;
    /// Adds a watch on keys to the connection's subscription.
    "context.watch" => connection ContextWatch(ContextWatchParams) -> EventsSubscribeResult, Observer;
    /// Subscribes the connection to events, from now or from a cursor.
    "events.subscribe" => connection EventsSubscribe(EventsSubscribeParams) -> EventsSubscribeResult, Observer;
    /// Ends the connection's subscription, watches included.
    "events.unsubscribe" => connection EventsUnsubscribe(Empty) -> Empty, Observer;
    /// Creates a token.
    "token.create" => secret TokenCreate(TokenCreateParams) -> TokenCreateResult, Operator;
    /// Lists tokens, without their secrets.
    "token.list" => query TokenList(Empty) -> TokenListResult, Operator;
    /// Revokes a token; its connections are closed.
    "token.revoke" => command TokenRevoke(TokenRevokeParams) -> Empty, Operator;
    /// Creates a project.
    "project.create" => command ProjectCreate(ProjectCreateParams) -> Empty, Operator;
    /// Lists the projects that the token allows.
    "project.list" => query ProjectList(Empty) -> ProjectListResult, Observer;
    /// Shows the state of the coordinator and the project.
    "server.status" => query ServerStatus(Empty) -> ServerStatusResult, Observer;
    /// Writes a consistent backup; the coordinator keeps running.
    "server.backup" => connection ServerBackup(ServerBackupParams) -> ServerBackupResult, Operator;
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
