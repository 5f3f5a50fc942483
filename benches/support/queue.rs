//! A plain work queue on a Redis stream as a peer: what a team would write by hand, without leases,
//! deadlines, dependencies, events or identities.
//!
//! Its client is the same loop as the coordinator's, at the same cost.

use std::net::TcpStream;

use super::load::{Step, Talk};
use super::redis::{Redis, command, reply};
use super::talk::PAYLOAD_BYTES;

const STREAM: &str = "work";
const GROUP: &str = "workers";

/// Connections ready to work.
pub fn conversations(redis: &Redis, count: usize) -> Vec<(TcpStream, QueueCycle)> {
    redis.ask(&["XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM"]);
    let connected = (0..count).map(|index| {
        let stream = TcpStream::connect(redis.address).expect("Redis takes connections");
        stream.set_nodelay(true).expect("it is a TCP socket");
        (stream, QueueCycle::new(index))
    });
    connected.collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Adding,
    Reading,
    Acking,
    Deleting,
}

/// Add an entry, read the next one as a worker of the group, acknowledge and delete that.
#[derive(Debug)]
pub struct QueueCycle {
    add: Vec<u8>,
    read: Vec<u8>,
    stage: Stage,
}

impl QueueCycle {
    fn new(index: usize) -> Self {
        let (payload, consumer) = ("p".repeat(PAYLOAD_BYTES), format!("worker-{index}"));
        let read = ["XREADGROUP", "GROUP", GROUP, &consumer, "COUNT", "1"];
        let read = [&read[..], &["STREAMS", STREAM, ">"]].concat();
        Self {
            add: command(&["XADD", STREAM, "*", "payload", &payload]),
            read: command(&read),
            stage: Stage::Adding,
        }
    }
}

impl Talk for QueueCycle {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.stage = Stage::Adding;
        out.extend_from_slice(&self.add);
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        let Some((strings, used)) = reply(input) else {
            return Step::Incomplete;
        };
        match self.stage {
            Stage::Adding => {
                self.stage = Stage::Reading;
                out.extend_from_slice(&self.read);
                Step::Within(used)
            }
            Stage::Reading => {
                // The name of the stream, the entry's id, its field and its payload.
                let id = std::str::from_utf8(strings[1]).expect("an id is text");
                self.stage = Stage::Acking;
                out.extend_from_slice(&command(&["XACK", STREAM, GROUP, id]));
                out.extend_from_slice(&command(&["XDEL", STREAM, id]));
                Step::Within(used)
            }
            Stage::Acking => {
                self.stage = Stage::Deleting;
                Step::Within(used)
            }
            Stage::Deleting => Step::Finished(used),
        }
    }
}
