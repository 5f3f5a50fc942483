//! What is written down and must stay so: the pages, the layers of the source, the journals of older formats.

#![allow(
    clippy::self_named_module_files,
    clippy::too_many_lines,
    reason = "cargo finds a test by this file; a scenario reads from its beginning to its end"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference {
    mod golden;
    mod layers;
    mod metrics;
    mod pages;
    mod tools;
}
