//! `cli-coordinator`: the place on an edge gateway where command-line AI agents work together.

pub mod app;
pub mod build_info;
pub mod causes;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod difference;
pub mod driver;
pub mod edge;
pub mod engine;
pub mod http;
pub mod journal;
pub mod link;
pub mod mcp;
pub mod metrics;
pub mod mqtt;
pub mod page;
pub mod planted;
pub mod protocol;
pub mod push;
pub mod text;
pub mod ws;
