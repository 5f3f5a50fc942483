//! `coord render`: the texts themselves, and what the programs they are for make of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod compose;
mod containerfile;
mod env;
mod golden;
mod prometheus;
mod proxies;
mod refusals;
mod tool;
