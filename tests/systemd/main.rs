//! The service under a real systemd, in a container that boots; and, without one, what it tells a
//! service manager and takes from it.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its parts are nobody else's"
)]

mod boot;
mod clock;
mod disk;
mod image;
mod load;
mod machine;
mod manager;
mod notify;
mod outside;
mod sockets;
mod stages;

#[path = "../support/mod.rs"]
mod support;
