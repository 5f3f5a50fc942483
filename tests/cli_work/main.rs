//! `coord task`, `coord lease` and `coord message`, as processes, against a real coordinator: what a shell script
//! that uses them relies on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod beats;
mod coord;
mod descendants;
mod lease_run;
mod leases;
mod messages;
mod standing_still;
mod stuck;
mod task_work;
mod terminal;

#[path = "../support/mod.rs"]
mod support;
