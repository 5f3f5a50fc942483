//! Sends any frames, on two connections, to the driver's core with a journal in memory. The core never panics,
//! answers each request at most once and in valid JSON-RPC, and keeps its engines consistent.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cli_coordinator::driver::DriverLimits;
use cli_coordinator::driver::core::{Core, CoreConfig, CoreOutput, Moment};
use cli_coordinator::driver::secret::{Entropy, secret_hash};
use cli_coordinator::engine::command::{LostReason, ProjectScope, Role, TokenCreate};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::journal::memory::MemoryJournal;
use cli_coordinator::journal::{Journal, JournalStatus};
use cli_coordinator::metrics::{Metrics, MetricsScope};
use cli_coordinator::protocol::jsonrpc;
use cli_coordinator::protocol::operations::{OPERATIONS, Request};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// What a connection does. Most frames are put together from parts that are nearly right, since
/// bytes alone seldom get past the first brace.
#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Bytes(&'a [u8]),
    Text(&'a str),
    Request {
        operation: u8,
        params: Vec<(Field, Scalar<'a>)>,
        notification: bool,
    },
    /// Time goes on by so many milliseconds.
    Wait(u16),
    Drop,
}

/// Names that parameters have.
#[derive(Debug, Arbitrary, Clone, Copy)]
enum Field {
    Title,
    Payload,
    After,
    Task,
    Fence,
    Resources,
    TtlMs,
    WaitMs,
    To,
    Body,
    Messages,
    Key,
    Value,
    Lease,
    Agent,
    Filters,
    From,
    Capabilities,
    RequestId,
    Error,
    Tasks,
    Resume,
    Prefix,
    CountMax,
    Next,
    Result,
    Capability,
    Concurrency,
    IdempotencyKey,
    IfRevision,
    TakeMs,
    Mode,
    DelayMs,
}

#[derive(Debug, Arbitrary)]
enum Scalar<'a> {
    Null,
    Bool(bool),
    Small(u8),
    Number(i64),
    Text(&'a str),
    /// A name that others use too.
    Name(u8),
    Resource(&'a str),
    File(&'a str),
    List(Vec<Scalar<'a>>),
    Object(Vec<(Field, Scalar<'a>)>),
}

impl Scalar<'_> {
    fn json(&self, depth: u8) -> Value {
        match self {
            Self::Bool(value) => (*value).into(),
            Self::Small(value) => (*value % 8).into(),
            Self::Number(value) => (*value).into(),
            Self::Text(text) => (*text).into(),
            Self::Name(value) => format!("n{}", value % 4).into(),
            Self::Resource(text) => format!("path:{text}").into(),
            Self::File(text) => format!("file:{text}").into(),
            Self::List(items) if depth < 4 => items.iter().map(|i| i.json(depth + 1)).collect(),
            Self::Object(fields) if depth < 4 => object(fields, depth + 1),
            Self::Null | Self::List(_) | Self::Object(_) => Value::Null,
        }
    }
}

fn object(fields: &[(Field, Scalar)], depth: u8) -> Value {
    let named = fields
        .iter()
        .map(|(field, value)| (snake(*field), value.json(depth)));
    Value::Object(named.collect())
}

/// `TtlMs` is called `ttl_ms`.
fn snake(field: Field) -> String {
    let mut name = String::new();
    for c in format!("{field:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// Two connections' core, and the journal below it.
struct World {
    core: Core,
    journal: MemoryJournal,
    now: Moment,
    connections: [cli_coordinator::driver::ConnectionId; 2],
    /// Requests asked and not answered, by their id.
    open: BTreeMap<u64, ()>,
    last_id: u64,
}

impl World {
    fn new() -> Self {
        let config = CoreConfig {
            node: "fuzz-1".parse().unwrap(),
            environment: "testing".to_owned(),
            port_fingerprint: "0123456789abcdef".parse().unwrap(),
            journal: "embedded",
            version: "0",
            message_bytes_max: 1 << 20,
            record_bytes_max: 2 << 20,
            grace_ms: 1_000,
            engine: Limits::default(),
            sharing: None,
            driver: DriverLimits::default(),
        };
        let mut seed = 0_u8;
        let entropy = Entropy(Box::new(move || {
            seed = seed.wrapping_add(1);
            [seed; 32]
        }));
        // Made once: its registry takes longer to build than most inputs take to run.
        static METRICS: LazyLock<Metrics> =
            LazyLock::new(|| Metrics::new(&[], MetricsScope::default()));
        let metrics = METRICS.clone();
        let mut core = Core::new(
            config,
            entropy,
            metrics,
            BTreeMap::new(),
            JournalStatus::EMPTY,
            Moment(0),
        );
        let secret = "secret";
        let operator = TokenCreate {
            token: "t-operator".parse().unwrap(),
            secret_hash: secret_hash(secret),
            agent: "n0".parse().unwrap(),
            role: Role::Operator,
            projects: ProjectScope::All,
            ttl_ms: None,
            seats: false,
        };
        core.start(Moment(0), Some(operator));
        let mut world = Self {
            core,
            journal: MemoryJournal::new(),
            now: Moment(0),
            connections: [cli_coordinator::driver::ConnectionId(0); 2],
            open: BTreeMap::new(),
            last_id: 0,
        };
        world.carry_out();
        for place in 0..2 {
            world.connect(place);
        }
        world
    }

    fn connect(&mut self, place: usize) {
        // Its own token may have been revoked by what it said before.
        let Some(identity) = self.core.authenticate("secret") else {
            return;
        };
        let project = self.core.project_of(&identity, None).unwrap();
        self.connections[place] = self.core.connect(self.now, identity, project).unwrap();
    }

    /// Completes what the core wants, at once, and reads what it says.
    fn carry_out(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                CoreOutput::Append(entries) => {
                    let positions = self.journal.append(&entries).unwrap();
                    self.core
                        .appended(self.now, &positions, JournalStatus::EMPTY);
                }
                CoreOutput::Backup { request, .. } => {
                    let result = Err("there is no disk".to_owned());
                    self.core.backup_done(self.now, request, result);
                }
                CoreOutput::Snapshots { .. } | CoreOutput::Wake(_) | CoreOutput::Close(_) => {}
                CoreOutput::Follow(_)
                | CoreOutput::StreamAppend { .. }
                | CoreOutput::StreamSnapshot { .. } => {
                    unreachable!("the journal is not shared")
                }
            }
        }
        for connection in self.connections {
            let mut frames = Vec::new();
            loop {
                self.core.take_frames(connection, 64, &mut frames);
                if frames.is_empty() {
                    break;
                }
                for frame in frames.drain(..) {
                    self.read(&frame);
                }
            }
        }
    }

    fn read(&mut self, frame: &[u8]) {
        let frame: Value = serde_json::from_slice(frame).expect("what goes out is JSON");
        assert_eq!(frame["jsonrpc"], "2.0", "{frame}");
        let frame = frame.as_object().unwrap();
        if frame.contains_key("method") {
            assert!(
                !frame.contains_key("id") && frame.contains_key("params"),
                "{frame:?}"
            );
            return;
        }
        let (result, error) = (frame.get("result"), frame.get("error"));
        assert!(result.is_some() != error.is_some(), "{frame:?}");
        if let Some(error) = error {
            assert!(
                error["code"].is_i64() && error["message"].is_string(),
                "{frame:?}"
            );
            assert!(error["data"]["kind"].is_string(), "{frame:?}");
        }
        // Ids of made up requests are numbers far above those that raw frames are likely to have.
        if let Some(id) = frame["id"].as_u64().filter(|id| *id > FIRST_ID) {
            assert!(self.open.remove(&id).is_some(), "answered twice: {frame:?}");
        }
    }

    fn step(&mut self, place: usize, step: &Step) {
        let connection = self.connections[place];
        match step {
            Step::Bytes(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                self.frame(connection, &text);
            }
            Step::Text(text) => self.frame(connection, text),
            Step::Request {
                operation,
                params,
                notification,
            } => {
                let info = &OPERATIONS[usize::from(*operation) % OPERATIONS.len()];
                let mut request = serde_json::json!({
                    "jsonrpc": "2.0", "method": info.name, "params": object(params, 0),
                });
                if !notification {
                    self.last_id += 1;
                    let id = FIRST_ID + self.last_id;
                    request["id"] = id.into();
                    self.open.insert(id, ());
                }
                self.frame(connection, &request.to_string());
            }
            Step::Wait(milliseconds) => {
                self.now = self.now.after_ms(u64::from(*milliseconds));
                self.core.tick(self.now);
            }
            Step::Drop => {
                self.core
                    .disconnect(self.now, connection, LostReason::ConnectionLost);
                self.carry_out();
                self.connect(place);
            }
        }
        self.carry_out();
    }

    fn frame(&mut self, connection: cli_coordinator::driver::ConnectionId, text: &str) {
        if let Ok(envelope) = jsonrpc::parse(text) {
            // On its own as well, where no connection stands in the way.
            let _ = Request::parse(&envelope.method, envelope.params);
            let named = envelope.id.and_then(|id| id.get().parse::<u64>().ok());
            // A raw frame that happens to bear such an id asks for an answer too.
            if let Some(id) = named.filter(|id| *id > FIRST_ID) {
                self.open.insert(id, ());
            }
        }
        self.core.frame(self.now, connection, text);
    }
}

const FIRST_ID: u64 = 1 << 40;

fuzz_target!(|steps: Vec<(bool, Step)>| {
    let mut world = World::new();
    for (second, step) in steps.iter().take(64) {
        world.step(usize::from(*second), step);
    }
    for (name, engine) in world.core.engines() {
        assert!(engine.is_consistent(), "project {name}");
    }
});
