//! The journal: what each kind of it promises, on a disk that fails, and the tools that look into its files.

#![allow(
    clippy::self_named_module_files,
    clippy::too_many_lines,
    reason = "cargo finds a test by this file; a scenario reads from its beginning to its end"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod journal {
    mod contract;
    mod faults;
    mod inspect;
    mod spool;
    mod spool_contract;
}
