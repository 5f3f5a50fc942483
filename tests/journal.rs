//! The journal: what each kind of it promises, on a disk that fails, and the tools that look into its files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod journal {
    mod contract;
    mod faults;
    mod inspect;
}
