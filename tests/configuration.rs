//! What was typed, and what is meant by it: settings and where they come from, profiles, ports.

#![allow(
    clippy::self_named_module_files,
    clippy::too_many_lines,
    reason = "cargo finds a test by this file; a scenario reads from its beginning to its end"
)]

mod configuration {
    mod commands;
    mod ports;
    mod values;
}
