//! The protocol between agents and coordinator: one table of operations, JSON-RPC 2.0, the wire types.
//!
//! The table in [`operations`] is the only list of operations: dispatch, roles, JSON Schemas, the OpenRPC
//! document, the reference page and the command line come from it. Wire types live beside it, one file an
//! area, each with its conversion to commands and from state. Engine types never appear on the wire, so that
//! the journal's format and the protocol can change independently.

pub mod admin;
pub mod agent;
mod conflict;
pub mod context;
pub mod error;
pub mod events;
pub mod explain;
pub mod jsonrpc;
pub mod lease;
pub mod message;
pub mod openrpc;
pub mod operations;
pub mod reference;
pub mod request_id;
pub mod resource;
mod schema;
pub mod seat;
pub mod session;
pub mod span;
pub mod task;

/// The version of the interface: the major part changes when an old client would no longer work.
pub const PROTOCOL_VERSION: &str = "1.0";
