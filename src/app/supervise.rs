//! The coordinator checks itself: the driver answers, the journal can sync, the listeners accept. The service
//! manager gets a heartbeat only while all of them work.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::live::Live;
use super::wall_clock::{self, CertificateState};
use crate::driver::core::Core;
use crate::driver::line::Condition;
use crate::driver::shell::Driver;
use crate::edge::systemd::Manager;
use crate::http::Accepting;
use crate::metrics::Metrics;

/// The interval of self-checks without a watchdog.
const PERIOD: Duration = Duration::from_secs(30);
/// Heartbeats within the watchdog's timeout. One check may take a whole period, and the next heartbeat is
/// still in time.
const SIGNS_PER_WATCHDOG: u32 = 3;

/// One listener, and its name.
pub(super) type Listener = (&'static str, Arc<Accepting>);

pub(super) struct Supervisor {
    pub(super) driver: Driver,
    pub(super) listeners: Vec<Listener>,
    pub(super) live: Live,
    pub(super) manager: Arc<Manager>,
    pub(super) metrics: Metrics,
    /// The status text when all is well; it begins with the address.
    pub(super) serving: String,
    /// Something an operator should know, after a reload.
    pub(super) remark: tokio::sync::watch::Receiver<String>,
}

/// The last reported status, so that only changes are reported.
#[derive(Default)]
struct Told {
    status: String,
    clock: Option<&'static str>,
    /// The number of syncs at the last check.
    syncs: u64,
}

impl Supervisor {
    /// Checks in a loop, until it is dropped.
    pub(super) async fn run(mut self) {
        let watchdog = self.manager.watchdog();
        let period = watchdog.map_or(PERIOD, |within| within / SIGNS_PER_WATCHDOG);
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Told::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                // A remark is told at once; the sender goes only when all ends.
                changed = self.remark.changed() => if changed.is_err() { return },
            }
            self.look(period, &mut told).await;
        }
    }

    async fn look(&self, period: Duration, told: &mut Told) {
        let silent = self.silent(period, told).await;
        self.look_at_clock(told);
        for part in &silent {
            tracing::error!(part, ?period, "a part of the coordinator does not respond");
            self.metrics
                .self_checks_failed
                .with_label_values(&[part])
                .inc();
        }
        let status = if silent.is_empty() {
            self.manager.alive();
            self.status(told)
        } else {
            format!("unhealthy: no answer from {}", silent.join(" and "))
        };
        if status != told.status {
            self.manager.status(&status);
            told.status = status;
        }
    }

    /// The parts that did not answer within `period`. If this runs at all, the driver's lock is free and its
    /// thread runs.
    async fn silent(&self, period: Duration, told: &mut Told) -> Vec<&'static str> {
        let journal = async {
            // If the journal synced by itself, no extra sync is needed.
            let syncs = self.driver.inspect(|core| core.journal_status().syncs);
            if syncs == told.syncs {
                timeout(period, self.driver.check_sync()).await.is_err()
            } else {
                told.syncs = syncs;
                false
            }
        };
        let listeners = self.listeners.iter().map(async |(name, accepting)| {
            let asked = timeout(period, accepting.ask()).await;
            match asked {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    tracing::warn!(listener = name, %error, "cannot connect to the coordinator's own port");
                    Some(*name)
                }
                Err(_) => Some(*name),
            }
        });
        let (journal, listeners) = tokio::join!(journal, futures_util::future::join_all(listeners));
        let journal = journal.then_some("the journal");
        journal
            .into_iter()
            .chain(listeners.into_iter().flatten())
            .collect()
    }

    fn look_at_clock(&self, told: &mut Told) {
        let reading = reading(&self.live);
        self.metrics
            .clock_wrong
            .set(i64::from(reading.trouble.is_some()));
        if told.clock == Some(reading.clock()) {
            return;
        }
        match (reading.trouble, told.clock) {
            (Some(trouble), _) => tracing::warn!("{trouble}"),
            (None, Some(_)) => tracing::info!("the clock and the certificate agree again"),
            (None, None) => {}
        }
        told.clock = Some(reading.clock());
    }

    fn status(&self, told: &Told) -> String {
        let now = self.driver.now();
        let look = |core: &Core| (core.connection_count(), core.readiness(now));
        let (connections, readiness) = self.driver.inspect(look);
        let mut text = format!("{}, {connections} connections", self.serving);
        match (readiness.condition, readiness.waiting_for) {
            (Condition::StorageFull, _) => {
                text.push_str("; the disk is full: work can be finished, but not started");
            }
            (Condition::JournalUnreachable, _) => {
                text.push_str("; the shared journal cannot be reached");
            }
            (_, Some((_, waits))) => {
                text.push_str("; not ready: ");
                text.push_str(&waits);
            }
            _ => {}
        }
        if told.clock.is_some_and(|clock| clock != "right") {
            text.push_str("; the clock or the certificate is wrong, see the log");
        }
        let remark = self.remark.borrow();
        if !remark.is_empty() {
            text.push_str("; ");
            text.push_str(&remark);
        }
        text
    }
}

/// The present state of clock and certificate.
pub(super) fn reading(live: &Live) -> wall_clock::Reading {
    let values = live.values();
    let certificate = match values.tls.as_ref().map(|tls| tls.validity) {
        None => CertificateState::None,
        Some(None) => CertificateState::Unreadable,
        Some(Some(validity)) => CertificateState::Valid(validity),
    };
    wall_clock::read(certificate)
}
