//! Serves under a service manager, which may be nobody: says how it is, listens to signals.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::greeting::url;
use super::reload::Reloader;
use super::running::RunningCoordinator;
use super::supervise::Supervisor;
use super::{AppError, Hangup, Surroundings};
use crate::clock;
use crate::config::Config;
use crate::edge::systemd::Manager;

/// Serves until a signal says that it ends; reads the configuration anew as often as one says so.
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
        metrics: running.metrics.clone(),
        remark,
    };
    while running.until(signals.next(surroundings.hangup)).await? == Wish::Reload {
        manager.reloading(clock::monotonic_us(), "reading the configuration anew");
        let remark = reloader.reload();
        let separator = if remark.is_empty() { "" } else { "; " };
        manager.ready(&format!("{serving}{separator}{remark}"));
    }
    supervising.abort();
    manager.stopping("stopping: what is under way is finished first");
    running.end().await
}

/// What a signal wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    End,
    Reload,
}

/// The signals that mean something.
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
