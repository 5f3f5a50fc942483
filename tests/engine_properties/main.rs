//! Properties of the engine, each against a naive model or against what must hold for any input.

mod bench;
mod cursors;
mod graphs;
mod mailboxes;
#[path = "../support/stuck.rs"]
mod naive_stuck;
mod ordering;
mod strategies;
mod stuck;
mod totality;
