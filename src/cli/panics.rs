//! What a bug leaves behind: a panic is told in the log, in the log's own format, before the program
//! ends. A release build aborts after it, so nothing goes on with half a state.

use std::panic::{self, PanicHookInfo};
use std::thread;

use crate::build_info::{COMMIT, TARGET, VERSION};

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
