//! What this process takes from the machine, read at each scrape.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};

use crate::clock;
use crate::metrics::Metrics;

/// The wall clock may jump by this much before the start of the process is computed anew: an unchanged start
/// must stay the same number, or every scrape looks like a restart.
const CLOCK_JUMP_S: f64 = 2.0;

/// Values that cannot be read keep their last value.
pub(super) fn refresh(uptime_ms: u64, metrics: &Metrics) {
    let process = &metrics.process;
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let used = [usage.user_time(), usage.system_time()];
        let seconds: f64 = used.iter().map(|time| seconds(*time)).sum();
        process.cpu_seconds.reset();
        process.cpu_seconds.inc_by(seconds);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let set = |gauge: &prometheus::IntGauge, name| {
            if let Some(bytes) = bytes_of(&status, name) {
                gauge.set(bytes);
            }
        };
        set(&process.resident_memory_bytes, "VmRSS:");
        set(&process.virtual_memory_bytes, "VmSize:");
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is for reading the folder.
        let count = open.count().saturating_sub(1);
        process
            .open_fds
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        process.max_fds.set(i64::try_from(soft).unwrap_or(i64::MAX));
    }
    #[allow(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 are far below 2^52"
    )]
    let started = clock::wall_ms().saturating_sub(uptime_ms) as f64 / 1e3;
    if (started - process.start_time_seconds.get()).abs() > CLOCK_JUMP_S {
        process.start_time_seconds.set(started);
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "seconds of CPU time are far below 2^52"
)]
fn seconds(time: nix::sys::time::TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

/// A line of `/proc/self/status` in bytes; the kernel counts in KiB.
fn bytes_of(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricsScope;

    #[test]
    fn memory_is_read_from_the_kernels_text() {
        let status = "Name:\tcoord\nVmSize:\t  200 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(bytes_of(status, "VmRSS:"), Some(12 * 1024));
        assert_eq!(bytes_of(status, "VmSize:"), Some(200 * 1024));
        assert_eq!(bytes_of(status, "VmSwap:"), None);
    }

    #[test]
    fn the_start_stays_the_same_number() {
        let metrics = Metrics::new(&[], MetricsScope::default());
        refresh(1_000, &metrics);
        let process = metrics.process.clone();
        let started = process.start_time_seconds.get();
        assert!(process.resident_memory_bytes.get() > 0 && process.open_fds.get() > 0);
        refresh(1_500, &metrics);
        assert!(process.start_time_seconds.get().to_bits() == started.to_bits());
    }
}
