//! What a client says to the coordinator, and what it looks for in the answers.

use std::io::Write as _;

use super::load::{Step, Talk};
use super::ws::{next_frame, put_text, request, text};

pub const PAYLOAD_BYTES: usize = 300;
const RESULT: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":"#;

/// JSON of exactly as many bytes as a payload has.
pub fn payload() -> String {
    format!("\"{}\"", "p".repeat(PAYLOAD_BYTES - 2))
}

/// The same request again and again.
#[derive(Debug)]
pub struct Repeat(pub Vec<u8>);

impl Talk for Repeat {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn take(&mut self, input: &[u8], _out: &mut Vec<u8>) -> Step {
        match next_frame(input) {
            None => Step::Incomplete,
            Some(([], used)) => Step::Within(used),
            Some((reply, used)) => {
                expect_result(reply);
                Step::Finished(used)
            }
        }
    }
}

/// A number of bytes there, another one back: what a raw echo server is asked.
#[derive(Debug)]
pub struct Bytes {
    pub request: Vec<u8>,
    pub reply_bytes: usize,
}

impl Talk for Bytes {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    fn take(&mut self, input: &[u8], _out: &mut Vec<u8>) -> Step {
        if input.len() < self.reply_bytes {
            return Step::Incomplete;
        }
        Step::Finished(self.reply_bytes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Submitting,
    Claiming,
    Completing,
}

/// Submit a task, claim the oldest one, complete that one.
#[derive(Debug)]
pub struct Cycle {
    submit: Vec<u8>,
    claim: Vec<u8>,
    complete: Vec<u8>,
    stage: Stage,
    /// Completing claims the next task in the same step.
    chained: bool,
    /// The attempt held: task and fencing token.
    held: Option<(u64, u64)>,
}

impl Cycle {
    pub fn new(chained: bool) -> Self {
        let params = format!(r#"{{"title":"bench","payload":{}}}"#, payload());
        Self {
            submit: text(&request("task.submit", &params)),
            claim: text(&request("task.claim", "{}")),
            complete: Vec::new(),
            stage: Stage::Submitting,
            chained,
            held: None,
        }
    }

    fn claim(&mut self, out: &mut Vec<u8>) {
        self.stage = Stage::Claiming;
        out.extend_from_slice(&self.claim);
    }

    fn complete(&mut self, (task, fence): (u64, u64), out: &mut Vec<u8>) {
        self.stage = Stage::Completing;
        let next = if self.chained { r#","next":{}"# } else { "" };
        self.complete.clear();
        write!(
            self.complete,
            r#"{{"jsonrpc":"2.0","id":1,"method":"task.complete","params":{{"task":{task},"fence":{fence}{next}}}}}"#
        )
        .expect("writing to memory cannot fail");
        put_text(&self.complete, out);
    }
}

impl Talk for Cycle {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.stage = Stage::Submitting;
        out.extend_from_slice(&self.submit);
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        let Some((reply, used)) = next_frame(input) else {
            return Step::Incomplete;
        };
        if reply.is_empty() {
            return Step::Within(used);
        }
        expect_result(reply);
        match self.stage {
            Stage::Submitting => match self.held.take() {
                Some(held) => self.complete(held, out),
                None => self.claim(out),
            },
            Stage::Claiming => match granted(reply) {
                Some(held) => self.complete(held, out),
                None => self.claim(out),
            },
            Stage::Completing => {
                self.held = self.chained.then(|| granted(reply)).flatten();
                return Step::Finished(used);
            }
        }
        Step::Within(used)
    }
}

/// Acquire a lease, release it.
#[derive(Debug)]
pub struct Lock {
    acquire: Vec<u8>,
    release: Vec<u8>,
    held: bool,
}

impl Lock {
    pub fn new(resource: &str) -> Self {
        let params = format!(r#"{{"resources":["{resource}"]}}"#);
        Self {
            acquire: text(&request("lease.acquire", &params)),
            release: Vec::new(),
            held: false,
        }
    }
}

impl Talk for Lock {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.acquire);
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        let Some((reply, used)) = next_frame(input) else {
            return Step::Incomplete;
        };
        if reply.is_empty() {
            return Step::Within(used);
        }
        expect_result(reply);
        self.held = !self.held;
        if !self.held {
            return Step::Finished(used);
        }
        let lease = number(reply, b"\"lease\":").expect("it is granted");
        let fence = number(reply, b"\"fence\":").expect("it is granted");
        let params = format!(r#"{{"lease":{lease},"fence":{fence}}}"#);
        self.release.clear();
        put_text(
            request("lease.release", &params).as_bytes(),
            &mut self.release,
        );
        out.extend_from_slice(&self.release);
        Step::Within(used)
    }
}

fn expect_result(reply: &[u8]) {
    assert!(
        reply.starts_with(RESULT),
        "refused: {}",
        String::from_utf8_lossy(reply)
    );
}

/// Task and fencing token of a granted attempt.
fn granted(reply: &[u8]) -> Option<(u64, u64)> {
    Some((number(reply, b"\"task\":")?, number(reply, b"\"fence\":")?))
}

fn number(reply: &[u8], key: &[u8]) -> Option<u64> {
    let at = reply.windows(key.len()).position(|window| window == key)?;
    let digits = reply[at + key.len()..].iter();
    let digits = digits.take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}
