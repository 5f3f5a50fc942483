//! Serves under a service manager, if there is one: reports its status, and handles signals.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::fleet::Fleet;
use super::greeting::url;
use super::reload::Reloader;
use super::running::RunningCoordinator;
use super::supervise::Supervisor;
use super::{AppError, Hangup, Surroundings};
use crate::clock;
use crate::config::Config;
use crate::edge::systemd::Manager;

/// Serves until a signal ends it; reloads the configuration at each reload signal.
pub(super) async fn serve(
    running: RunningCoordinator,
    config: &Config,
    surroundings: &Surroundings<'_>,
    manager: &Arc<Manager>,
) -> Result<(), AppError> {
    let mut signals = ProcessSignals::new()?;
    let serving = format!("serving agents on {}", url(config));
    manager.ready(&serving);
    let (remark, remarks) = watch::channel(String::new());
    let supervisor = Supervisor {
        driver: running.driver.clone(),
        listeners: running.accepting.clone(),
        live: running.live.clone(),
        manager: Arc::clone(manager),
        metrics: running.metrics.clone(),
        serving: serving.clone(),
        remark: remarks,
    };
    let supervising = tokio::spawn(supervisor.run());
    let reloader = Reloader {
        started: config,
        surroundings,
        driver: running.driver.clone(),
        live: running.live.clone(),
        security: Arc::clone(&running.security),
        metrics: running.metrics.clone(),
        push: running.push.as_ref().map(|push| push.orders.clone()),
        mqtt: running.fleet.as_ref().map(Fleet::reloads),
        remark,
    };
    while running.until(signals.next(surroundings.hangup)).await? == Wish::Reload {
        manager.reloading(clock::monotonic_us(), "reloading the configuration");
        let remark = reloader.reload();
        let separator = if remark.is_empty() { "" } else { "; " };
        manager.ready(&format!("{serving}{separator}{remark}"));
    }
    supervising.abort();
    manager.stopping("stopping: finishing current requests first");
    running.end().await
}

/// The action of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    End,
    Reload,
}

/// The handled signals.
struct ProcessSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl ProcessSignals {
    fn new() -> Result<Self, AppError> {
        let handler = |kind| {
            signal(kind).map_err(|source| AppError::Start {
                what: "the signal handlers",
                source,
            })
        };
        Ok(Self {
            terminate: handler(SignalKind::terminate())?,
            interrupt: handler(SignalKind::interrupt())?,
            hangup: handler(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self, hangup: Hangup) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.hangup.recv() => match hangup {
                Hangup::Reload => Wish::Reload,
                Hangup::Stop => Wish::End,
            },
        }
    }
}
