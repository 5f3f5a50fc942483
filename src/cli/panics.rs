//! What a bug leaves behind: a panic is told in the log, in the log's own format, before the program
//! ends. A release build aborts after it, so nothing goes on with half a state.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::thread;

use serde_json::json;

use super::text;
use crate::build_info::{COMMIT, TARGET, VERSION};

/// How a program ends that panicked: by SIGABRT where panics abort, as in a release build.
const EXIT_PANICKED: u8 = if cfg!(panic = "abort") { 134 } else { 101 };

/// From now on a panic is an error in the log. Where the log takes none, it is told as ever.
pub fn report_to_log() {
    let as_ever = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if tracing::enabled!(tracing::Level::ERROR) {
            report(panic);
        } else {
            as_ever(panic);
        }
    }));
}

/// From now on a panic is an error in JSON on stderr, as all else there with `--json`.
pub(super) fn report_as_json() {
    panic::set_hook(Box::new(|panic| {
        // Nobody is there to be told that stderr is gone.
        let _ = io::stderr().write_all(format!("{}\n", as_json(panic)).as_bytes());
    }));
}

fn as_json(panic: &PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("no message");
    let error = json!({ "error": {
        "kind": "internal",
        "message": format!("coord panicked, which is a bug: {message}"),
        "next": "report it with this line",
        "exit_code": EXIT_PANICKED,
        "location": panic.location().map(ToString::to_string),
        "version": VERSION,
        "commit": COMMIT,
    }});
    text::json(&error.to_string()).into_owned()
}

fn report(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let location = panic.location().map(ToString::to_string);
    tracing::error!(
        version = VERSION,
        commit = COMMIT,
        target_triple = TARGET,
        thread = thread.name().unwrap_or("unnamed"),
        location = location.as_deref().unwrap_or("unknown"),
        "the coordinator panicked, which is a bug: {}",
        panic.payload_as_str().unwrap_or("no message")
    );
}
