//! The driver: owns the engines, decides which commands reach the journal, and answers when they are durable.
//!
//! [`core`] is a synchronous state machine without IO: requests, journal completions, ticks and disconnects
//! go in; appends, frames and closings come out. The simulation runs the same code. [`shell`] provides a
//! thread for the journal, a clock, and wakers for the connections.
//!
//! It does not know WebSocket, HTTP, files or sockets.

mod admit;
mod commit;
mod connection;
pub mod core;
mod explain;
pub mod history;
mod known;
pub mod limits;
pub mod line;
pub mod migrate;
mod parked;
mod peers;
mod plan;
mod planted;
mod project;
mod propose;
pub mod queries;
pub mod recover;
mod replies;
pub mod secret;
pub mod shell;
mod snapshots;
mod subscribers;
mod subscriptions;
mod waiters;
mod wake;

pub use connection::{ConnectionId, Identity, Prospect};
pub use limits::DriverLimits;
