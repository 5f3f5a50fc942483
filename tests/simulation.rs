//! Deterministic simulation of the code that ships: one coordinator over a disk, a clock and a network that
//! fail, and several over a shared store that fails over and forgets.

#![allow(
    clippy::self_named_module_files,
    clippy::too_many_lines,
    reason = "cargo finds a test by this file; a scenario reads from its beginning to its end"
)]
#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::cast_possible_truncation,
    clippy::similar_names,
    clippy::unused_self,
    clippy::unwrap_used,
    reason = "names of operations end like files do; counts are small; a test fails by panicking; the rest reads better so"
)]

mod naive_ensure;
mod naive_paths;
mod naive_stuck;
mod remote_write;
mod store_contract;

mod simulation {
    mod alone;
    mod chance;
    mod ensuring;
    mod mqtt;
    mod pushing;
    mod rules;
    mod seats;
    mod seeds;
    mod shared;
    mod violation;
}
