//! Several real coordinators on one real Redis, and everything that can happen to them: Redis is
//! killed, comes back with its data, without its last part, without anything, is full, is slow, is cut off
//! from one of them; a coordinator is killed, or stands still until it has lost everything.
//!
//! The record of what clients were told is the one of the crash test: it is checked on every
//! coordinator in the end, and all of them must have come to the same state.

mod deployment;
mod faults;
mod lost_tail;
mod migration;
mod nodes;
mod partition;
mod traffic;

/// Connections at once, each an agent of its own.
const WORKERS: u64 = 12;
