//! `coord` as a process: what its users, its clients and those who start and kill it rely on.

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

mod support;

mod process {
    mod bad_input;
    mod cli_work;
    mod crash;
    mod foreign_clients;
    mod hooks;
    mod mcp;
    mod page;
    mod panic_report;
    mod seats;
    mod setup;
}
