//! Simulated clients: what they remember from replies, and the requests they make up.

use cli_coordinator::driver::ConnectionId;
use cli_coordinator::driver::Identity;
use cli_coordinator::engine::command::{ProjectScope, Role};
use serde_json::{Value, json};

use crate::naive_paths::{CLOSE, FILES, RESOURCES, TREES};
use crate::simulation::chance::Chance;

/// Requests that a client without replies sends at the most; hostile ones do not care.
const PATIENCE: usize = 6;

/// One client: a program that connects, works, loses its connection, comes back.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) identity: Identity,
    pub(crate) project: &'static str,
    /// Reads one frame at a time, and seldom.
    pub(crate) slow: bool,
    pub(crate) connection: Option<ConnectionId>,
    /// The session of this connection, and those of earlier ones with their secrets.
    pub(crate) session: Option<u64>,
    pub(crate) sessions: Vec<(u64, String)>,
    pub(crate) attempts: Vec<(u64, u64)>,
    pub(crate) leases: Vec<(u64, u64)>,
    pub(crate) tasks: Vec<u64>,
    pub(crate) messages: Vec<u64>,
    pub(crate) tokens: Vec<String>,
    /// What it ensured last.
    pub(crate) ensured: Option<Value>,
    pub(crate) revision: u64,
    pub(crate) cursor: Option<String>,
    /// What a lost connection left unanswered; sent again, word for word.
    pub(crate) again: Vec<(String, Value)>,
    sent: u64,
}

/// A request as it is sent, without its id.
pub(crate) type Asked = (String, Value);

const AGENTS: &[(&str, Role)] = &[
    ("ant", Role::Agent),
    ("ant", Role::Agent),
    ("bee", Role::Agent),
    ("cat", Role::Agent),
    ("op", Role::Operator),
    ("eye", Role::Observer),
    // Seats, and two principals whose seats have one name.
    ("ant/x", Role::Agent),
    ("bee/x", Role::Agent),
    ("bee/y", Role::Agent),
];
/// Whom a request names.
const NAMED: &[&str] = &["ant", "ant/x", "bee", "bee/x", "bee/y", "cat", "nobody"];

impl Client {
    pub(crate) fn all(chance: &mut Chance) -> Vec<Self> {
        let numbered = AGENTS.iter().enumerate();
        numbered
            .map(|(number, (agent, role))| Self {
                number,
                identity: Identity {
                    token: format!("t-{number}").parse().expect("a token id"),
                    agent: agent.parse().expect("an agent name"),
                    role: *role,
                    projects: ProjectScope::All,
                    seats: false,
                },
                project: if number == 3 && chance.one_in(3) {
                    "side"
                } else {
                    "default"
                },
                slow: chance.one_in(5),
                connection: None,
                session: None,
                sessions: Vec::new(),
                attempts: Vec::new(),
                leases: Vec::new(),
                tasks: Vec::new(),
                messages: Vec::new(),
                tokens: Vec::new(),
                ensured: None,
                revision: 0,
                cursor: None,
                again: Vec::new(),
                sent: 0,
            })
            .collect()
    }

    /// The next request, unless enough are under way.
    pub(crate) fn next(&mut self, chance: &mut Chance, under_way: usize) -> Option<Asked> {
        if under_way >= PATIENCE && !chance.one_in(10) {
            return None;
        }
        if let Some(asked) = self.again.pop() {
            return Some(asked);
        }
        self.sent += 1;
        if self.session.is_none() && chance.one_in(2) {
            return Some(self.open(chance));
        }
        let (method, mut params) = self.make_up(chance);
        // An edit is not repeated: the next one asks anew.
        let again = method == "lease.ensure" && chance.one_in(2);
        let repeatable = !again
            && !matches!(method, "ping" | "session.open" | "token.create")
            && !method.ends_with(".list")
            && !method.ends_with(".get")
            && !matches!(
                method,
                "lease.check"
                    | "message.thread"
                    | "events.subscribe"
                    | "context.watch"
                    | "server.status"
                    | "events.unsubscribe"
            );
        if repeatable
            && chance.one_in(2)
            && let Some(fields) = params.as_object_mut()
        {
            let id = format!("r-{}-{}", self.number, self.sent);
            fields.insert("request_id".to_owned(), Value::String(id));
        }
        Some((method.to_owned(), params))
    }

    fn open(&mut self, chance: &mut Chance) -> Asked {
        let mut params = json!({ "grace_ms": chance.one_of(&[0, 1_000, 5_000, 20_000]) });
        if chance.one_in(2) {
            params["capabilities"] = capabilities(chance);
        }
        if let Some((session, secret)) = chance.pick(&self.sessions).filter(|_| true) {
            let secret = if chance.one_in(10) { "wrong" } else { secret };
            params["resume"] = json!({ "session": session, "secret": secret });
        }
        ("session.open".to_owned(), params)
    }

    /// A refusal tells what is no longer worth asking for.
    pub(crate) fn refused(&mut self, method: &str, params: &Value, kind: &str) {
        let of = |key: &str| params[key].as_u64().unwrap_or(0);
        match (method, kind) {
            (_, "stale_fence") => {
                self.attempts.retain(|(task, _)| *task != of("task"));
                self.leases.retain(|(lease, _)| *lease != of("lease"));
            }
            ("session.open", "not_found") => {
                let gone = params["resume"]["session"].as_u64();
                self.sessions.retain(|(session, _)| Some(*session) != gone);
            }
            _ => {}
        }
    }

    fn make_up(&self, chance: &mut Chance) -> (&'static str, Value) {
        if self.identity.role == Role::Observer && !chance.one_in(12) {
            return if chance.one_in(3) {
                self.watch(chance)
            } else {
                self.look(chance)
            };
        }
        match chance.below(44) {
            0..=4 => ("task.submit", self.task(chance)),
            5 | 6 => ("task.submit_many", self.graph(chance)),
            7..=12 => ("task.claim", self.claim(chance)),
            13..=17 => self.work(chance),
            18..=20 => ("lease.acquire", self.acquire(chance)),
            21 | 22 => self.hold(chance),
            23 | 24 => ("message.send", self.message(chance)),
            25..=27 => self.mail(chance),
            28 | 29 => self.context(chance),
            30..=32 => self.watch(chance),
            33 => self.about_tasks(chance),
            34 => self.be(chance),
            35 if self.identity.role == Role::Operator => self.operate(chance),
            35 => ("session.close", json!({})),
            36..=39 => ("lease.ensure", self.ensure(chance)),
            _ => self.look(chance),
        }
    }

    fn task(&self, chance: &mut Chance) -> Value {
        let mut task = json!({
            "title": format!("t{}-{}", self.number, self.sent),
            "priority": chance.below(3),
            "backoff_ms": chance.one_of(&[0, 500, 4_000]),
            "attempts_max": chance.one_of(&[1, 2, 3]),
        });
        if chance.one_in(2) {
            task["payload"] = filler(chance);
        }
        if chance.one_in(4) {
            task["requires"] = capabilities(chance);
        }
        if chance.one_in(4) {
            task["labels"] = json!({ "kind": chance.one_of(&["x", "y"]) });
        }
        if chance.one_in(4) {
            task["after"] = json!([self.some_task(chance)]);
        }
        if chance.one_in(5) {
            task["delay_ms"] = json!(chance.one_of(&[1, 700, 5_000]));
        }
        if chance.one_in(6) {
            task["idempotency_key"] = json!(chance.one_of(&["k1", "k2"]));
        }
        if chance.one_in(4) {
            task["attempt_timeout_ms"] = json!(chance.one_of(&[300, 3_000]));
        }
        if chance.one_in(3) {
            let key = chance.one_of(&["c1", "c1", "c2", "c3"]);
            task["concurrency"] = json!({ "key": key, "max": 1 + chance.below(2) });
        }
        task
    }

    fn graph(&self, chance: &mut Chance) -> Value {
        let count = 1 + chance.below(4);
        let tasks: Vec<Value> = (0..count)
            .map(|index| {
                let mut task = self.task(chance);
                task["title"] = json!(format!("t{}-{}-{index}", self.number, self.sent));
                // Mostly backwards, now and then a cycle or out of bounds.
                let bound = if chance.one_in(8) { count + 1 } else { index };
                let after: Vec<usize> = (0..bound).filter(|_| chance.one_in(3)).collect();
                json!({ "task": task, "after_index": after })
            })
            .collect();
        json!({ "tasks": tasks })
    }

    fn claim(&self, chance: &mut Chance) -> Value {
        let mut claim = json!({});
        if self.session.is_none() || chance.one_in(2) {
            claim["ttl_ms"] = json!(chance.one_of(&[1_000, 3_000, 9_000]));
        }
        if chance.one_in(2) {
            claim["wait_ms"] = json!(chance.one_of(&[1, 2_000, 20_000]));
        }
        if chance.one_in(8) {
            claim["task"] = json!(self.some_task(chance));
        }
        if chance.one_in(8) {
            claim["labels"] = json!({ "kind": "x" });
        }
        if chance.one_in(8) {
            claim["priority_min"] = json!(1);
        }
        claim
    }

    fn work(&self, chance: &mut Chance) -> (&'static str, Value) {
        let known = chance.pick(&self.attempts).copied();
        let (task, fence) = match known {
            Some((task, fence)) if chance.one_in(10) => (task, fence.saturating_sub(1)),
            Some(held) => held,
            None => (self.some_task(chance), chance.number(20)),
        };
        match chance.below(8) {
            0 => (
                "task.progress",
                json!({ "task": task, "fence": fence, "percent": 50 }),
            ),
            1 => (
                "task.fail",
                json!({ "task": task, "fence": fence, "error": "no", "retry": chance.one_in(2) }),
            ),
            2 => ("task.release", json!({ "task": task, "fence": fence })),
            3 => {
                let mut handoff =
                    json!({ "task": task, "fence": fence, "offer_ms": chance.one_of(&[0, 2_000]) });
                if chance.one_in(2) {
                    handoff["agent"] = json!(chance.one_of(NAMED));
                } else {
                    handoff["capability"] = json!("rust");
                }
                if chance.one_in(2) {
                    handoff["context"] = filler(chance);
                }
                ("task.handoff", handoff)
            }
            _ => {
                let mut complete = json!({ "task": task, "fence": fence });
                if chance.one_in(2) {
                    complete["result"] = filler(chance);
                }
                if chance.one_in(3) {
                    let mut next = self.claim(chance);
                    next.as_object_mut().map(|fields| fields.remove("wait_ms"));
                    complete["next"] = next;
                }
                ("task.complete", complete)
            }
        }
    }

    fn about_tasks(&self, chance: &mut Chance) -> (&'static str, Value) {
        let task = self.some_task(chance);
        let method = chance.one_of(&["task.cancel", "task.retry"]);
        (method, json!({ "task": task }))
    }

    fn acquire(&self, chance: &mut Chance) -> Value {
        let count = 1 + chance.below(2);
        let resources: Vec<String> = (0..count)
            .map(|_| match chance.below(6) {
                0 => format!("name:{}", chance.one_of(&["merge", "build"])),
                1 => format!("port:box:{}", 4 + chance.below(3)),
                2 => "port:box:4-6".to_owned(),
                3 | 4 => chance.one_of(CLOSE).to_owned(),
                _ => chance.one_of(RESOURCES).to_owned(),
            })
            .collect();
        let mut acquire = json!({ "resources": resources });
        if chance.one_in(3) {
            acquire["tree"] = json!(chance.one_of(TREES));
        }
        if chance.one_in(3) {
            acquire["mode"] = json!("shared");
        }
        if self.session.is_none() || chance.one_in(2) {
            acquire["ttl_ms"] = json!(chance.one_of(&[1_000, 3_000, 9_000]));
        }
        if chance.one_in(2) {
            acquire["wait_ms"] = json!(chance.one_of(&[1, 2_000, 20_000]));
        }
        acquire
    }

    /// Mostly files, as before an edit; often those of the edit before.
    fn ensure(&self, chance: &mut Chance) -> Value {
        if let Some(ensured) = self.ensured.as_ref().filter(|_| !chance.one_in(3)) {
            return ensured.clone();
        }
        let count = 1 + chance.below(3);
        let resources: Vec<&str> = (0..count)
            .map(|_| match chance.below(8) {
                0 => chance.one_of(RESOURCES),
                1 => "name:merge",
                _ => chance.one_of(FILES),
            })
            .collect();
        let mut ensure = json!({ "resources": resources });
        if !chance.one_in(3) {
            ensure["tree"] = json!(chance.one_of(TREES));
        }
        if chance.one_in(8) {
            ensure["mode"] = json!("shared");
        }
        if self.session.is_none() || !chance.one_in(3) {
            ensure["ttl_ms"] = json!(chance.one_of(&[1_000, 4_000, 9_000, 30_000]));
        }
        ensure
    }

    fn hold(&self, chance: &mut Chance) -> (&'static str, Value) {
        if chance.one_in(6) {
            let mut back = json!({ "resources": [chance.one_of(RESOURCES)] });
            if chance.one_in(2) {
                back["tree"] = json!(chance.one_of(TREES));
            }
            return ("lease.release", back);
        }
        let known = chance.pick(&self.leases).copied();
        let (lease, fence) = known.unwrap_or_else(|| (chance.number(6), chance.number(20)));
        match chance.below(4) {
            0 => ("lease.renew", json!({ "lease": lease, "fence": fence })),
            1 => (
                "lease.renew",
                json!({ "lease": lease, "fence": fence, "ttl_ms": 2_000 }),
            ),
            2 => ("lease.revoke", json!({ "lease": lease })),
            _ => ("lease.release", json!({ "lease": lease, "fence": fence })),
        }
    }

    fn message(&self, chance: &mut Chance) -> Value {
        let to = match chance.below(5) {
            0 => json!({ "all": true }),
            1 => json!({ "topic": "news" }),
            2 => json!({ "capability": "rust" }),
            _ => json!({ "agent": chance.one_of(NAMED) }),
        };
        let mut message = json!({ "to": to, "body": filler(chance), "ttl_ms": chance.one_of(&[0, 1_000, 8_000, 90_000]) });
        if let Some(original) = chance.pick(&self.messages) {
            message["reply_to"] = json!(original);
        }
        message
    }

    fn mail(&self, chance: &mut Chance) -> (&'static str, Value) {
        match chance.below(4) {
            0 => ("message.inbox", json!({})),
            2 => match self.messages.last().filter(|_| chance.one_in(2)) {
                Some(seen) => ("message.ack", json!({ "up_to": seen })),
                None => ("message.ack", json!({ "all": true })),
            },
            1 => (
                "message.inbox",
                json!({ "take_ms": chance.one_of(&[0, 2_000]), "count_max": 2 }),
            ),
            _ => ("message.ack", json!({ "messages": self.messages })),
        }
    }

    fn context(&self, chance: &mut Chance) -> (&'static str, Value) {
        let key = chance.one_of(&["a", "b/c", "b/d", "e"]);
        let mut change = json!({ "key": key });
        if chance.one_in(3) {
            change["if_revision"] = json!(chance.one_of(&[0, self.revision]));
        }
        if chance.one_in(4) {
            return ("context.delete", change);
        }
        change["value"] = filler(chance);
        ("context.put", change)
    }

    fn watch(&self, chance: &mut Chance) -> (&'static str, Value) {
        let mut params = json!({});
        if let Some(cursor) = self.cursor.as_ref().filter(|_| chance.one_in(2)) {
            params["from"] = json!(cursor);
        } else if chance.one_in(4) {
            params["from"] = json!(chance.one_of(&["0:0", "0:3", "0:999999", "7:1"]));
        }
        match chance.below(6) {
            0 => ("events.unsubscribe", json!({})),
            1 => ("context.watch", {
                params["prefix"] = json!(chance.one_of(&["", "b/"]));
                params
            }),
            2 | 3 => ("events.subscribe", {
                params["filters"] =
                    json!([{ "kinds": [chance.one_of(&["task.*", "lease.*", "task.done"])] }]);
                params
            }),
            _ => ("events.subscribe", params),
        }
    }

    fn be(&self, chance: &mut Chance) -> (&'static str, Value) {
        match chance.below(4) {
            0 => ("agent.remove", json!({ "agent": chance.one_of(NAMED) })),
            1 => (
                "agent.update",
                json!({ "topics": ["news"], "status": "busy" }),
            ),
            _ => (
                "agent.update",
                json!({ "capabilities": capabilities(chance) }),
            ),
        }
    }

    fn operate(&self, chance: &mut Chance) -> (&'static str, Value) {
        match chance.below(6) {
            0 => (
                "project.create",
                json!({ "project": chance.one_of(&["side", "third", "_system"]) }),
            ),
            1 => (
                "token.revoke",
                json!({ "token": chance.pick(&self.tokens).map_or("t-none", String::as_str) }),
            ),
            2 => ("server.backup", json!({})),
            3 => ("session.close", json!({ "session": chance.number(8) })),
            _ => {
                let mut token = json!({ "agent": chance.one_of(&["bee", "cat", "nobody"]) });
                if chance.one_in(2) {
                    token["ttl_ms"] = json!(5_000);
                }
                ("token.create", token)
            }
        }
    }

    fn look(&self, chance: &mut Chance) -> (&'static str, Value) {
        match chance.below(14) {
            9 => ("agent.get", json!({})),
            10 => ("context.get", json!({ "key": "a" })),
            11 => ("project.list", json!({})),
            12 => ("token.list", json!({})),
            0 => ("agent.list", json!({})),
            1 => ("task.list", json!({ "count_max": 2 })),
            2 => {
                let task = self.some_task(chance);
                let even = task.is_multiple_of(2);
                let method = if even { "task.get" } else { "task.explain" };
                (method, json!({ "task": task }))
            }
            3 => ("lease.list", json!({ "resource": "path:a/*" })),
            4 => (
                "lease.check",
                json!({ "resources": ["path:**", "port:box:4"] }),
            ),
            5 => ("context.list", json!({ "prefix": "b", "values": true })),
            6 => ("server.status", json!({})),
            7 => ("message.thread", json!({ "message": chance.number(5) })),
            8 => ("task.clam", json!({})),
            _ => ("ping", json!({})),
        }
    }

    fn some_task(&self, chance: &mut Chance) -> u64 {
        match chance.pick(&self.tasks) {
            Some(task) if !chance.one_in(4) => *task,
            _ => chance.number(30),
        }
    }
}

fn capabilities(chance: &mut Chance) -> Value {
    chance
        .one_of(&[&[][..], &["rust"], &["docs"], &["rust", "docs"]])
        .into()
}

/// A payload of some size; seldom one that is over every limit.
fn filler(chance: &mut Chance) -> Value {
    let length = if chance.one_in(40) {
        3_100
    } else {
        chance.below(300)
    };
    Value::String("x".repeat(length))
}
