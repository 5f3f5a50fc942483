//! The MCP front: tools for models, over HTTP (`/mcp`) and over stdio (`coord mcp`).
//!
//! ```text
//!  POST /mcp ── http ──┐                ┌── driver_caller ──► Driver::connect
//!                      ├─► dispatch ─► tools ─► Caller
//!  stdin ──── stdio ───┘                └── cli/mcp.rs ────► a WebSocket session
//! ```
//!
//! A tool calls operations of the one table through a [`Caller`], so both ways share every tool. Two eras of
//! the protocol are served (`era.rs`): the one that begins with `initialize`, up to 2025-11-25, and
//! 2026-07-28, in which each request stands alone. Neither has a session here: nothing a client must keep,
//! nothing that a restart could lose. What an agent takes over HTTP is held for [`HOLD_MS`] and renewed by any
//! later call; presence is a session of the driver that comes back with the next call (`presence.rs`).
//!
//! The protocol is written by hand over `serde_json`; ARCHITECTURE.md says why.

mod caller;
mod connection;
mod dispatch;
mod driver_caller;
mod era;
mod fault;
mod http;
mod incoming;
mod presence;
pub mod reference;
mod renewal;
mod resources;
mod results;
mod schema;
mod sse;
mod stdio;
pub mod tools;
pub(crate) mod waiting;
pub(crate) mod words;

use crate::engine::ids::AgentKind;

pub use caller::{Caller, Follower, Pending};
pub use dispatch::INSTRUCTIONS;
pub use http::{Admit, routes};
pub use presence::Presences;
pub use stdio::{Callers, serve};

/// How long what an agent took over HTTP is held after its last call.
pub const HOLD_MS: u64 = 30 * 60_000;

/// How often a request that waits tells the client that it is alive.
const PROGRESS_MS: u64 = 5_000;

/// Codex, as a kind of agent and in the names of seats.
const CODEX: &str = "codex";

/// The kind of agent that a client of this name is.
pub fn kind_of(client: &str) -> Option<AgentKind> {
    let kind = match client {
        "codex-mcp-client" => CODEX,
        "gemini-cli-mcp-client" => "gemini-cli",
        other => other,
    };
    kind.parse().ok()
}
