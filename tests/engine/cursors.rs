//! Cursor resume: whoever comes back with a cursor gets exactly what it missed, or is told.

use std::collections::BTreeMap;

use cli_coordinator::driver::core::{Core, CoreConfig, CoreOutput, Moment};
use cli_coordinator::driver::secret::Entropy;
use cli_coordinator::driver::{ConnectionId, DriverLimits, Identity};
use cli_coordinator::engine::command::{LostReason, ProjectScope, Role};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::journal::Journal;
use cli_coordinator::journal::memory::MemoryJournal;
use cli_coordinator::metrics::{Metrics, MetricsScope};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

struct Server {
    core: Core,
    journal: MemoryJournal,
}

impl Server {
    fn new(kept: u64, queued: u64, metrics: &Metrics) -> Self {
        let journal = MemoryJournal::new();
        let config = CoreConfig {
            node: "node".parse().expect("a node id"),
            environment: "testing".to_owned(),
            port_fingerprint: "0123456789abcdef".parse().expect("a fingerprint"),
            journal: "embedded",
            version: "0",
            message_bytes_max: 1 << 20,
            record_bytes_max: 1 << 16,
            grace_ms: 1_000,
            engine: Limits {
                events_history_max: kept,
                ..Limits::default()
            },
            sharing: None,
            driver: DriverLimits {
                events_queued_max: queued,
                ..DriverLimits::default()
            },
        };
        let entropy = Entropy(Box::new(|| [7; 32]));
        let core = Core::new(
            config,
            entropy,
            metrics.clone(),
            BTreeMap::new(),
            journal.status(),
            Moment(0),
        );
        let mut server = Self { core, journal };
        server.core.start(Moment(0), None);
        server.work();
        server
    }

    fn work(&mut self) {
        while let Some(output) = self.core.poll_output() {
            if let CoreOutput::Append(entries) = output {
                let positions = self.journal.append(&entries).expect("memory has room");
                self.core
                    .appended(Moment(0), &positions, self.journal.status());
            }
        }
    }

    fn connect(&mut self) -> ConnectionId {
        let identity = Identity {
            token: "t".parse().expect("a token id"),
            agent: "ant".parse().expect("an agent"),
            role: Role::Agent,
            projects: ProjectScope::All,
            seats: false,
        };
        let project = self
            .core
            .project_of(&identity, None)
            .expect("the default project is made at the start");
        self.core
            .connect(Moment(0), identity, project)
            .expect("it is not stopping")
    }

    fn ask(&mut self, id: ConnectionId, method: &str, params: &Value) {
        let frame = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.core.frame(Moment(0), id, &frame.to_string());
        self.work();
    }

    fn position(&self) -> u64 {
        let mut engines = self.core.engines();
        let default = engines.find(|(name, _)| name.as_str() == "default");
        default.map_or(0, |(_, engine)| engine.state().position.0)
    }

    fn read(&mut self, id: ConnectionId, most: usize) -> Vec<Value> {
        let mut frames = Vec::new();
        self.core.take_frames(id, most, &mut frames);
        self.work();
        frames
            .iter()
            .map(|frame| serde_json::from_slice(frame).expect("frames are JSON"))
            .collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write,
    Read(usize),
    Drop,
}

proptest! {
    #![proptest_config(super::bench::cases(200))]

    #[test]
    fn nothing_is_missed_and_nothing_told_twice(
        kept in 1..30u64,
        queued in 1..6u64,
        steps in vec(prop_oneof![5 => Just(Step::Write), 3 => (1..4usize).prop_map(Step::Read), 1 => Just(Step::Drop)], 1..80),
    ) {
        let metrics = Metrics::new(&[], MetricsScope::default());
        let mut server = Server::new(kept, queued, &metrics);
        let writer = server.connect();
        let mut written: Vec<u64> = Vec::new();
        let (mut told, mut cursor) = (0, "0:0".to_owned());
        let mut reader = None;
        // In the end the reader reads on for as long as there can be anything.
        let rest = std::iter::repeat_n(Step::Read(1_000), 100);
        for step in steps.into_iter().chain(rest) {
            let id = *reader.get_or_insert_with(|| {
                let id = server.connect();
                server.ask(id, "events.subscribe", &json!({ "from": cursor, "filters": [{ "kinds": ["context.put"] }] }));
                id
            });
            match step {
                Step::Write => {
                    let value = written.len();
                    server.ask(writer, "context.put", &json!({ "key": "k", "value": value }));
                    written.push(server.position());
                    server.read(writer, 10);
                }
                Step::Drop => {
                    server.core.disconnect(Moment(0), id, LostReason::ConnectionLost);
                    server.work();
                    reader = None;
                }
                Step::Read(most) => {
                    for frame in server.read(id, most) {
                        let params = &frame["params"];
                        let restart = match frame["method"].as_str() {
                            Some("event") => {
                                // Each write is one event and one revision: the next is the one due.
                                told += 1;
                                prop_assert_eq!(params["changes"][0]["revision"].as_u64(), Some(told));
                                cursor = params["cursor"].as_str().expect("events have a cursor").to_owned();
                                continue;
                            }
                            Some("events.closed") => params["next"].as_str(),
                            _ => frame["error"]["data"]["cursor"].as_str(),
                        };
                        // Told that events are forgotten: that is only so when more came than are kept.
                        if let Some(next) = restart {
                            let (_, position) = next.split_once(':').expect("a cursor");
                            let position = position.parse().expect("a position");
                            let by_then = written.partition_point(|at| *at <= position) as u64;
                            prop_assert!(
                                by_then - told > kept,
                                "{by_then} written, {told} told, {kept} kept"
                            );
                            (told, cursor) = (by_then, next.to_owned());
                            server.core.disconnect(Moment(0), id, LostReason::ConnectionLost);
                            server.work();
                            reader = None;
                            break;
                        }
                    }
                }
            }
        }
        // A last reader may only now have been told where to begin anew.
        prop_assert!(told == written.len() as u64 || reader.is_none(),
            "{told} of {} were told",
            written.len());
    }
}
