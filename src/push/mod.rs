//! Push: what a box tells a central Prometheus that cannot reach it.

pub mod backlog;
pub mod spool;
