//! The store of a shared journal in Redis: every call and every refusal, on real servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/store_contract.rs"]
mod store_contract;

mod calls;
mod cluster;
mod contract;
mod fixture;
mod refusals;
mod replicas;
mod sentinel;
mod tls;
