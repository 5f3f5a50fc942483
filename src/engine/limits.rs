//! Every limit of a project's state, in one place, each with its unit in its name.
//!
//! They are constants, not settings: state is a pure fold over the journal, so two nodes with different
//! limits would have different states. Tests use smaller ones.

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $name:ident: $default:literal,)*) => {
        /// The limits of one project.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            /// Name, value and meaning of every limit, in the order of this file.
            pub fn table(&self) -> Vec<(&'static str, u64, &'static str)> {
                vec![$((stringify!($name), self.$name, concat!($($doc,)*).trim_ascii()),)*]
            }
        }
    };
}

limits! {
    /// Projects of a deployment.
    projects_max: 256,
    /// Tokens of a deployment.
    tokens_max: 4_096,
    /// Projects that one token may name.
    projects_per_token_max: 16,
    /// Agents known in a project.
    agents_max: 4_096,
    /// Sessions of a project, including those in their grace period.
    sessions_max: 16_384,
    /// Sessions of one agent.
    sessions_per_agent_max: 64,
    /// Seats of one principal that are known in a project.
    seats_per_principal_max: 256,
    /// Sessions of all seats of one principal.
    sessions_per_principal_max: 1_024,
    /// How long a seat without session, holdings and unread mail is remembered.
    seat_idle_ms: 3_600_000,
    /// The longest grace period of a session.
    session_grace_ms_max: 600_000,
    /// Capabilities of an agent or required by a task.
    capabilities_max: 32,
    /// Labels of an agent, task or session.
    labels_max: 16,
    /// Topics an agent listens to.
    topics_per_agent_max: 64,
    /// Tasks that are blocked, ready or claimed.
    tasks_open_max: 10_000,
    /// Tasks that are done, dead or cancelled and still stored; the oldest is deleted first, but not one that
    /// a blocked task waits for.
    tasks_finished_max: 4_096,
    /// Tasks in one submission.
    tasks_per_submit_max: 256,
    /// Dependencies of one task.
    dependencies_per_task_max: 64,
    /// Bytes of one payload, result, body or value.
    payload_bytes_max: 65_536,
    /// Bytes of all payloads, results and handoff contexts of the tasks of a project.
    tasks_bytes_max: 33_554_432,
    /// The largest `attempts_max` of a task.
    attempts_per_task_max: 100,
    /// The longest pause after a failed attempt.
    backoff_ms_max: 86_400_000,
    /// The longest time limit of one attempt.
    attempt_timeout_ms_max: 604_800_000,
    /// The longest delay before a task becomes ready.
    task_delay_ms_max: 2_592_000_000,
    /// How long a lost task is reserved for the agent that lost it.
    crash_offer_ms: 15_000,
    /// The longest time a task is reserved for the agent it was handed to.
    handoff_offer_ms_max: 86_400_000,
    /// Concurrency keys in use in a project.
    concurrency_keys_max: 1_024,
    /// Leases of a project.
    leases_max: 4_096,
    /// Resources in one lease, not counting files.
    resources_per_lease_max: 32,
    /// Files (`file:`) in one lease.
    files_per_lease_max: 1_024,
    /// Bytes of the names of all files of one lease.
    file_bytes_per_lease_max: 49_152,
    /// Files that the leases of one principal hold, those of all its seats together.
    files_per_agent_max: 4_096,
    /// Files that all leases of a project hold.
    files_max: 65_536,
    /// Bytes of all globs of one lease; they bound the cost of finding conflicts.
    pattern_bytes_per_lease_max: 2_048,
    /// Bytes of all globs that the leases of one principal hold, those of all its seats together.
    pattern_bytes_per_agent_max: 8_192,
    /// Conflicting leases that a refusal names; it counts the rest.
    conflicts_told_max: 64,
    /// The longest time-to-live of a lease or a claimed attempt that no session holds.
    lease_ttl_ms_max: 86_400_000,
    /// The shortest time-to-live of a lease or a claimed attempt.
    lease_ttl_ms_min: 1_000,
    /// How long the resources of a lost lease stay closed to other agents (lock-delay).
    lock_delay_ms: 5_000,
    /// Messages that one mailbox holds.
    mailbox_messages_max: 1_000,
    /// Messages of one sender that one mailbox holds; all seats of a principal are one sender.
    mailbox_messages_per_sender_max: 200,
    /// Places of a mailbox that are reserved for direct messages of senders with few messages in it.
    mailbox_messages_reserved: 200,
    /// A sender with at most this many messages in a mailbox may use the reserve.
    mailbox_messages_reserved_per_sender_max: 4,
    /// Bytes of message bodies that one mailbox holds.
    mailbox_bytes_max: 4_194_304,
    /// Bytes of message bodies of one sender that one mailbox holds.
    mailbox_bytes_per_sender_max: 1_048_576,
    /// Bytes of a mailbox that are reserved for direct messages of senders with few bytes in it.
    mailbox_bytes_reserved: 1_048_576,
    /// A sender with at most this many bytes in a mailbox may use the reserve.
    mailbox_bytes_reserved_per_sender_max: 65_536,
    /// Bytes of all message bodies of a project.
    messages_bytes_max: 33_554_432,
    /// Bytes of one sender's waiting messages, including the entry of each recipient.
    messages_bytes_per_sender_max: 8_388_608,
    /// Bytes of waiting messages that are reserved for direct messages of senders with few waiting bytes.
    messages_bytes_reserved: 4_194_304,
    /// A sender with at most this many waiting bytes may use the reserve.
    messages_bytes_reserved_per_sender_max: 131_072,
    /// Acknowledged messages that threads still show; the oldest is deleted first.
    messages_finished_max: 1_024,
    /// The longest time-to-live of a message.
    message_ttl_ms_max: 2_592_000_000,
    /// The longest time a taken message stays hidden from other sessions of its agent.
    message_take_ms_max: 3_600_000,
    /// Messages named in one acknowledgement, or returned by one `message.inbox`.
    messages_per_request_max: 256,
    /// Entries of the shared context.
    context_entries_max: 4_096,
    /// Bytes of all values of the shared context.
    context_bytes_max: 8_388_608,
    /// Events kept for subscribers that resume.
    events_history_max: 8_192,
    /// Approximate bytes of the events that are kept.
    events_history_bytes_max: 4_194_304,
    /// Changes in one event; further deadlines are handled with the next record.
    changes_per_event_max: 4_096,
    /// Tasks that one event names as stuck or no longer stuck; it counts the rest.
    stuck_changes_per_event_max: 256,
    /// Answers remembered for each agent by `request_id`; the oldest is dropped first.
    request_ids_per_agent_max: 64,
    /// How late a request with a `request_id` may reach a shared journal, once remembered answers of its
    /// agent were dropped. A later one is refused, because it could be a repeated request whose answer was
    /// dropped.
    request_late_ms_max: 1_000,
    /// Coordinators that share the journal and serve sessions of a project.
    nodes_max: 256,
    /// The longest time a coordinator counts as alive without a heartbeat.
    node_ttl_ms_max: 60_000,
    /// Past epochs for which the coordinator knows which cursors are still valid.
    epochs_kept_max: 64,
    /// The most items that one list operation returns.
    list_items_max: 1_000,
    /// The most by which one record moves journal time forward.
    clock_step_ms_max: 60_000,
}

/// The request would exceed a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitExceeded {
    pub limit: &'static str,
    pub max: u64,
}

/// Compares a value with the limit of that name. The name is the field's name, so they cannot differ.
macro_rules! check_limit {
    ($limits:expr, $name:ident, $value:expr) => {
        // A value too large to count exceeds any limit.
        if u64::try_from($value).unwrap_or(u64::MAX) > $limits.$name {
            Err($crate::engine::limits::LimitExceeded {
                limit: stringify!($name),
                max: $limits.$name,
            })
        } else {
            Ok(())
        }
    };
}
pub(crate) use check_limit;
