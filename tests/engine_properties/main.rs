//! Properties of the engine, each against a naive model or against what must hold for any input.

mod bench;
mod cursors;
mod graphs;
mod ordering;
mod strategies;
mod totality;
