//! A hook never ends in a way that its CLI could take for a decision.
//!
//! Exit code 2 refuses an edit in three of the four CLIs, and is also what a wrong command line ends with. Gemini CLI
//! takes every code but 0 and 1 for a refusal, and a panic of a release build is SIGABRT. So whatever a hook does is
//! done on a thread of its own: the main thread ends the process with 0 or 1, and at the latest after
//! [`DEADLINE`].

use std::io::{self, Write};
use std::panic;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::text;

/// How long a hook takes at most. CLIs wait longer: 5 seconds and more.
const DEADLINE: Duration = Duration::from_secs(2);

/// How a hook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It answered, or has no opinion.
    Well,
    /// It could not do its work, and said why.
    Failed,
}

impl Ended {
    fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Failed => 1,
        }
    }
}

/// A line for those who look for what a hook did; CLIs keep it in their logs.
pub(super) fn say(line: &str) {
    // A closed stderr cannot be reported anywhere.
    let line = format!("coord hook: {}\n", text::one_line(line));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Does the work of a hook. Gives the exit code: 0 or 1.
pub(super) fn contained(work: impl FnOnce() -> Ended + Send + 'static) -> u8 {
    let (ends, ended) = sync_channel(2);
    let panicked = ends.clone();
    let main = thread::current().id();
    panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        say(&format!("this is a bug: it panicked: {message}"));
        if thread::current().id() == main {
            return;
        }
        let _ = panicked.try_send(Ended::Failed);
        // Where panics abort, returning would end the process by SIGABRT.
        loop {
            thread::park();
        }
    }));
    let worker = thread::Builder::new().name("hook".to_owned());
    let started = worker.spawn(move || {
        // The main thread may have given up.
        let _ = ends.send(work());
    });
    if let Err(error) = started {
        say(&format!("cannot start a thread: {error}"));
        return Ended::Failed.code();
    }
    match ended.recv_timeout(DEADLINE) {
        Ok(ended) => ended.code(),
        Err(RecvTimeoutError::Timeout) => {
            let ms = DEADLINE.as_millis();
            say(&format!("gave up after {ms} ms, so it has no opinion"));
            Ended::Well.code()
        }
        Err(RecvTimeoutError::Disconnected) => Ended::Failed.code(),
    }
}
