//! The only reader of clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::driver::core::Moment;

/// The monotonic clock, counted from its making.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads it"
    )]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Microseconds since the clock was made. Time asleep does not count on Linux.
    pub fn now(&self) -> Moment {
        Moment(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// When, on tokio's clock, a moment will be.
    pub fn instant(&self, moment: Moment) -> tokio::time::Instant {
        (self.started + Duration::from_micros(moment.0)).into()
    }
}

/// The wall clock in milliseconds since 1970; for people and certificates, never for deadlines.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that reads it"
)]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// The machine's monotonic clock in microseconds, as systemd reads it; 0 if there is none.
pub fn monotonic_us() -> u64 {
    let read = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    read.map_or(0, |time| {
        u64::try_from(Duration::from(time).as_micros()).unwrap_or(u64::MAX)
    })
}

/// Milliseconds since the boot, time asleep included; 0 if there is no such clock. Every process of the
/// machine reads the same.
pub fn boot_ms() -> u64 {
    let read = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    read.map_or(0, |time| {
        u64::try_from(Duration::from(time).as_millis()).unwrap_or(u64::MAX)
    })
}
