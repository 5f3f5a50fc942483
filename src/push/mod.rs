//! Writes the metrics to a receiver of Prometheus' remote write, for a box that nobody can scrape.

pub mod backlog;
pub mod spool;
