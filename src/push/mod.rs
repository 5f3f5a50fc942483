//! Writes the metrics to a receiver of Prometheus' remote write, for a box that nobody can scrape.
//!
//! ```text
//! registry ─► record (`series`) ─► sender ◄─► backlog      the sender knows no IO and no clock (`sender`, `timebase`)
//!                                   │  ▲
//!                       request (`encode`) answer
//!                                   ▼  │
//!                                 transport ◄─► receiver   one connection, one request at a time
//! ```
//!
//! One gathering is one record and one request: a receiver that refuses one sample refuses the whole request. It all
//! runs on a thread of its own (`app/push.rs`), so that neither a slow receiver nor a slow disk delays an agent.

pub mod backlog;
pub mod encode;
pub mod sender;
pub mod series;
pub mod spool;
mod timebase;
pub mod transport;
pub mod varint;
