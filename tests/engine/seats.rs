//! Seats: whom a message to a principal reaches, what a seat may read, and when it is forgotten.

use std::collections::BTreeSet;

use cli_coordinator::engine::agents::Presence;
use cli_coordinator::engine::command::{
    Action, Actor, AgentRemove, ClaimFilter, HandoffTarget, HoldRequest, Importance, LeaseAcquire,
    LeaseMode, MessageAck, MessageSend, MessageTake, Recipient, SessionClose, SessionOpen,
    TaskClaim, TaskHandoff, TokenCreate,
};
use cli_coordinator::engine::ids::{AgentName, MessageId, SessionId, TaskId};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::{Answer, Delivery, Outcome, Refusal};
use cli_coordinator::engine::payload::Payload;
use cli_coordinator::engine::resource::ResourceRequest;
use serde_json::value::RawValue;

use super::bench::{Bench, agent, spec};

const HOUR_MS: u64 = 3_600_000;

fn name(text: &str) -> AgentName {
    text.parse().expect("an agent")
}

fn body() -> Payload {
    Payload::new(RawValue::from_string("\"hi\"".to_owned()).expect("a string is JSON"))
}

fn message(to: Recipient) -> Action {
    Action::MessageSend(Box::new(MessageSend {
        to,
        subject: None,
        body: body(),
        importance: Importance::Normal,
        reply_to: None,
        ttl_ms: 20 * HOUR_MS,
        introduces: BTreeSet::new(),
        shares: true,
    }))
}

/// The message, and who got it.
fn send(bench: &mut Bench, from: &str, to: Recipient) -> (MessageId, Vec<String>) {
    match bench.ask(&agent(from), message(to)) {
        Ok(Outcome::Sent(sent)) => {
            let got = sent.recipients.iter();
            let got = got.filter(|(_, d)| matches!(d, Delivery::Live | Delivery::Queued));
            let got = got.map(|(agent, _)| agent.to_string()).collect();
            (sent.message.expect("somebody got it"), got)
        }
        other => panic!("not sent: {other:?}"),
    }
}

fn to(text: &str) -> Recipient {
    Recipient::Agent(name(text))
}

fn open(bench: &mut Bench, who: &str) -> SessionId {
    let open = SessionOpen {
        node: "node".parse().expect("a node id"),
        kind: None,
        capabilities: None,
        labels: None,
        resume_hash: "hash".to_owned(),
        grace_ms: 1_000,
    };
    match bench.ask(&agent(who), Action::SessionOpen(Box::new(open))) {
        Ok(Outcome::Session(session)) => session.session,
        other => panic!("not opened: {other:?}"),
    }
}

fn close(bench: &mut Bench, who: &str, session: SessionId) {
    let close = Action::SessionClose(SessionClose { session });
    bench.ask(&agent(who), close).expect("it is open");
}

fn inbox(bench: &Bench, who: &str) -> Vec<MessageId> {
    let who = name(who);
    let found = bench.engine.inbox(&who, Importance::Low);
    found.map(|(message, _)| message.id).collect()
}

fn ack(bench: &mut Bench, who: &str, message: MessageId) -> Answer {
    let ack = MessageAck {
        messages: vec![message],
        up_to: None,
    };
    bench.ask(&agent(who), Action::MessageAck(ack))
}

fn acked(message: MessageId) -> Outcome {
    Outcome::Acked {
        acked: vec![message],
        unknown: Vec::new(),
    }
}

fn known(bench: &Bench) -> Vec<String> {
    let agents = bench.engine.state().agents.keys();
    agents.map(ToString::to_string).collect()
}

/// Journal time only moves in steps.
fn pass(bench: &mut Bench, ms: u64) {
    let until = bench.engine.now().after_ms(ms);
    while bench.engine.now() < until {
        let node = Actor::Node("node".parse().expect("a node id"));
        let step = until.since_ms(bench.engine.now()).min(60_000);
        bench.apply(node, None, Action::Tick, step);
        assert!(bench.engine.is_consistent());
    }
}

#[test]
fn a_message_to_a_principal_reaches_every_seat_that_is_present() {
    let mut bench = Bench::new(Limits::default());
    let a = open(&mut bench, "ana/a");
    open(&mut bench, "ana/b");
    open(&mut bench, "ann/a");
    let (first, got) = send(&mut bench, "bob", to("ana"));
    assert_eq!(got, ["ana/a", "ana/b"]);
    // One seat reads its own copy; the other one's stays.
    assert_eq!(ack(&mut bench, "ana/a", first), Ok(acked(first)));
    assert_eq!(
        (inbox(&bench, "ana/a"), inbox(&bench, "ana/b")),
        (vec![], vec![first])
    );
    assert_eq!(
        (inbox(&bench, "ann/a"), inbox(&bench, "ana")),
        (vec![], vec![])
    );
    // A seat by name; a seat that is gone still has a mailbox.
    close(&mut bench, "ana/a", a);
    let (second, got) = send(&mut bench, "bob", to("ana/a"));
    assert_eq!(got, ["ana/a"]);
    assert_eq!(inbox(&bench, "ana/b"), [first]);
    assert_eq!(inbox(&bench, "ana/a"), [second]);
    bench
        .ask(&agent("ana"), Action::AgentUpdate(Box::default()))
        .expect("it is registered");
    // A seat writes to the other windows of its principal, not to itself.
    let (_, got) = send(&mut bench, "ana/b", to("ana"));
    assert_eq!(got, ["ana"]);
    assert!(bench.engine.is_consistent());
}

#[test]
fn a_message_waits_for_the_next_seat_and_one_of_them_takes_it() {
    let mut bench = Bench::new(Limits::default());
    let session = open(&mut bench, "ana");
    close(&mut bench, "ana", session);
    let (first, got) = send(&mut bench, "bob", to("ana"));
    assert_eq!(got, ["ana"]);
    open(&mut bench, "ana/a");
    open(&mut bench, "ana/b");
    // It waits in the mailbox that the seats share: both see it, whoever takes it has it.
    assert_eq!(
        (inbox(&bench, "ana/a"), inbox(&bench, "ana/b")),
        (vec![first], vec![first])
    );
    assert_eq!(inbox(&bench, "bob/a"), []);
    let take = || {
        Action::MessageTake(MessageTake {
            count_max: 9,
            take_ms: 60_000,
            importance_min: Importance::Low,
        })
    };
    let taken = bench.ask(&agent("ana/b"), take());
    assert_eq!(taken, Ok(Outcome::Taken(vec![first])));
    assert_eq!(
        bench.ask(&agent("ana/a"), take()),
        Ok(Outcome::Taken(vec![]))
    );
    assert_eq!(ack(&mut bench, "ana/b", first), Ok(acked(first)));
    assert_eq!(
        (inbox(&bench, "ana/a"), inbox(&bench, "ana")),
        (vec![], vec![])
    );
    assert!(bench.engine.is_consistent());
}

#[test]
fn nobody_reads_for_another_principal() {
    let mut bench = Bench::new(Limits::default());
    open(&mut bench, "ana/a");
    open(&mut bench, "bob/a");
    let (first, _) = send(&mut bench, "cat", to("ana/a"));
    for other in ["bob/a", "ana/b", "ana", "a"] {
        let unknown = Ok(Outcome::Acked {
            acked: vec![],
            unknown: vec![first],
        });
        assert_eq!(ack(&mut bench, other, first), unknown, "{other}");
        assert_eq!(inbox(&bench, other), [], "{other}");
    }
    // A session is resumed by its own seat alone, and closed by nobody else.
    let state = bench.engine.state();
    let session = state.sessions.values().next().expect("it is open").id;
    let close = Action::SessionClose(SessionClose { session });
    assert!(bench.ask(&agent("ana/b"), close).is_err());
}

#[test]
fn a_broadcast_reaches_who_is_present_of_each_principal() {
    let mut bench = Bench::new(Limits::default());
    open(&mut bench, "ana/a");
    let gone = open(&mut bench, "ana/b");
    close(&mut bench, "ana/b", gone);
    let session = open(&mut bench, "cat");
    close(&mut bench, "cat", session);
    let gone = open(&mut bench, "cat/x");
    close(&mut bench, "cat/x", gone);
    open(&mut bench, "bob/a");
    open(&mut bench, "bob/b");
    let (_, got) = send(&mut bench, "bob/a", Recipient::All);
    assert_eq!(got, ["ana/a", "bob/b", "cat"]);
    assert!(bench.engine.is_consistent());
}

#[test]
fn seats_of_one_principal_exclude_each_other_and_share_its_limits() {
    let limits = Limits {
        files_per_agent_max: 2,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    let acquire = |path: &str| {
        let resource = ResourceRequest::from_record(path).expect("a resource");
        Action::LeaseAcquire(LeaseAcquire {
            resources: vec![resource],
            mode: LeaseMode::Exclusive,
            hold: HoldRequest::TtlMs(60_000),
            note: None,
            tree: None,
        })
    };
    let limit = |answer: Answer| match answer {
        Err(Refusal::Limit(limit)) => limit.limit,
        other => panic!("no limit: {other:?}"),
    };
    assert!(bench.ask(&agent("ana/a"), acquire("file:x")).is_ok());
    let conflict = bench.ask(&agent("ana/b"), acquire("file:x"));
    assert!(
        matches!(conflict, Err(Refusal::LeaseConflict(_))),
        "{conflict:?}"
    );
    assert!(bench.ask(&agent("ana/b"), acquire("file:y")).is_ok());
    let over = bench.ask(&agent("ana/c"), acquire("file:z"));
    assert_eq!(limit(over), "files_per_agent_max");
    assert!(bench.ask(&agent("bob/c"), acquire("file:z")).is_ok());
}

#[test]
fn ten_thousand_seats_of_one_token_leave_the_others_alone() {
    let limits = Limits::default();
    let (max, share) = (
        limits.seats_per_principal_max,
        limits.mailbox_messages_per_sender_max,
    );
    let mut bench = Bench::new(limits);
    open(&mut bench, "cat");
    let mut refused = BTreeSet::new();
    let mut sent = 0;
    for number in 0..10_000 {
        match bench.ask(&agent(&format!("ana/s{number}")), message(to("cat"))) {
            Ok(Outcome::Sent(done)) => sent += u64::from(done.message.is_some()),
            Err(Refusal::Limit(limit)) => {
                refused.insert(limit.limit);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, BTreeSet::from(["seats_per_principal_max"]));
    assert_eq!(bench.engine.state().agents.len() as u64, max + 1);
    // All seats together have one share of the mailbox.
    assert_eq!(sent, share);
    let (_, got) = send(&mut bench, "bob/x", to("cat"));
    assert_eq!(got, ["cat"]);
}

#[test]
fn the_sessions_of_all_seats_are_bounded() {
    let limits = Limits {
        sessions_per_principal_max: 2,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    open(&mut bench, "ana/a");
    open(&mut bench, "ana/b");
    let open_third = SessionOpen {
        node: "node".parse().expect("a node id"),
        kind: None,
        capabilities: None,
        labels: None,
        resume_hash: "hash".to_owned(),
        grace_ms: 0,
    };
    let third = bench.ask(&agent("ana/c"), Action::SessionOpen(Box::new(open_third)));
    assert!(
        matches!(third, Err(Refusal::Limit(limit)) if limit.limit == "sessions_per_principal_max")
    );
    open(&mut bench, "bob/c");
}

#[test]
fn a_seat_is_forgotten_an_hour_after_it_held_something() {
    let mut bench = Bench::new(Limits::default());
    let session = open(&mut bench, "ana/a");
    let (mail, _) = send(&mut bench, "bob", to("ana/a"));
    pass(&mut bench, 2 * HOUR_MS);
    assert_eq!(known(&bench), ["ana/a", "bob"]);
    close(&mut bench, "ana/a", session);
    pass(&mut bench, 2 * HOUR_MS);
    assert_eq!(known(&bench), ["ana/a", "bob"], "it has unread mail");
    assert_eq!(ack(&mut bench, "ana/a", mail), Ok(acked(mail)));
    pass(&mut bench, HOUR_MS - 120_000);
    assert_eq!(known(&bench), ["ana/a", "bob"]);
    // Any command of it begins the hour again.
    bench
        .ask(&agent("ana/a"), Action::AgentUpdate(Box::default()))
        .expect("it is known");
    pass(&mut bench, HOUR_MS - 1_000);
    assert_eq!(known(&bench), ["ana/a", "bob"]);
    pass(&mut bench, 2_000);
    assert_eq!(known(&bench), ["bob"], "no principal is ever forgotten");
    // From then on it is not there for anybody, and it may come again.
    let gone = bench.ask(&agent("bob"), message(to("ana/a")));
    let unknown = |answer: &Answer| match answer {
        Ok(Outcome::Sent(sent)) => {
            sent.message.is_none() && sent.recipients[0].1 == Delivery::Unknown
        }
        _ => false,
    };
    assert!(unknown(&gone), "{gone:?}");
    open(&mut bench, "ana/a");
    assert_eq!(known(&bench), ["ana/a", "bob"]);
}

#[test]
fn a_request_from_before_its_seat_was_forgotten_is_not_carried_out_twice() {
    let mut bench = Bench::new(Limits::default());
    let id = || Some("r1".parse().expect("a request id"));
    let submit = || {
        Action::TaskSubmit(cli_coordinator::engine::command::TaskSubmit {
            tasks: vec![spec("once")],
            tells_stuck: true,
        })
    };
    let early = bench.engine.now();
    bench
        .apply(agent("ana/a"), id(), submit(), 1)
        .answer
        .expect("it is submitted");
    pass(&mut bench, HOUR_MS + 60_000);
    assert_eq!(known(&bench), Vec::<String>::new());
    // A copy of it that took an hour through a shared journal.
    let position = cli_coordinator::engine::ids::Position(bench.engine.state().position.0 + 1);
    let command = cli_coordinator::engine::command::Command {
        id: "late".parse().expect("a command id"),
        by: agent("ana/a"),
        request_id: id(),
        action: submit(),
    };
    let late = bench.engine.apply(position, early.after_ms(1), &command);
    assert_eq!(late.answer, Err(Refusal::Overtaken));
    assert_eq!(bench.engine.state().tasks.len(), 1);
}

#[test]
fn a_task_for_a_principal_is_kept_for_any_of_its_seats() {
    let mut bench = Bench::new(Limits::default());
    open(&mut bench, "ana/a");
    let session = open(&mut bench, "ana");
    close(&mut bench, "ana", session);
    bench.submit(&agent("bob"), vec![spec("one"), spec("two")]);
    let claim = |bench: &mut Bench, who: &str, task: Option<TaskId>| {
        let filter = ClaimFilter {
            task,
            ..ClaimFilter::default()
        };
        let hold = HoldRequest::TtlMs(60_000);
        match bench.ask(&agent(who), Action::TaskClaim(TaskClaim { hold, filter })) {
            Ok(Outcome::Claimed(grant)) => grant.map(|grant| (grant.task, grant.fence)),
            other => panic!("{other:?}"),
        }
    };
    for (target, taker, others) in [
        ("ana", "ana/b", ["bob", "cat/a"]),
        ("ana/a", "ana/a", ["ana", "ana/b"]),
    ] {
        let (task, fence) = claim(&mut bench, "bob", None).expect("a task");
        let handoff = TaskHandoff {
            task,
            fence,
            to: HandoffTarget::Agent(name(target)),
            offer_ms: 60_000,
            note: None,
            context: None,
            introduces: BTreeSet::new(),
        };
        bench
            .ask(&agent("bob"), Action::TaskHandoff(Box::new(handoff)))
            .expect("the target is known");
        for other in others {
            assert_eq!(claim(&mut bench, other, Some(task)), None, "{other}");
        }
        let taken = claim(&mut bench, taker, Some(task)).map(|(task, _)| task);
        assert_eq!(taken, Some(task), "{target}");
    }
    assert_eq!(bench.engine.presence_of(&name("ana")), Some(Presence::Busy));
    assert!(bench.engine.is_consistent());
}

#[test]
fn removing_a_principal_removes_its_seats() {
    let mut bench = Bench::new(Limits::default());
    let session = open(&mut bench, "ana/a");
    open(&mut bench, "ana");
    let second = SessionId(2);
    open(&mut bench, "ann/a");
    let remove = |agent: &str| Action::AgentRemove(AgentRemove { agent: name(agent) });
    let other = bench.ask(&agent("ann/a"), remove("ana/a"));
    assert!(matches!(other, Err(Refusal::Forbidden(_))), "{other:?}");
    close(&mut bench, "ana", second);
    let busy = bench.ask(&agent("ana/b"), remove("ana"));
    assert!(
        matches!(&busy, Err(Refusal::Conflict(why)) if why.contains("ana/a")),
        "{busy:?}"
    );
    close(&mut bench, "ana/a", session);
    bench
        .ask(&agent("ana/b"), remove("ana"))
        .expect("no seat has a session");
    assert_eq!(known(&bench), ["ann/a"]);
    assert!(bench.engine.is_consistent());
}

#[test]
fn what_names_a_seat_waits_for_coordinators_that_know_seats() {
    let plain = message(to("ana"));
    assert_eq!((plain.format(), plain.format_by(&name("bob"))), (3, 3));
    assert_eq!(plain.format_by(&name("bob/x")), 4);
    assert_eq!(message(to("ana/x")).format(), 4);
    let remove = |agent| Action::AgentRemove(AgentRemove { agent }).format();
    assert_eq!((remove(name("ana")), remove(name("ana/x"))), (1, 4));
    let token = |seats| {
        let create = TokenCreate {
            token: "t".parse().expect("a token id"),
            secret_hash: "s".to_owned(),
            agent: "ana".parse().expect("a principal"),
            role: cli_coordinator::engine::command::Role::Agent,
            projects: cli_coordinator::engine::command::ProjectScope::All,
            ttl_ms: None,
            seats,
        };
        let create = Action::TokenCreate(Box::new(create));
        (
            create.format(),
            serde_json::to_string(&create).expect("it encodes"),
        )
    };
    let (format, text) = token(false);
    assert!(format == 1 && !text.contains("seats"), "{text}");
    assert_eq!(token(true).0, 4);
}
