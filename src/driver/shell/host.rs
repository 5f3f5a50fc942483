//! The host of a line: the driver, or the simulation instead.

use std::future::Future;
use std::time::Duration;

use super::Driver;
use crate::driver::core::{Core, Moment};
use crate::metrics::Metrics;

/// What a line needs around it: the core behind its lock, time, and ways to report. The simulation implements it
/// too, so that it runs the shipped code of the line.
pub trait LineHost: Send + Sync + 'static {
    /// Calls the core and carries out its effects.
    fn with_core<T>(&self, call: impl FnOnce(&mut Core, Moment) -> T) -> T;
    fn inspect<T>(&self, look: impl FnOnce(&Core) -> T) -> T;
    fn now(&self) -> Moment;
    fn metrics(&self) -> &Metrics;
    /// Records how many commands an append had, and how long it took.
    fn observe_append(&self, commands: usize, micros: u64);
    /// The core may have reached a state that a task waits for.
    fn settled(&self);
    /// The journal has failed permanently; a retry does not help.
    fn fail(&self, why: String);
    fn pause(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

impl LineHost for Driver {
    fn with_core<T>(&self, call: impl FnOnce(&mut Core, Moment) -> T) -> T {
        self.with_core(None, call)
    }

    fn inspect<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        self.inspect(look)
    }

    fn now(&self) -> Moment {
        self.now()
    }

    fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    fn observe_append(&self, commands: usize, micros: u64) {
        self.observe_append(commands, micros);
    }

    fn settled(&self) {
        self.shared.settled.notify_waiters();
    }

    fn fail(&self, why: String) {
        self.fail_with(why);
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
