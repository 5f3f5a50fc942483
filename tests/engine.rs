//! Properties of the engine, each against a naive model or against what must hold for any input.

mod naive_stuck;

mod engine {
    mod bench;
    mod cursors;
    mod globs;
    mod graphs;
    mod mailboxes;
    mod ordering;
    mod strategies;
    mod stuck;
    mod totality;
}
