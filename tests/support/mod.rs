//! What tests of the real binary share: a coordinator process, clients, plain HTTP, ports.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

pub mod client;
pub mod coordinator;
pub mod http;
pub mod load;
pub mod port;
pub mod random;
pub mod redis;
pub mod waiting;

pub use client::{Client, RpcFailure};
pub use coordinator::Coordinator;
pub use waiting::{PATIENCE, POLL, until, within};
