//! What surrounds a line: the driver, or the simulation in its place.

use std::future::Future;
use std::time::Duration;

use super::Driver;
use crate::driver::core::{Core, Moment};
use crate::metrics::Metrics;

/// What surrounds a line: the core behind its lock, time, and whom to tell. In the simulation that is
/// not the driver, and this is the very code that ships.
pub trait Host: Send + Sync + 'static {
    /// Calls the core and carries out its effects.
    fn with_core<T>(&self, call: impl FnOnce(&mut Core, Moment) -> T) -> T;
    fn inspect<T>(&self, look: impl FnOnce(&Core) -> T) -> T;
    fn now(&self) -> Moment;
    fn metrics(&self) -> &Metrics;
    /// Notes an append of so many commands, and how long it took.
    fn observe_append(&self, commands: usize, micros: u64);
    /// Something was reached that somebody may wait for.
    fn settled(&self);
    /// The journal is of no use, and trying again does not help.
    fn fail(&self, why: String);
    fn pause(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

impl Host for Driver {
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
