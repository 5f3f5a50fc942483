//! `cli-coordinator`: the place on an edge gateway where command-line AI agents work together.

pub mod app;
pub mod build_info;
pub mod causes;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod driver;
pub mod engine;
pub mod firewall;
pub mod holders;
pub mod http;
pub mod journal;
pub mod link;
pub mod metrics;
pub mod nft;
pub mod planted;
pub mod ports;
pub mod probe;
pub mod protocol;
pub mod render;
pub mod self_test;
pub mod systemd;
pub mod text;
pub mod ws;
