//! Commands made up structurally: small alphabets, so that they meet, and hostile numbers.

use cli_coordinator::engine::command::*;
use cli_coordinator::engine::ids::{
    AgentName, FencingToken, LeaseId, MessageId, RequestId, Revision, SessionId, TaskId, TreeName,
};
use cli_coordinator::engine::payload::Payload;
use cli_coordinator::engine::resource::{Resource, ResourceRequest};
use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..8u64, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn ms() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(1_000),
        Just(5_000),
        Just(90_000),
        Just(u64::MAX)
    ]
}

fn name<T: std::str::FromStr + std::fmt::Debug>(
    names: &'static [&'static str],
) -> impl Strategy<Value = T>
where
    T::Err: std::fmt::Debug,
{
    proptest::sample::select(names).prop_map(|text| text.parse().expect("a valid name"))
}

const AGENTS: &[&str] = &["ant", "ant/x", "bee", "bee/x", "bee/y", "cat"];

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![Just(1), Just(40), Just(700)].prop_map(|length: usize| {
        let text = format!("\"{}\"", "x".repeat(length));
        Payload::new(serde_json::value::RawValue::from_string(text).expect("a string is JSON"))
    })
}

/// Also names that nobody else uses, and more than a project with tight limits takes.
fn introduces() -> impl Strategy<Value = std::collections::BTreeSet<AgentName>> {
    btree_set(name(&["ant", "bee", "cat", "dog", "nobody"]), 0..4)
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    btree_set(name(&["rust", "docs"]), 0..3)
}

fn hold() -> impl Strategy<Value = HoldRequest> {
    prop_oneof![
        Just(HoldRequest::Session),
        ms().prop_map(HoldRequest::TtlMs)
    ]
}

pub(crate) fn actor() -> impl Strategy<Value = Actor> {
    let role = prop_oneof![Just(Role::Agent), Just(Role::Operator)];
    let agent = (name(AGENTS), of(number().prop_map(SessionId)), role);
    prop_oneof![
        12 => agent.prop_map(|(name, session, role)| Actor::Agent { name, session, role }),
        1 => Just(Actor::Node("node".parse().expect("a node id"))),
    ]
}

pub(crate) fn request_id() -> impl Strategy<Value = Option<RequestId>> {
    of(name(&["r1", "r2", "r3", "r4"]))
}

fn spec() -> impl Strategy<Value = TaskSpec> {
    let dependency = prop_oneof![
        number().prop_map(|id| Dependency::Task(TaskId(id))),
        (0..5u32).prop_map(Dependency::Index),
    ];
    let shape = (
        of(payload()),
        0..3i32,
        capabilities(),
        vec(dependency, 0..3),
        ms(),
    );
    let terms = (
        of(name(&["k1", "k2"])),
        prop_oneof![4 => 1..4u32, 1 => Just(0), 1 => Just(u32::MAX)],
        ms(),
        of(ms()),
        of((name(&["c1", "c2", "c3"]), 0..3u32)),
    );
    (shape, terms).prop_map(|((payload, priority, requires, after, delay_ms), terms)| {
        let (idempotency_key, attempts_max, backoff_ms, attempt_timeout_ms, concurrency) = terms;
        TaskSpec {
            title: "task".parse().expect("a title"),
            payload,
            priority,
            requires,
            labels: Labels::new(),
            after,
            delay_ms,
            idempotency_key,
            attempts_max,
            backoff_ms,
            attempt_timeout_ms,
            concurrency: concurrency.map(|(key, max)| Concurrency { key, max }),
        }
    })
}

fn claim() -> impl Strategy<Value = TaskClaim> {
    let filter = (of(number().prop_map(TaskId)), of(0..3i32));
    (hold(), filter).prop_map(|(hold, (task, priority_min))| TaskClaim {
        hold,
        filter: ClaimFilter {
            task,
            labels: Labels::new(),
            priority_min,
        },
    })
}

fn on_tasks() -> impl Strategy<Value = Action> {
    let attempt = || (number().prop_map(TaskId), number().prop_map(FencingToken));
    let note = "note".parse().expect("a note");
    prop_oneof![
        4 => (vec(spec(), 0..4), any::<bool>()).prop_map(|(tasks, tells_stuck)| Action::TaskSubmit(TaskSubmit { tasks, tells_stuck })),
        4 => claim().prop_map(Action::TaskClaim),
        1 => attempt().prop_map(|(task, fence)| Action::TaskProgress(TaskProgress { task, fence, percent: Some(255), note: None })),
        3 => (attempt(), of(payload()), of(claim())).prop_map(|((task, fence), result, next)| {
            Action::TaskComplete(TaskComplete { task, fence, result, next })
        }),
        2 => (attempt(), any::<bool>()).prop_map(move |((task, fence), retry)| {
            Action::TaskFail(TaskFail { task, fence, error: Clone::clone(&note), retry })
        }),
        1 => attempt().prop_map(|(task, fence)| Action::TaskRelease(TaskRelease { task, fence })),
        1 => (attempt(), ms(), of(payload()), of(name(&["bee", "bee/x"])), introduces()).prop_map(|((task, fence), offer_ms, context, named, introduces)| {
            let to = match named {
                Some(agent) => HandoffTarget::Agent(agent),
                None => HandoffTarget::Capability("rust".parse().expect("a capability")),
            };
            Action::TaskHandoff(Box::new(TaskHandoff { task, fence, to, offer_ms, note: None, context, introduces }))
        }),
        1 => (number(), any::<bool>()).prop_map(|(task, tells_stuck)| Action::TaskCancel(TaskCancel { task: TaskId(task), reason: None, tells_stuck })),
        1 => number().prop_map(|task| Action::TaskRetry(TaskRetry { task: TaskId(task) })),
    ]
}

fn record(texts: &'static [&'static str]) -> impl Strategy<Value = ResourceRequest> {
    let read = |text: &str| ResourceRequest::from_record(text).expect("it is a resource");
    prop::sample::select(texts).prop_map(read)
}

fn one() -> impl Strategy<Value = Resource> {
    let texts = [
        "glob:a",
        "file:a/b",
        "file:a/c",
        "file:a/",
        "path:**",
        "name:slot",
        "port:h:1",
    ];
    let read = |text: &str| Resource::from_record(text).expect("it is a resource");
    prop::sample::select(texts.to_vec()).prop_map(read)
}

fn tree() -> impl Strategy<Value = Option<TreeName>> {
    of(name(&["t1", "t2"]))
}

fn on_leases() -> impl Strategy<Value = Action> {
    let resource = record(&[
        "path:a/**",
        "path:*/b",
        "glob:a",
        "file:a/b",
        "file:a/",
        "name:slot",
        "port:h:1",
        "port:h:1-3",
        "port:h:1-65535",
    ]);
    let mode = prop::sample::select(vec![LeaseMode::Exclusive, LeaseMode::Shared]);
    let lease = || (number().prop_map(LeaseId), number().prop_map(FencingToken));
    prop_oneof![
        3 => (vec(resource, 0..3), mode.clone(), hold(), tree()).prop_map(|(resources, mode, hold, tree)| {
            Action::LeaseAcquire(LeaseAcquire { resources, mode, hold, note: None, tree })
        }),
        3 => (vec(one(), 0..4), mode, hold(), tree()).prop_map(|(resources, mode, hold, tree)| {
            Action::LeaseEnsure(LeaseEnsure { resources, mode, hold, note: None, tree })
        }),
        1 => (vec(one(), 0..3), tree()).prop_map(|(resources, tree)| {
            Action::LeaseGiveBack(LeaseGiveBack { resources, tree })
        }),
        1 => (lease(), of(ms())).prop_map(|((lease, fence), ttl_ms)| Action::LeaseRenew(LeaseRenew { lease, fence, ttl_ms })),
        1 => lease().prop_map(|(lease, fence)| Action::LeaseRelease(LeaseRelease { lease, fence })),
        1 => number().prop_map(|lease| Action::LeaseRevoke(LeaseRevoke { lease: LeaseId(lease), reason: None })),
    ]
}

fn on_messages() -> impl Strategy<Value = Action> {
    let to = prop_oneof![
        name(&["ant", "bee", "bee/x", "bee/z", "nobody"]).prop_map(Recipient::Agent),
        name(&["rust"]).prop_map(Recipient::Capability),
        name(&["news"]).prop_map(Recipient::Topic),
        Just(Recipient::All),
    ];
    prop_oneof![
        (
            to,
            payload(),
            of(number()),
            ms(),
            introduces(),
            any::<bool>()
        )
            .prop_map(|(to, body, reply_to, ttl_ms, introduces, shares)| {
                let reply_to = reply_to.map(MessageId);
                Action::MessageSend(Box::new(MessageSend {
                    to,
                    subject: None,
                    body,
                    importance: Importance::Normal,
                    reply_to,
                    ttl_ms,
                    introduces,
                    shares,
                }))
            }),
        (any::<u32>(), ms()).prop_map(|(count_max, take_ms)| {
            Action::MessageTake(MessageTake {
                count_max,
                take_ms,
                importance_min: Importance::Low,
            })
        }),
        (
            vec(number().prop_map(MessageId), 0..4),
            of(number().prop_map(MessageId))
        )
            .prop_map(|(messages, up_to)| Action::MessageAck(MessageAck { messages, up_to })),
    ]
}

fn on_the_rest() -> impl Strategy<Value = Action> {
    let node = || "node".parse().expect("a node id");
    let key = || name(&["a", "b", "c"]);
    let revision = || of(number().prop_map(Revision));
    prop_oneof![
        Just(Action::Tick),
        any::<bool>().prop_map(move |sole| Action::NodeStart(NodeStart { node: node(), sole })),
        (of(capabilities()), ms()).prop_map(move |(capabilities, grace_ms)| {
            Action::SessionOpen(Box::new(SessionOpen {
                node: node(),
                kind: None,
                capabilities,
                labels: None,
                resume_hash: "hash".to_owned(),
                grace_ms,
            }))
        }),
        number().prop_map(move |id| Action::SessionResume(SessionResume {
            session: SessionId(id),
            node: node(),
            resume_hash: "hash".to_owned()
        })),
        number().prop_map(|id| Action::SessionClose(SessionClose {
            session: SessionId(id)
        })),
        (number(), 0..3u64).prop_map(|(id, connection)| {
            Action::SessionLost(SessionLost {
                session: SessionId(id),
                connection,
                reason: LostReason::ConnectionLost,
            })
        }),
        (of(capabilities()), of(any::<u8>())).prop_map(|(capabilities, load_percent)| {
            Action::AgentUpdate(Box::new(AgentUpdate {
                capabilities,
                load_percent,
                ..AgentUpdate::default()
            }))
        }),
        name(AGENTS).prop_map(|agent| Action::AgentRemove(AgentRemove { agent })),
        (key(), payload(), revision()).prop_map(|(key, value, if_revision)| Action::ContextPut(
            ContextPut {
                key,
                value,
                if_revision
            }
        )),
        (key(), revision()).prop_map(|(key, if_revision)| Action::ContextDelete(ContextDelete {
            key,
            if_revision
        })),
        (name(&["t-1", "t-2"]), of(ms()), any::<bool>()).prop_map(|(token, ttl_ms, seats)| {
            Action::TokenCreate(Box::new(TokenCreate {
                token,
                secret_hash: "s".to_owned(),
                agent: "ant".parse().expect("an agent"),
                role: Role::Agent,
                projects: ProjectScope::All,
                ttl_ms,
                seats,
            }))
        }),
        name(&["t-1", "t-2"]).prop_map(|token| Action::TokenRevoke(TokenRevoke { token })),
        name(&["p", "q"]).prop_map(|project| Action::ProjectCreate(ProjectCreate { project })),
    ]
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    prop_oneof![5 => on_tasks(), 2 => on_leases(), 2 => on_messages(), 4 => on_the_rest()]
}

/// How much later a command comes than the one before.
pub(crate) fn later() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..500u64, 3 => 500..20_000u64, 1 => Just(u64::MAX)]
}
