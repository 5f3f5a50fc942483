//! `coord task work` and `coord lease run`, as processes, against a real coordinator: what a shell
//! script that uses them relies on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod coord;
mod lease_run;
mod task_work;

#[path = "../support/mod.rs"]
mod support;
