//! Every limit of a project's state, in one place, each with its unit in its name.
//!
//! They are constants of the program, not settings: state is a pure fold over the journal, so two
//! nodes that disagree about a limit would disagree about the state. Tests make smaller ones.

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
    projects_max: 64,
    /// Tokens of a deployment.
    tokens_max: 4_096,
    /// Projects that one token may name.
    projects_per_token_max: 16,
    /// Agents known in a project.
    agents_max: 4_096,
    /// Sessions of a project, those in grace included.
    sessions_max: 16_384,
    /// Sessions of one agent.
    sessions_per_agent_max: 64,
    /// How long a lost connection's session may wait to be resumed.
    session_grace_ms_max: 600_000,
    /// Capabilities of an agent, or required by a task.
    capabilities_max: 32,
    /// Labels of an agent, task or session.
    labels_max: 16,
    /// Topics an agent listens to.
    topics_per_agent_max: 64,
    /// Tasks that are blocked, ready or claimed.
    tasks_open_max: 10_000,
    /// Tasks that are done, dead or cancelled and still known; the oldest is forgotten first, but
    /// none that a blocked task waits for.
    tasks_finished_max: 4_096,
    /// Tasks in one submission.
    tasks_per_submit_max: 256,
    /// Tasks that one task may wait for.
    dependencies_per_task_max: 64,
    /// Bytes of one payload, result, body or value.
    payload_bytes_max: 65_536,
    /// Bytes of all payloads, results and handoff contexts of the tasks of a project.
    tasks_bytes_max: 33_554_432,
    /// Attempts a task may ask for before it is dead.
    attempts_per_task_max: 100,
    /// The longest pause between a failed attempt and the next.
    backoff_ms_max: 86_400_000,
    /// The longest time one attempt may ask for.
    attempt_timeout_ms_max: 604_800_000,
    /// The longest delay before a task becomes ready.
    task_delay_ms_max: 2_592_000_000,
    /// How long work is offered to the agent that lost it before others may take it.
    crash_offer_ms: 15_000,
    /// The longest time a handed-off task is kept for the agent it was handed to.
    handoff_offer_ms_max: 86_400_000,
    /// Concurrency keys in use.
    concurrency_keys_max: 1_024,
    /// Leases of a project.
    leases_max: 4_096,
    /// Resources in one lease, files not counted.
    resources_per_lease_max: 32,
    /// Files (`file:`) in one lease.
    files_per_lease_max: 1_024,
    /// Bytes of the names of all files of one lease.
    file_bytes_per_lease_max: 49_152,
    /// Files that the leases of one agent hold.
    files_per_agent_max: 4_096,
    /// Files that all leases of a project hold: each is looked at for each file that is asked for.
    files_max: 65_536,
    /// Bytes of all globs of one lease: deciding overlap costs up to their product with all held.
    pattern_bytes_per_lease_max: 2_048,
    /// Bytes of all globs that the leases of one agent hold.
    pattern_bytes_per_agent_max: 8_192,
    /// Leases in the way of a request that its refusal names; it counts the rest.
    conflicts_told_max: 64,
    /// The longest time-to-live of a lease or a claimed attempt that no session holds.
    lease_ttl_ms_max: 86_400_000,
    /// The shortest time-to-live of a lease or a claimed attempt.
    lease_ttl_ms_min: 1_000,
    /// How long the resources of an abruptly lost lease stay closed to other agents.
    lock_delay_ms: 5_000,
    /// Messages that one mailbox holds.
    mailbox_messages_max: 1_000,
    /// Messages of one sender that one mailbox holds.
    mailbox_messages_per_sender_max: 200,
    /// The last messages of a mailbox, which only direct messages may use, of senders that have few
    /// in it.
    mailbox_messages_reserved: 200,
    /// Messages of one sender in a mailbox with which it may still use the reserve.
    mailbox_messages_reserved_per_sender_max: 4,
    /// Bytes of message bodies that one mailbox holds.
    mailbox_bytes_max: 4_194_304,
    /// Bytes of message bodies of one sender that one mailbox holds.
    mailbox_bytes_per_sender_max: 1_048_576,
    /// The last bytes of a mailbox, which only direct messages may use, of senders that have few in
    /// it.
    mailbox_bytes_reserved: 1_048_576,
    /// Bytes of one sender in a mailbox with which it may still use the reserve.
    mailbox_bytes_reserved_per_sender_max: 65_536,
    /// Bytes of all message bodies of a project.
    messages_bytes_max: 33_554_432,
    /// Bytes of one sender's messages that wait for their recipients, each recipient's entry counted.
    messages_bytes_per_sender_max: 8_388_608,
    /// The last bytes of waiting messages, which only direct messages may use, of senders of whom few
    /// wait.
    messages_bytes_reserved: 4_194_304,
    /// Waiting bytes of one sender with which it may still use the reserve.
    messages_bytes_reserved_per_sender_max: 131_072,
    /// Acknowledged messages that threads still show; the oldest is forgotten first.
    messages_finished_max: 1_024,
    /// The longest time a message waits for its recipients.
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
    /// Bytes of the events kept, roughly.
    events_history_bytes_max: 4_194_304,
    /// Changes that one event carries; deadlines beyond it fall due with the next record.
    changes_per_event_max: 4_096,
    /// Tasks that one event names as stuck, or as no longer stuck; it counts those beyond.
    stuck_changes_per_event_max: 256,
    /// Answers remembered for each agent by `request_id`; the oldest is forgotten first.
    request_ids_per_agent_max: 64,
    /// How much later than it was sent a request with a `request_id` may reach a shared journal, once
    /// its agent has had answers that are forgotten since: it could be one of those.
    request_late_ms_max: 1_000,
    /// Coordinators that share the journal and serve sessions of a project.
    nodes_max: 256,
    /// The longest time a coordinator counts as alive without a sign of life.
    node_ttl_ms_max: 60_000,
    /// Past epochs whose cursors can still be told from lost ones.
    epochs_kept_max: 64,
    /// Items that one list operation returns at the most.
    list_items_max: 1_000,
    /// The most by which one record moves journal time forward.
    clock_step_ms_max: 60_000,
}

/// What was asked for would pass a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitExceeded {
    pub limit: &'static str,
    pub max: u64,
}

/// Compares a value with the limit of that name; the name is the field's, so that they cannot differ.
macro_rules! check_limit {
    ($limits:expr, $name:ident, $value:expr) => {
        // A value too large to count is over any limit.
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
