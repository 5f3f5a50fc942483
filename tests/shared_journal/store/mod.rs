//! The store of a shared journal in Redis: every call and every refusal, on real servers.

mod calls;
mod cluster;
mod contract;
mod fixture;
mod refusals;
mod replicas;
mod sentinel;
mod tls;
