//! What the measurements share: a real server process, lean clients, a report.

#![allow(dead_code, reason = "no program has every part and every peer")]

pub mod load;
pub mod mcp;
pub mod nats;
pub mod options;
pub mod process;
pub mod queue;
pub mod redis;
pub mod report;
pub mod server;
pub mod talk;
pub mod ws;

/// The middle of what was measured; of an even number, the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The value that this share of what was measured does not exceed. Sorts it.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let index = (last as f64 * share).ceil() as usize;
    values.get(index.min(last)).copied().unwrap_or(f64::NAN)
}
