//! Properties of the engine, each against a naive model or against what must hold for any input.

#![allow(
    clippy::self_named_module_files,
    clippy::too_many_lines,
    reason = "cargo finds a test by this file; a scenario reads from its beginning to its end"
)]

mod naive_ensure;
mod naive_paths;
mod naive_stuck;

mod engine {
    mod bench;
    mod costs;
    mod cursors;
    mod ensure;
    mod globs;
    mod graphs;
    mod mailboxes;
    mod ordering;
    mod projects;
    mod seats;
    mod strategies;
    mod stuck;
    mod totality;
}
