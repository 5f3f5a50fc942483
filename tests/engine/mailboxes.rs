//! Who fits into a mailbox, and who is known: shares and the reserve, introductions, records of
//! before there were any, and acknowledging all that was seen.

use std::collections::BTreeSet;

use cli_coordinator::engine::agents::Presence;
use cli_coordinator::engine::command::{
    Action, Actor, AgentUpdate, ClaimFilter, HandoffTarget, HoldRequest, Importance, MessageAck,
    MessageSend, Recipient, TaskClaim, TaskHandoff,
};
use cli_coordinator::engine::ids::{AgentName, MessageId};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::{Answer, Delivery, MailboxLimit, Outcome, Refusal};
use cli_coordinator::engine::payload::Payload;
use serde_json::value::RawValue;

use super::bench::{Bench, agent, spec};

fn name(text: &str) -> AgentName {
    text.parse().expect("an agent")
}

fn names(texts: &[&str]) -> BTreeSet<AgentName> {
    texts.iter().map(|text| name(text)).collect()
}

fn text(bytes: usize) -> Payload {
    let text = format!("\"{}\"", "x".repeat(bytes - 2));
    Payload::new(RawValue::from_string(text).expect("a string is JSON"))
}

/// A message as a driver of this version sends it.
fn message(to: Recipient, bytes: usize) -> MessageSend {
    MessageSend {
        to,
        subject: None,
        body: text(bytes),
        importance: Importance::Normal,
        reply_to: None,
        ttl_ms: 60_000,
        introduces: BTreeSet::new(),
        shares: true,
    }
}

fn send(bench: &mut Bench, from: &str, message: MessageSend) -> Answer {
    bench.ask(&agent(from), Action::MessageSend(Box::new(message)))
}

fn to(recipient: &str) -> Recipient {
    Recipient::Agent(name(recipient))
}

/// What happened at each recipient.
fn deliveries(answer: Answer) -> Vec<(String, Delivery)> {
    match answer {
        Ok(Outcome::Sent(sent)) => {
            let recipients = sent.recipients.into_iter();
            recipients
                .map(|(who, what)| (who.to_string(), what))
                .collect()
        }
        other => panic!("not sent: {other:?}"),
    }
}

/// What happened at the only recipient.
fn delivery(answer: Answer) -> Delivery {
    match &*deliveries(answer) {
        [(_, only)] => *only,
        other => panic!("not one recipient: {other:?}"),
    }
}

/// An engine that knows these agents.
fn knowing(limits: Limits, agents: &[&str]) -> Bench {
    let mut bench = Bench::new(limits);
    for known in agents {
        let update = Action::AgentUpdate(Box::default());
        bench.ask(&agent(known), update).expect("it is registered");
    }
    bench
}

/// Sends until something is refused; how many went through, and why the next did not.
fn fill(bench: &mut Bench, from: &str, message: &MessageSend) -> (u64, Delivery) {
    let mut sent = 0;
    loop {
        match delivery(send(bench, from, message.clone())) {
            Delivery::Live | Delivery::Queued => sent += 1,
            refused => return (sent, refused),
        }
    }
}

#[test]
fn a_sender_has_its_share_and_the_others_have_room() {
    let limits = Limits::default();
    let share = limits.mailbox_messages_per_sender_max;
    let mut bench = knowing(limits, &["ant", "bee"]);
    let over = Delivery::Over(MailboxLimit::MailboxMessagesPerSenderMax);
    assert_eq!(
        fill(&mut bench, "ant", &message(Recipient::All, 10)),
        (share, over)
    );
    // Its own direct message is told the same; everybody else's arrives.
    assert_eq!(
        delivery(send(&mut bench, "ant", message(to("bee"), 10))),
        over
    );
    assert_eq!(
        delivery(send(&mut bench, "cat", message(to("bee"), 10))),
        Delivery::Queued
    );
    assert!(bench.engine.is_consistent());
    // What is acknowledged is no longer held against the sender.
    let ack = MessageAck {
        messages: vec![MessageId(1)],
        up_to: None,
    };
    bench
        .ask(&agent("bee"), Action::MessageAck(ack))
        .expect("it is there");
    assert_eq!(
        delivery(send(&mut bench, "ant", message(to("bee"), 10))),
        Delivery::Queued
    );
}

#[test]
fn the_share_counts_bytes_too() {
    let limits = Limits::default();
    let large = usize::try_from(limits.payload_bytes_max).expect("it fits");
    let share = limits.mailbox_bytes_per_sender_max / limits.payload_bytes_max;
    let mut bench = knowing(limits, &["bee"]);
    let over = Delivery::Over(MailboxLimit::MailboxBytesPerSenderMax);
    assert_eq!(
        fill(&mut bench, "ant", &message(to("bee"), large)),
        (share, over)
    );
    assert_eq!(
        delivery(send(&mut bench, "cat", message(to("bee"), large))),
        Delivery::Queued
    );
}

/// However many senders broadcast as much as they can, direct messages of others get through.
#[test]
fn colluding_senders_leave_the_reserve() {
    let limits = Limits::default();
    let (max, reserved) = (
        limits.mailbox_messages_max,
        limits.mailbox_messages_reserved,
    );
    let few = limits.mailbox_messages_reserved_per_sender_max;
    let mut bench = knowing(limits, &["bee"]);
    let to_all = Recipient::Capability("rust".parse().expect("a capability"));
    let able = AgentUpdate {
        capabilities: Some(["rust".parse().expect("a capability")].into()),
        ..AgentUpdate::default()
    };
    bench
        .ask(&agent("bee"), Action::AgentUpdate(Box::new(able)))
        .expect("it can");
    let mut waiting = 0;
    for i in 0..8 {
        waiting += fill(
            &mut bench,
            &format!("sender-{i}"),
            &message(to_all.clone(), 10),
        )
        .0;
    }
    assert_eq!(waiting, max - reserved);
    let kept = Delivery::Over(MailboxLimit::MailboxMessagesReserved);
    assert_eq!(
        delivery(send(&mut bench, "late", message(to_all, 10))),
        kept
    );
    // As many senders as the reserve has room for get a few direct messages through, each.
    for i in 0..reserved / few {
        let from = format!("direct-{i}");
        assert_eq!(
            fill(&mut bench, &from, &message(to("bee"), 10)).0,
            few,
            "{from}"
        );
    }
    let full = Delivery::Over(MailboxLimit::MailboxMessagesMax);
    assert_eq!(
        delivery(send(&mut bench, "last", message(to("bee"), 10))),
        full
    );
}

/// The same for the bytes of all mailboxes together: nobody may use up what the project has.
#[test]
fn one_sender_cannot_use_up_the_projects_bytes() {
    let limits = Limits::default();
    let large = usize::try_from(limits.payload_bytes_max).expect("it fits");
    let recipients: Vec<String> = (0..64).map(|i| format!("r-{i}")).collect();
    let known: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let mut bench = knowing(limits.clone(), &known);
    let spam = |bench: &mut Bench, from: &str| loop {
        for recipient in &recipients {
            match send(bench, from, message(to(recipient), large)) {
                Ok(_) => {}
                Err(Refusal::Limit(limit)) => return limit.limit,
                Err(other) => panic!("{other:?}"),
            }
        }
    };
    for from in ["spam-1", "spam-2", "spam-3"] {
        assert_eq!(spam(&mut bench, from), "messages_bytes_per_sender_max");
    }
    assert_eq!(spam(&mut bench, "spam-4"), "messages_bytes_reserved");
    assert_eq!(
        delivery(send(&mut bench, "ant", message(to("r-0"), large))),
        Delivery::Queued
    );
    let all = send(&mut bench, "ant", message(Recipient::All, large));
    assert!(matches!(all, Err(Refusal::Limit(_))), "{all:?}");
    assert!(bench.engine.is_consistent());
}

/// P7: a record that was written before there were shares folds as it did then.
#[test]
fn records_without_shares_fold_as_they_did() {
    let limits = Limits::default();
    let max = limits.mailbox_messages_max;
    let mut bench = knowing(limits, &["bee"]);
    let text = r#"{"message_send":{"to":{"agent":"bee"},"body":"hi","importance":"normal","ttl_ms":60000}}"#;
    let old: Action = serde_json::from_str(text).expect("the form of earlier versions loads");
    assert_eq!(old.format(), 1);
    assert_eq!(serde_json::to_string(&old).expect("it encodes"), text);
    let mut ask = |from: &Actor| match bench.ask(from, old.clone()) {
        Ok(Outcome::Sent(sent)) => sent.recipients[0].1,
        other => panic!("{other:?}"),
    };
    for _ in 0..max {
        assert_eq!(ask(&agent("ant")), Delivery::Queued);
    }
    assert_eq!(ask(&agent("cat")), Delivery::Full);
    let text = r#"{"message_ack":{"messages":[1,2]}}"#;
    let old: Action = serde_json::from_str(text).expect("the form of earlier versions loads");
    assert_eq!(
        (
            old.format(),
            serde_json::to_string(&old).expect("it encodes")
        ),
        (1, text.to_owned())
    );
    let acked = bench.ask(&agent("bee"), old).expect("they are there");
    let both = vec![MessageId(1), MessageId(2)];
    assert_eq!(
        acked,
        Outcome::Acked {
            acked: both,
            unknown: Vec::new()
        }
    );
}

#[test]
fn new_forms_wait_for_coordinators_that_understand_them() {
    let plain = MessageSend {
        shares: false,
        ..message(Recipient::All, 10)
    };
    let format = |send: MessageSend| Action::MessageSend(Box::new(send)).format();
    assert_eq!(format(plain.clone()), 1);
    assert_eq!(
        format(MessageSend {
            shares: true,
            ..plain.clone()
        }),
        3
    );
    assert_eq!(
        format(MessageSend {
            introduces: names(&["carol"]),
            ..plain
        }),
        3
    );
    let up_to = Some(MessageId(1));
    assert_eq!(
        Action::MessageAck(MessageAck {
            messages: Vec::new(),
            up_to
        })
        .format(),
        3
    );
}

#[test]
fn a_message_introduces_whom_it_names() {
    let mut bench = knowing(Limits::default(), &["ant"]);
    assert_eq!(
        delivery(send(&mut bench, "ant", message(to("carol"), 10))),
        Delivery::Unknown
    );
    let mut introducing = message(to("carol"), 10);
    // Only whom it is for: a list with more has no other effect.
    introducing.introduces = names(&["carol", "dave"]);
    assert_eq!(
        delivery(send(&mut bench, "ant", introducing)),
        Delivery::Queued
    );
    let agents = &bench.engine.state().agents;
    assert!(!agents.contains_key(&name("dave")));
    assert_eq!(agents[&name("carol")].presence, Presence::Gone);
    assert_eq!(bench.engine.mailbox_len(&name("carol")), 1);
    let mut all = message(Recipient::All, 10);
    all.introduces = names(&["ant", "dave", "eve"]);
    let told = deliveries(send(&mut bench, "ant", all));
    let reached: Vec<&str> = told.iter().map(|(who, _)| who.as_str()).collect();
    assert_eq!(reached, ["carol", "dave", "eve"]);
    assert!(bench.engine.is_consistent());
}

#[test]
fn introductions_end_at_the_limit_of_agents_and_say_so() {
    let limits = Limits {
        agents_max: 3,
        ..Limits::default()
    };
    let mut bench = knowing(limits, &["ant", "bee"]);
    let mut all = message(Recipient::All, 10);
    all.introduces = names(&["carol", "dave", "eve"]);
    let over = Delivery::Over(MailboxLimit::AgentsMax);
    let expected = [
        ("bee", Delivery::Queued),
        ("carol", Delivery::Queued),
        ("dave", over),
        ("eve", over),
    ];
    let expected = expected.map(|(who, what)| (who.to_owned(), what));
    assert_eq!(deliveries(send(&mut bench, "ant", all)), expected);
    let mut direct = message(to("dave"), 10);
    direct.introduces = names(&["dave"]);
    let before = bench.engine.state().agents.clone();
    match send(&mut bench, "ant", direct) {
        Err(Refusal::Limit(limit)) => assert_eq!(limit.limit, "agents_max"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.engine.state().agents, before);
}

#[test]
fn a_task_is_handed_to_an_agent_that_a_token_makes_known() {
    let mut bench = knowing(Limits::default(), &["ant"]);
    let task = bench.submit(&agent("ant"), vec![spec("work")])[0];
    let claim = TaskClaim {
        hold: HoldRequest::TtlMs(60_000),
        filter: ClaimFilter::default(),
    };
    let fence = match bench.ask(&agent("ant"), Action::TaskClaim(claim)) {
        Ok(Outcome::Claimed(Some(grant))) => grant.fence,
        other => panic!("{other:?}"),
    };
    let handoff = |introduces| {
        Action::TaskHandoff(Box::new(TaskHandoff {
            task,
            fence,
            to: HandoffTarget::Agent(name("carol")),
            offer_ms: 60_000,
            note: None,
            context: None,
            introduces,
        }))
    };
    let refused = bench.ask(&agent("ant"), handoff(BTreeSet::new()));
    assert!(matches!(refused, Err(Refusal::NotFound(_))), "{refused:?}");
    bench
        .ask(&agent("ant"), handoff(names(&["carol"])))
        .expect("carol is known");
    let offer = bench.engine.state().tasks[&task].offer.as_ref();
    assert_eq!(offer.map(|offer| &offer.agent), Some(&name("carol")));
    assert!(bench.engine.state().agents.contains_key(&name("carol")));
}

#[test]
fn all_that_was_seen_is_acknowledged_and_nothing_newer() {
    let mut bench = knowing(Limits::default(), &["bee"]);
    for _ in 0..5 {
        send(&mut bench, "ant", message(to("bee"), 10)).expect("there is room");
    }
    let seen = bench.engine.newest_mail(&name("bee"));
    send(&mut bench, "ant", message(to("bee"), 10)).expect("there is room");
    let ack = |up_to| {
        Action::MessageAck(MessageAck {
            messages: Vec::new(),
            up_to,
        })
    };
    let acked = bench.apply(agent("bee"), None, ack(seen), 1);
    assert_eq!(
        acked.answer,
        Ok(Outcome::AckedUpTo {
            count: 5,
            unknown: Vec::new()
        })
    );
    assert_eq!(acked.event.expect("it is told").changes.len(), 5);
    assert_eq!(bench.engine.mailbox_len(&name("bee")), 1);
    let again = bench.ask(&agent("bee"), ack(seen));
    assert_eq!(
        again,
        Ok(Outcome::AckedUpTo {
            count: 0,
            unknown: Vec::new()
        })
    );
}
