//! What `coord` does for its host beside coordinating: ports and their holders, firewall, service, generated
//! files, and self-tests.

pub mod firewall;
pub mod holders;
pub mod nft;
pub mod ports;
pub mod probe;
pub mod render;
pub mod self_test;
pub mod systemd;
