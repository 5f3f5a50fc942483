//! What `coord` does for its host, the gateway, beside coordinating: ports and who holds them, firewall, service,
//! files for other programs, and whether all of it works.

pub mod firewall;
pub mod holders;
pub mod nft;
pub mod ports;
pub mod probe;
pub mod render;
pub mod self_test;
pub mod systemd;
