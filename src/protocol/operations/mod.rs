//! The one table of operations. Dispatch, roles, schemas, reference and command line come from it.
//!
//! Each row says what the operation is, and with that who has to handle it. The handlers match without
//! a default, so the compiler asks for the one of a new row:
//!
//! | kind | what it does | who handles it |
//! |---|---|---|
//! | `query` | reads; answered at once from the state this coordinator has | `driver/queries.rs` |
//! | `command` | changes the state of a project by a record; its `request_id` makes it repeatable | `driver/plan/mod.rs` |
//! | `secret` | a command whose answer holds a secret that is kept nowhere, so it has no `request_id` | `driver/plan/mod.rs` |
//! | `either` | a query or a command: its parameters say which (`changes_state`) | both |
//! | `session` | a command about the session of the connection it comes by | `driver/plan/session.rs` |
//! | `connection` | neither reads nor changes state: feeds the connection events, or has a backup written for it | `driver/admit.rs` |

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
use crate::engine::ids::RequestId;
use request::{read, request, requests, take_request_id};

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
    /// Begins a session, or takes one up again after a lost connection.
    "session.open" => session SessionOpen(SessionOpenParams) -> SessionOpenResult, Agent;
    /// Ends a session; all it held is free at once.
    "session.close" => session SessionClose(SessionCloseParams) -> Empty, Agent;
    /// Answers at once.
    "ping" => query Ping(Empty) -> PingResult, Observer;
    /// Lists agents with their presence.
    "agent.list" => query AgentList(AgentListParams) -> AgentListResult, Observer;
    /// Shows one agent.
    "agent.get" => query AgentGet(AgentGetParams) -> AgentView, Observer;
    /// Says something of oneself: status, capabilities, topics, load, note.
    "agent.update" => command AgentUpdate(AgentUpdateParams) -> AgentView, Agent;
    /// Forgets an agent that has no session, and frees all it held.
    "agent.remove" => command AgentRemove(AgentRemoveParams) -> AgentRemoveResult, Agent;
    /// Submits a task.
    "task.submit" => command TaskSubmit(TaskSubmitParams) -> TaskSubmitResult, Agent;
    /// Submits several tasks that may wait for each other, all or none.
    "task.submit_many" => command TaskSubmitMany(TaskSubmitManyParams) -> TaskSubmitManyResult, Agent;
    /// Claims the ready task of the highest priority, the oldest first; may wait for one.
    "task.claim" => command TaskClaim(TaskClaimParams) -> TaskClaimResult, Agent;
    /// Reports progress, and renews an attempt with a time-to-live.
    "task.progress" => command TaskProgress(TaskProgressParams) -> RenewResult, Agent;
    /// Finishes an attempt; may claim the next task in the same step.
    "task.complete" => command TaskComplete(TaskCompleteParams) -> TaskCompleteResult, Agent;
    /// Reports that an attempt failed; the task is tried again after a pause, or is dead.
    "task.fail" => command TaskFail(TaskFailParams) -> TaskFailResult, Agent;
    /// Gives an attempt back; it does not count as failed.
    "task.release" => command TaskRelease(TaskReleaseParams) -> Empty, Agent;
    /// Hands an attempt to another agent, or to whoever has a capability, with context.
    "task.handoff" => command TaskHandoff(TaskHandoffParams) -> TaskQueuedResult, Agent;
    /// Cancels a task; its submitter, its holder or an operator may.
    "task.cancel" => command TaskCancel(TaskCancelParams) -> Empty, Agent;
    /// Takes a dead or cancelled task up again, with all its attempts.
    "task.retry" => command TaskRetry(TaskRetryParams) -> TaskQueuedResult, Agent;
    /// Shows one task with payload and result.
    "task.get" => query TaskGet(TaskGetParams) -> TaskView, Observer;
    /// Says why a task does not run: every reason, down the chain of what it waits for.
    "task.explain" => query TaskExplain(TaskExplainParams) -> TaskExplainResult, Observer;
    /// Lists tasks.
    "task.list" => query TaskList(TaskListParams) -> TaskListResult, Observer;
    /// Acquires a lease on resources, all or none; may wait for them.
    "lease.acquire" => command LeaseAcquire(LeaseAcquireParams) -> LeaseAcquireResult, Agent;
    /// Renews a lease with a time-to-live.
    "lease.renew" => command LeaseRenew(LeaseRenewParams) -> RenewResult, Agent;
    /// Gives a lease back.
    "lease.release" => command LeaseRelease(LeaseReleaseParams) -> Empty, Agent;
    /// Takes a lease away; its holder is told.
    "lease.revoke" => command LeaseRevoke(LeaseRevokeParams) -> Empty, Agent;
    /// Lists leases.
    "lease.list" => query LeaseList(LeaseListParams) -> LeaseListResult, Observer;
    /// Asks whether a lease still holds, or what stands in the way of resources.
    "lease.check" => query LeaseCheck(LeaseCheckParams) -> LeaseCheckResult, Observer;
    /// Sends a message; the answer says what happened at every recipient.
    "message.send" => command MessageSend(MessageSendParams) -> MessageSendResult, Agent;
    /// Reads one's mailbox.
    "message.inbox" => either MessageInbox(MessageInboxParams) -> MessageInboxResult, Agent;
    /// Takes messages out of one's mailbox.
    "message.ack" => command MessageAck(MessageAckParams) -> MessageAckResult, Agent;
    /// Shows a thread, as far as one took part in it.
    "message.thread" => query MessageThread(MessageThreadParams) -> MessageThreadResult, Agent;
    /// Reads an entry of the shared context.
    "context.get" => query ContextGet(ContextGetParams) -> ContextView, Observer;
    /// Writes an entry, if wanted only over a known revision.
    "context.put" => command ContextPut(ContextPutParams) -> ContextPutResult, Agent;
    /// Deletes an entry, if wanted only at a known revision.
    "context.delete" => command ContextDelete(ContextDeleteParams) -> ContextPutResult, Agent;
    /// Lists entries by prefix.
    "context.list" => query ContextList(ContextListParams) -> ContextListResult, Observer;
    /// Adds a watch on keys to the connection's subscription.
    "context.watch" => connection ContextWatch(ContextWatchParams) -> EventsSubscribeResult, Observer;
    /// Subscribes the connection to events, from now or from a cursor.
    "events.subscribe" => connection EventsSubscribe(EventsSubscribeParams) -> EventsSubscribeResult, Observer;
    /// Ends the connection's subscription, watches included.
    "events.unsubscribe" => connection EventsUnsubscribe(Empty) -> Empty, Observer;
    /// Makes a token.
    "token.create" => secret TokenCreate(TokenCreateParams) -> TokenCreateResult, Operator;
    /// Lists tokens, without their secrets.
    "token.list" => query TokenList(Empty) -> TokenListResult, Operator;
    /// Revokes a token; its connections are closed.
    "token.revoke" => command TokenRevoke(TokenRevokeParams) -> Empty, Operator;
    /// Makes a project.
    "project.create" => command ProjectCreate(ProjectCreateParams) -> Empty, Operator;
    /// Lists the projects that the token opens.
    "project.list" => query ProjectList(Empty) -> ProjectListResult, Observer;
    /// Shows how the coordinator and the project are.
    "server.status" => query ServerStatus(Empty) -> ServerStatusResult, Observer;
    /// Writes a consistent backup while all goes on.
    "server.backup" => connection ServerBackup(ServerBackupParams) -> ServerBackupResult, Operator;
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
