//! The journal in Redis: its store, call by call, and several real coordinators that share one.

#![allow(
    clippy::self_named_module_files,
    clippy::too_many_lines,
    reason = "cargo finds a test by this file; a scenario reads from its beginning to its end"
)]
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "nothing outside uses a test, it says how it goes, and fails by panicking"
)]

mod store_contract;
mod support;

mod shared_journal {
    mod coordinators;
    mod store;
}
