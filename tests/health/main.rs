//! Is it running? `coord health`, the health pages and what is compared at connect, with real
//! processes: coordinators, Redis servers, strangers on the ports, and nobody.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod command;
mod coordinator;
mod peers;
mod redis;
mod starting;
mod stranger;
mod watching;
