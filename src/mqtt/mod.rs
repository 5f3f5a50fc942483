//! MQTT: whether the box is there, how it is, and what happens on it, for a fleet's broker.
//!
//! [`client`] is the state machine: bytes, events and time go in; bytes to send and cursors to keep come out. It
//! reads no clock and does no IO, so that the simulation runs the same code. [`run`] gives it a connection.
//!
//! There is no queue. Status and health are the newest values and are published again at each connect; events are
//! read from the engine's history, from a cursor that moves when the broker acknowledged. Whoever adds agents that
//! work over MQTT subscribes to more topics in `face.rs` and calls `Driver::connect`.

pub mod client;
mod cursors;
pub mod face;
mod flow;
pub mod probe;
pub mod reference;
pub mod run;
mod up;
pub mod wire;

pub use cursors::{CursorFile, Cursors};

use crate::driver::history::{HistoryRead, Publisher};
use crate::engine::ids::{Cursor, ProjectName};

/// The coordinator as the client sees it.
pub trait Source {
    /// The `status` of the health, cheap enough to be asked every few seconds.
    fn condition(&self) -> &'static str;
    /// The health as JSON.
    fn health(&self) -> String;
    /// The wall clock, unless it is known to be wrong.
    fn wall_ms(&self) -> Option<u64>;
    fn publisher(&self) -> Publisher;
    fn projects(&self) -> Vec<ProjectName>;
    /// The cursor of a project's newest record.
    fn end(&self, project: &ProjectName) -> Option<Cursor>;
    fn read(&self, project: &ProjectName, after: Option<Cursor>, events_max: usize) -> HistoryRead;
    /// How many events a project has after a cursor.
    fn count_after(&self, project: &ProjectName, after: Option<Cursor>) -> u64;
}
