//! The loop of the thread: gathers when it is time, and lets the sender say what to do.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::super::operator;
use super::{Order, Source, user_agent};
use crate::causes;
use crate::clock;
use crate::config::{PushConfig, PushProtocol};
use crate::metrics::PushMetrics;
use crate::protocol::admin::PushStatus;
use crate::push::encode::ExternalLabels;
use crate::push::sender::{self, Effect, Event, Fate, Now, Rules, Sender, State, Trouble};
use crate::push::series::Gathering;
use crate::push::spool::{SharedSpool, SpoolState};
use crate::push::transport::{Said, Transport, TransportError};

/// How often the log tells of records that the receiver rejects.
const REJECTED_TOLD_MS: u64 = 60_000;
/// Nothing waits longer without a look at the clock.
const LOOK_MS: u64 = 10_000;

/// Everything on the thread but the connection.
pub(super) struct Pusher {
    sender: Sender,
    /// Where the sender's records go that wait for long.
    spool: SharedSpool,
    gathering: Gathering,
    source: Source,
    metrics: PushMetrics,
    config: Arc<PushConfig>,
    interval_ms: u64,
    /// When the next gathering is due.
    due: u64,
    told: (State, Option<u64>),
    /// What is wrong, as far as is known.
    remark: Option<String>,
}

impl Pusher {
    pub(super) fn new(
        push: &Arc<PushConfig>,
        labels: ExternalLabels,
        spool: SharedSpool,
        metrics: PushMetrics,
        source: Source,
    ) -> Self {
        for fate in Fate::ALL {
            metrics
                .records
                .with_label_values(&[fate.as_str()])
                .inc_by(0);
        }
        for trouble in Trouble::ALL {
            metrics
                .failures
                .with_label_values(&[trouble.as_str()])
                .inc_by(0);
        }
        let rules = Rules {
            interval_ms: push.interval_ms,
            max_age_ms: push.max_age_ms,
            catch_up_per_second: push.catch_up_per_second,
            protocol: push.protocol,
        };
        let random = operator::random();
        let number = |at: usize| {
            random[at..]
                .iter()
                .take(8)
                .fold(0, |all, byte| all << 8 | u64::from(*byte))
        };
        let (now, backlog) = (now(false), Box::new(spool.clone()));
        Self {
            sender: Sender::new(rules, labels, backlog, (number(0), number(8)), now),
            spool,
            gathering: Gathering::default(),
            source,
            metrics,
            config: Arc::clone(push),
            interval_ms: push.interval_ms,
            due: now.mono_ms,
            told: (State::Starting, None),
            remark: None,
        }
    }

    pub(super) async fn run(
        mut self,
        mut transport: Transport,
        mut orders: watch::Receiver<Order>,
    ) {
        while self.obey(&mut transport, &mut orders) {
            let wait_ms = match self.sender.next(now(transport.is_connected())) {
                Effect::Counted(fate, count) => {
                    self.count(fate, count);
                    continue;
                }
                Effect::Request(request) => {
                    let has_samples = request.time_ms.is_some();
                    let said = self.exchange(&mut transport, request, &mut orders).await;
                    let Some(said) = said else { break };
                    self.take_up(said, has_samples, now(transport.is_connected()));
                    continue;
                }
                Effect::Wait(until) => self.gather_if_due(until),
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                // Who gives orders is gone only with the process.
                changed = orders.changed() => if changed.is_err() { break },
            }
        }
        self.sender.handle(Event::Stop, now(false));
        self.spool.close();
        self.show();
    }

    /// Sends a request, and gathers meanwhile. `None`: the coordinator stops.
    async fn exchange(
        &mut self,
        transport: &mut Transport,
        request: sender::Request,
        orders: &mut watch::Receiver<Order>,
    ) -> Option<Result<Said, TransportError>> {
        let mut sending = pin!(transport.send(request));
        loop {
            // While a request is on its way there is nothing to do but to wait and to count.
            let until = match self.sender.next(now(true)) {
                Effect::Wait(until) => until,
                Effect::Counted(fate, count) => {
                    self.count(fate, count);
                    continue;
                }
                Effect::Request(_) => return None,
            };
            let wait_ms = self.gather_if_due(until);
            tokio::select! {
                said = &mut sending => return Some(said),
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                stopped = orders.wait_for(|order| matches!(order, Order::Stop)) => {
                    let _ = stopped;
                    return None;
                }
            }
        }
    }

    /// Takes up a changed configuration. False: the coordinator stops.
    fn obey(&mut self, transport: &mut Transport, orders: &mut watch::Receiver<Order>) -> bool {
        let order = orders.borrow_and_update().clone();
        let Order::Push(config, labels) = order else {
            return false;
        };
        if !Arc::ptr_eq(&config, &self.config) {
            // A new connection has the new credentials.
            *transport = Transport::new(Arc::clone(&config), &user_agent());
            self.config = config;
            self.sender.labels = labels;
        }
        true
    }

    /// Gathers if it is time. Says how long to wait, at most until `until`.
    fn gather_if_due(&mut self, until: u64) -> u64 {
        let now = now(false);
        self.spool.settle(now.mono_ms, (self.source.storage_full)());
        if now.mono_ms >= self.due {
            let late_ms = (now.mono_ms - self.due) % self.interval_ms;
            self.due = now.mono_ms + self.interval_ms - late_ms;
            self.show();
            self.record(now);
            return 0;
        }
        let wake = until.min(self.due).max(now.mono_ms);
        (wake - now.mono_ms).min(LOOK_MS)
    }

    fn record(&mut self, now: Now) {
        let Some(head) = self.sender.head(now) else {
            return tracing::debug!(
                "the clock went back: no metrics until it passes the last ones"
            );
        };
        let record = self.gathering.record(head, &(self.source.gather)());
        match record.encode() {
            Ok(record) => self.sender.handle(Event::Made(record), now),
            Err(error) => tracing::error!(%error, "cannot keep the metrics for the receiver"),
        }
    }

    fn take_up(&mut self, said: Result<Said, TransportError>, has_samples: bool, now: Now) {
        match said {
            Ok(said) => {
                self.sender.handle(Event::Answered(said.answer), now);
                // Some receivers reject what has no samples, and that is no trouble.
                let well = !has_samples && self.sender.status(now).state == State::Sending;
                let trouble = said.answer.trouble().filter(|_| !well);
                self.tell(
                    trouble,
                    || format!("HTTP {} {}", said.answer.status, said.text),
                    now,
                );
            }
            Err(error) => {
                self.sender.handle(Event::Failed, now);
                let text = || causes::one_line(&error);
                self.tell(Some(Trouble::Unreachable), text, now);
            }
        }
        self.show();
    }

    /// Counts trouble, and logs how it goes when that changes.
    fn tell(&mut self, trouble: Option<Trouble>, text: impl Fn() -> String, now: Now) {
        let state = self.sender.status(now).state;
        if let Some(trouble) = trouble {
            self.metrics
                .failures
                .with_label_values(&[trouble.as_str()])
                .inc();
            self.remark = Some(text().trim_end().to_owned());
        } else {
            self.remark = None;
        }
        let (before, told_at) = self.told;
        let said = self.remark.as_deref().unwrap_or_default();
        match state {
            State::Sending if trouble.is_some() => {
                if told_at.is_none_or(|at| now.mono_ms - at > REJECTED_TOLD_MS) {
                    tracing::warn!(said, "the receiver rejects metrics; they are dropped");
                    self.told.1 = Some(now.mono_ms);
                }
            }
            _ if state == before => {}
            State::Sending => tracing::info!("the receiver takes the metrics"),
            State::ClockWrong => {
                let offset_s = self.sender.status(now).offset_ms.unwrap_or(0) / 1_000;
                tracing::warn!(
                    offset_s,
                    "no metrics are pushed: the clock of this machine is not known to be right; correct it, or the \
                     receiver's (`coord health push`)"
                );
            }
            State::Suspended => tracing::warn!(
                said,
                "the receiver lets nobody in as we come; metrics are kept (`coord health push`)"
            ),
            State::Retrying => {
                tracing::warn!(said, "the receiver takes no metrics now; they are kept");
            }
            State::Starting => {}
        }
        self.told.0 = state;
    }

    fn count(&mut self, fate: Fate, count: u64) {
        let records = &self.metrics.records;
        records.with_label_values(&[fate.as_str()]).inc_by(count);
    }

    fn show(&self) {
        let status = self.sender.status(now(false));
        #[allow(
            clippy::cast_precision_loss,
            reason = "milliseconds are far below 2^52"
        )]
        let offset_s = status.offset_ms.unwrap_or(0) as f64 / 1e3;
        self.metrics.clock_offset.set(offset_s);
        let protocol = match status.protocol {
            PushProtocol::V1 => 1,
            PushProtocol::V2 => 2,
        };
        self.metrics.protocol.set(protocol);
        let remark = || match self.spool.status().state {
            SpoolState::Failed { reason } => {
                Some(format!("the backlog is in memory only: {reason}"))
            }
            SpoolState::Memory | SpoolState::Disk => None,
        };
        self.metrics.show(PushStatus {
            state: status.state.as_str().to_owned(),
            lag_ms: status.lag_ms,
            backlog_records: status.records,
            backlog_bytes: status.bytes,
            remark: self.remark.clone().or_else(remark),
        });
    }
}

fn now(connected: bool) -> Now {
    Now {
        mono_ms: clock::boot_ms(),
        wall_ms: clock::wall_ms(),
        connected,
    }
}
