//! Reports panics: a panic is logged, in the log's format, before the program ends. A release build then
//! aborts, so no thread continues with a half-changed state.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::thread;

use serde_json::json;

use super::text;
use crate::build_info::{COMMIT, TARGET, VERSION};

/// How the program ends after a panic: by SIGABRT where panics abort, as in a release build.
const EXIT_PANICKED: u8 = if cfg!(panic = "abort") { 134 } else { 101 };

/// From now on a panic is an error in the log. If the log level hides errors, Rust's own message is printed.
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

/// From now on a panic is a JSON error on stderr, as `--json` asks for.
pub(super) fn report_as_json() {
    panic::set_hook(Box::new(|panic| {
        // A closed stderr cannot be reported anywhere.
        let _ = io::stderr().write_all(format!("{}\n", as_json(panic)).as_bytes());
    }));
}

fn as_json(panic: &PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("no message");
    let error = json!({ "error": {
        "kind": "internal",
        "message": format!("coord panicked, which is a bug: {message}"),
        "next": "report the bug with this line",
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
