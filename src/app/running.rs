//! A running coordinator, and its orderly stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::AppError;
use super::fleet::Fleet;
use super::live::Live;
use super::push::Pushing;
use super::supervise::Listener;
use crate::driver::core::Core;
use crate::driver::shell::Driver;
use crate::http::scrape::Security;
use crate::metrics::Metrics;

/// How long a stop waits for connections without a request yet.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a stop waits for requests in progress.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A running coordinator.
pub(super) struct RunningCoordinator {
    pub(super) driver: Driver,
    pub(super) live: Live,
    /// Of the metrics port.
    pub(super) security: Arc<Security>,
    pub(super) metrics: Metrics,
    /// `None`: metrics are only scraped.
    pub(super) push: Option<Pushing>,
    /// `None`: no broker is configured.
    pub(super) fleet: Option<Fleet>,
    /// Checks that each listener accepts.
    pub(super) accepting: Vec<Listener>,
    /// The listeners and their connections.
    pub(super) serving: JoinSet<()>,
    pub(super) close: watch::Sender<bool>,
}

impl RunningCoordinator {
    /// Waits for a future, unless the journal fails before.
    pub(super) async fn until<T>(&self, awaited: impl Future<Output = T>) -> Result<T, AppError> {
        let mut failure = self.driver.failure();
        tokio::select! {
            come = awaited => Ok(come),
            failed = failure.wait_for(Option::is_some) => {
                let text = failed.ok().and_then(|text| text.clone()).unwrap_or_default();
                Err(AppError::JournalFailed(text))
            }
        }
    }

    /// Stops in order, so that every request gets an answer.
    pub(super) async fn end(mut self) -> Result<(), AppError> {
        tracing::info!("stopping: finishing current requests first");
        self.close.send_replace(true);
        let mut serving = std::mem::take(&mut self.serving);
        let closed = async { while serving.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            tracing::warn!("stopped while some connections had not sent a request yet");
        }
        let driver = &self.driver;
        driver.drain();
        let drained = async {
            driver.settled().await;
            driver.end_all("the coordinator is stopping");
            driver.emptied().await;
            driver.settled().await;
        };
        let drained = tokio::time::timeout(DRAIN_TIMEOUT, drained);
        if self.until(drained).await?.is_err() {
            let left = driver.inspect(Core::connection_count);
            tracing::warn!(
                connections = left,
                "stopped while some connections had not closed in time"
            );
        }
        if let Some(push) = self.push {
            push.stop().await;
        }
        // Last, so that the broker got the events of the drain, or its cursors stand before them.
        if let Some(fleet) = self.fleet.take() {
            fleet.stop().await;
        }
        Ok(())
    }
}
