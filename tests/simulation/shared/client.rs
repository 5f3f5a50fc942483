//! Simulated clients: what they remember from replies, and the requests they make up.

use std::collections::{BTreeMap, VecDeque};

use cli_coordinator::driver::{ConnectionId, Identity};
use cli_coordinator::engine::command::Action;
use cli_coordinator::engine::ids::Cursor;
use cli_coordinator::protocol::operations::{CommandRequest, Request};
use serde_json::{Value, json};

use crate::naive_paths::{CLOSE, FILES, RESOURCES, TREES};
use crate::simulation::chance::Chance;

/// Requests under way at the most.
const PATIENCE: usize = 5;

/// One client: a program that connects to any coordinator, works, loses its connection, goes on at another.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) identity: Identity,
    pub(crate) project: &'static str,
    pub(crate) wire: Option<Wire>,
    /// The session to resume, and its secret.
    pub(crate) session: Option<(u64, String)>,
    attempts: Vec<(u64, u64)>,
    leases: Vec<(u64, u64)>,
    tasks: Vec<u64>,
    messages: Vec<u64>,
    revision: u64,
    /// What it was told of events, over all its connections; at the end the one under way.
    pub(crate) stories: Vec<Story>,
    /// To be sent again word for word, wherever it is connected then.
    pub(crate) again: VecDeque<(String, Value)>,
    sent: u64,
}

/// A connection to one coordinator.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) node: usize,
    pub(crate) id: ConnectionId,
    /// No two have the same one.
    pub(crate) serial: u64,
    pub(crate) to_core: VecDeque<String>,
    pub(crate) asked: BTreeMap<u64, Asked>,
    next_id: u64,
    /// The session that it serves.
    pub(crate) session: Option<u64>,
    pub(crate) subscribed: bool,
    /// The coordinator said that it ends.
    pub(crate) closing: bool,
}

/// A request whose answer has not come.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) params: Value,
    /// What it waits for, if it is one that waits.
    pub(crate) waits_for: Option<Action>,
    /// The end of the line when it reached its coordinator.
    pub(crate) behind: Option<Cursor>,
    /// A `lease.ensure` that was answered without a record, of what its agent does not hold.
    pub(crate) lacks: bool,
}

/// Events in a row, as far as they were told.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    /// It begins after this one.
    pub(crate) from: Cursor,
    pub(crate) heard: Vec<(Cursor, Value)>,
    /// It goes on, or may be gone on with.
    pub(crate) open: bool,
}

impl Story {
    pub(crate) fn cursor(&self) -> Cursor {
        self.heard.last().map_or(self.from, |(cursor, _)| *cursor)
    }
}

impl Client {
    pub(crate) fn new(number: usize, identity: Identity, project: &'static str) -> Self {
        Self {
            number,
            identity,
            project,
            wire: None,
            session: None,
            attempts: Vec::new(),
            leases: Vec::new(),
            tasks: Vec::new(),
            messages: Vec::new(),
            revision: 0,
            stories: Vec::new(),
            again: VecDeque::new(),
            sent: 0,
        }
    }

    pub(crate) fn connected(&mut self, node: usize, id: ConnectionId, serial: u64) {
        self.wire = Some(Wire {
            node,
            id,
            serial,
            to_core: VecDeque::new(),
            asked: BTreeMap::new(),
            next_id: 1,
            session: None,
            subscribed: false,
            closing: false,
        });
    }

    /// The connection is gone: what can be repeated will be.
    pub(crate) fn disconnected(&mut self) {
        let Some(wire) = self.wire.take() else { return };
        let unanswered = wire.asked.into_values();
        let repeatable = unanswered.filter(|asked| asked.params.get("request_id").is_some());
        self.again
            .extend(repeatable.map(|asked| (asked.method, asked.params)));
    }

    /// Puts the next request on its way, if there is one.
    pub(crate) fn act(&mut self, chance: &mut Chance) -> Option<String> {
        let wire = self.wire.as_ref()?;
        if wire.asked.len() >= PATIENCE || wire.closing {
            return None;
        }
        let (method, params) = self.next(chance);
        self.ask(method, params)
    }

    pub(crate) fn ask(&mut self, method: String, params: Value) -> Option<String> {
        let wire = self.wire.as_mut()?;
        let id = wire.next_id;
        wire.next_id += 1;
        let text = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let text = text.to_string();
        let asked = Asked {
            waits_for: waits_for(&method, &params),
            behind: None,
            lacks: false,
            method,
            params,
        };
        wire.asked.insert(id, asked);
        wire.to_core.push_back(text.clone());
        Some(text)
    }

    fn next(&mut self, chance: &mut Chance) -> (String, Value) {
        if chance.one_in(2)
            && let Some(asked) = self.again.pop_front()
        {
            return asked;
        }
        self.sent += 1;
        if self.broke_off() && chance.one_in(3) {
            let (method, params) = self.subscribe();
            return (method.to_owned(), params);
        }
        let serves = self
            .wire
            .as_ref()
            .is_some_and(|wire| wire.session.is_some());
        let opens = |asked: &Asked| asked.method == "session.open";
        let opening = self
            .wire
            .as_ref()
            .is_some_and(|wire| wire.asked.values().any(opens));
        if !serves && !opening && chance.one_in(2) {
            return self.open(chance);
        }
        let (method, mut params) = self.make_up(chance);
        // Fronts ask without one before each edit.
        let without = if method == "lease.ensure" { 2 } else { 8 };
        if !matches!(method, "events.subscribe" | "task.list") && !chance.one_in(without) {
            params["request_id"] = json!(format!("r-{}-{}", self.number, self.sent));
        }
        (method.to_owned(), params)
    }

    fn open(&self, chance: &mut Chance) -> (String, Value) {
        let mut params = json!({ "grace_ms": chance.one_of(&[1_000, 5_000, 20_000]) });
        if let Some((session, secret)) = &self.session {
            params["resume"] = json!({ "session": session, "secret": secret });
        }
        ("session.open".to_owned(), params)
    }

    fn make_up(&self, chance: &mut Chance) -> (&'static str, Value) {
        match chance.below(32) {
            0..=4 => ("task.submit", self.task(chance)),
            5..=10 => ("task.claim", self.hold(chance, json!({}))),
            11..=15 => self.work(chance),
            16..=18 if chance.one_in(2) => ("lease.ensure", self.ensure(chance)),
            16..=18 => ("lease.acquire", self.acquire(chance)),
            19..=21 => self.keep(chance),
            22 | 23 => {
                let to = chance.one_of(&["a0", "a1", "a1/x", "a2"]);
                (
                    "message.send",
                    json!({ "to": { "agent": to }, "body": self.sent }),
                )
            }
            24 => ("message.inbox", json!({ "take_ms": 2_000, "count_max": 3 })),
            25 => ("message.ack", json!({ "messages": self.messages })),
            26 | 27 => self.put(chance),
            28 if self
                .wire
                .as_ref()
                .is_some_and(|wire| wire.session.is_some()) =>
            {
                ("session.close", json!({}))
            }
            28 => ("task.list", json!({})),
            _ => self.subscribe(),
        }
    }

    fn task(&self, chance: &mut Chance) -> Value {
        let mut task = json!({
            "title": format!("t{}-{}", self.number, self.sent),
            "priority": chance.below(3),
            "backoff_ms": chance.one_of(&[0, 500]),
        });
        if chance.one_in(4) {
            task["attempt_timeout_ms"] = json!(chance.one_of(&[1_000, 6_000]));
        }
        if chance.one_in(4) {
            task["concurrency"] = json!({ "key": "c", "max": 1 });
        }
        task
    }

    /// Adds to a claim or acquire for how long it holds, and waits.
    fn hold(&self, chance: &mut Chance, mut params: Value) -> Value {
        let serves = self
            .wire
            .as_ref()
            .is_some_and(|wire| wire.session.is_some());
        if !serves || chance.one_in(2) {
            params["ttl_ms"] = json!(chance.one_of(&[1_000, 4_000, 20_000]));
        }
        if chance.one_in(2) {
            params["wait_ms"] = json!(chance.one_of(&[1, 2_000, 10_000]));
        }
        params
    }

    fn work(&self, chance: &mut Chance) -> (&'static str, Value) {
        let (task, fence) = match chance.pick(&self.attempts).copied() {
            Some((task, fence)) if chance.one_in(10) => (task, fence.saturating_sub(1)),
            Some(held) => held,
            None => (chance.number(6), chance.number(12)),
        };
        let held = json!({ "task": task, "fence": fence });
        match chance.below(6) {
            0 => {
                let error = json!({ "task": task, "fence": fence, "error": "no", "retry": true });
                ("task.fail", error)
            }
            1 => ("task.release", held),
            2 => ("task.progress", held),
            _ => ("task.complete", held),
        }
    }

    fn acquire(&self, chance: &mut Chance) -> Value {
        let resource = match chance.below(3) {
            0 => format!("name:{}", chance.one_of(&["merge", "build"])),
            1 => chance.one_of(CLOSE).to_owned(),
            _ => chance.one_of(RESOURCES).to_owned(),
        };
        let mut params = json!({ "resources": [resource] });
        if chance.one_in(4) {
            params["mode"] = json!("shared");
        }
        self.hold(chance, params)
    }

    /// Files, as before an edit: mostly the one that this client works on.
    fn ensure(&self, chance: &mut Chance) -> Value {
        let own = FILES[self.number % FILES.len()];
        let mut params = if chance.one_in(3) {
            json!({ "resources": [chance.one_of(FILES), chance.one_of(FILES)] })
        } else {
            json!({ "resources": [own], "tree": TREES[self.number % TREES.len()] })
        };
        if chance.one_in(3) {
            params["tree"] = json!(chance.one_of(TREES));
        }
        params = self.hold(chance, params);
        params
            .as_object_mut()
            .map(|fields| fields.remove("wait_ms"));
        params
    }

    fn keep(&self, chance: &mut Chance) -> (&'static str, Value) {
        let known = chance.pick(&self.leases).copied();
        let (lease, fence) = known.unwrap_or_else(|| (chance.number(6), chance.number(20)));
        let held = json!({ "lease": lease, "fence": fence });
        if chance.one_in(8) {
            let back = json!({ "resources": ["file:a/"], "tree": chance.one_of(TREES) });
            return ("lease.release", back);
        }
        if chance.one_in(2) {
            ("lease.release", held)
        } else {
            ("lease.renew", held)
        }
    }

    fn put(&self, chance: &mut Chance) -> (&'static str, Value) {
        let key = chance.one_of(&["k1", "k2"]);
        let mut put = json!({ "key": key, "value": self.sent });
        if chance.one_in(2) {
            put["if_revision"] = json!(self.revision);
        }
        ("context.put", put)
    }

    /// Whether events that it was told of may be gone on with, and are not.
    fn broke_off(&self) -> bool {
        let asks = |asked: &Asked| asked.method == "events.subscribe";
        let wire = self.wire.as_ref();
        let goes_on = wire.is_some_and(|wire| wire.subscribed || wire.asked.values().any(asks));
        !goes_on && self.stories.last().is_some_and(|story| story.open)
    }

    /// Goes on with what it was told so far, wherever that was.
    fn subscribe(&self) -> (&'static str, Value) {
        let wire = self.wire.as_ref();
        let asks = |asked: &Asked| asked.method == "events.subscribe";
        if wire.is_some_and(|wire| wire.subscribed || wire.asked.values().any(asks)) {
            return ("task.list", json!({}));
        }
        let open = self.stories.last().filter(|story| story.open);
        match open {
            Some(story) => ("events.subscribe", json!({ "from": story.cursor() })),
            None => ("events.subscribe", json!({})),
        }
    }

    /// Takes in what a request came to.
    pub(crate) fn learn(&mut self, method: &str, params: &Value, result: &Value) {
        let of = |value: &Value, key: &str| value[key].as_u64().unwrap_or(0);
        match method {
            "session.open" => {
                let session = of(result, "session");
                let secret = result["resume_secret"].as_str().unwrap_or_default();
                self.session = Some((session, secret.to_owned()));
                if let Some(wire) = &mut self.wire {
                    wire.session = Some(session);
                }
            }
            "session.close" => {
                self.session = None;
                if let Some(wire) = &mut self.wire {
                    wire.session = None;
                }
            }
            "task.submit" => self.tasks.push(of(result, "task")),
            "task.claim" if !result["claim"].is_null() => {
                let claim = &result["claim"];
                self.attempts.push((of(claim, "task"), of(claim, "fence")));
            }
            "task.complete" | "task.fail" | "task.release" => {
                self.attempts
                    .retain(|(task, _)| *task != of(params, "task"));
            }
            "lease.acquire" => self.leases.push((of(result, "lease"), of(result, "fence"))),
            "lease.ensure" => {
                let all = result["leases"].as_array().into_iter().flatten();
                let taken = all.filter(|lease| lease["how"] == "taken");
                self.leases
                    .extend(taken.map(|lease| (of(lease, "lease"), of(lease, "fence"))));
            }
            "lease.release" => self
                .leases
                .retain(|(lease, _)| *lease != of(params, "lease")),
            "message.inbox" => {
                let messages = result["messages"].as_array().into_iter().flatten();
                self.messages = messages.map(|m| of(m, "message")).collect();
            }
            "context.put" => self.revision = of(result, "revision"),
            _ => {}
        }
    }

    /// A refusal tells what is no longer worth asking for.
    pub(crate) fn refused(&mut self, method: &str, params: &Value, kind: &str) {
        let of = |key: &str| params[key].as_u64().unwrap_or(0);
        match (method, kind) {
            (_, "stale_fence") => {
                self.attempts.retain(|(task, _)| *task != of("task"));
                self.leases.retain(|(lease, _)| *lease != of("lease"));
            }
            ("session.open", "not_found") => self.session = None,
            ("events.subscribe", "epoch_changed" | "cursor_expired") => self.end_story(),
            (_, "unavailable") if params.get("request_id").is_some() => {
                self.again.push_back((method.to_owned(), params.clone()));
            }
            _ => {}
        }
    }

    pub(crate) fn end_story(&mut self) {
        if let Some(story) = self.stories.last_mut() {
            story.open = false;
        }
        if let Some(wire) = &mut self.wire {
            wire.subscribed = false;
        }
    }

    /// A subscription was answered: it goes on with the story under way, or begins one.
    pub(crate) fn subscribed(&mut self, from: Option<Cursor>, cursor: Cursor) {
        let Some(wire) = &mut self.wire else { return };
        // Asking again without a cursor leaves the subscription where it is.
        let goes_on = from.is_some() || wire.subscribed;
        wire.subscribed = true;
        if !goes_on {
            self.end_story();
            self.stories.push(Story {
                from: cursor,
                heard: Vec::new(),
                open: true,
            });
            if let Some(wire) = &mut self.wire {
                wire.subscribed = true;
            }
        }
    }
}

fn waits_for(method: &str, params: &Value) -> Option<Action> {
    let raw = serde_json::value::to_raw_value(params).expect("values are JSON");
    let Ok((_, Request::Command(request))) = Request::parse(method, Some(&raw)) else {
        return None;
    };
    match request {
        CommandRequest::TaskClaim(params) => Some(Action::TaskClaim(params.into())),
        CommandRequest::LeaseAcquire(params) => Some(Action::LeaseAcquire(params.into())),
        _ => None,
    }
}
