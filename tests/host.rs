//! What `coord` does for its host beside coordinating: firewall, ports and their holders, service, files for
//! other programs, health and self-test; with real programs, packets and service managers.

#![allow(
    clippy::self_named_module_files,
    clippy::too_many_lines,
    reason = "cargo finds a test by this file; a scenario reads from its beginning to its end"
)]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "nothing outside uses a test, and it fails by panicking"
)]

mod remote_write;
mod support;

mod host {
    mod firewall;
    mod health;
    mod holders;
    mod metrics;
    mod mqtt;
    mod push;
    mod render;
    mod self_test;
    mod systemd;
}
