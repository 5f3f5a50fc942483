//! The time from bound listeners to a coordinator that serves. Whoever asks meanwhile is told what is
//! waited for: pages at once, agents after they waited for a moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use tokio::time::{Instant, interval_at};

use super::live::Live;
use super::{health_of, supervise};
use crate::build_info::VERSION;
use crate::clock::Clock;
use crate::driver::core::{CoreConfig, Moment};
use crate::driver::line::Condition;
use crate::driver::shell::Driver;
use crate::edge::systemd::Manager;
use crate::http::access::not_yet;
use crate::http::health::{self, Health};
use crate::http::{self, Door, WaitingRoom};

/// How long an agent that connects during a start is kept waiting before it is refused. Clients wait
/// longer than this for a handshake.
const HOLD: Duration = Duration::from_secs(3);
/// How often the service manager is told what is waited for.
const TELL_PERIOD: Duration = Duration::from_secs(1);
/// How much longer the service manager is to wait, each time that something has gone on.
const EXTENSION: Duration = Duration::from_mins(1);
/// When it makes sense to ask again during a start.
const RETRY_AFTER_MS: u64 = 1_000;

/// A start under way; cheap to clone.
#[derive(Clone)]
pub(super) struct Starting(Arc<StartState>);

struct StartState {
    core: CoreConfig,
    clock: Clock,
    begun: Moment,
    live: Live,
    /// Records of the journal that were applied so far.
    records: AtomicU64,
    /// Of a shared journal: there before its lines are established.
    driver: OnceLock<Driver>,
}

impl Starting {
    pub(super) fn new(core: CoreConfig, clock: Clock, live: Live) -> Self {
        Self(Arc::new(StartState {
            core,
            clock,
            begun: clock.now(),
            live,
            records: AtomicU64::new(0),
            driver: OnceLock::new(),
        }))
    }

    /// The journal was replayed so far.
    pub(super) fn replayed(&self, records: u64) {
        self.0.records.store(records, Ordering::Relaxed);
    }

    /// From now on the driver knows what is waited for.
    pub(super) fn driven_by(&self, driver: &Driver) {
        // There is one driver in a run.
        let _ = self.0.driver.set(driver.clone());
    }

    /// What the agents' port answers until its door opens.
    pub(super) fn front(&self, door: &Door) -> Router {
        let (pages, holding, refusing) = (self.clone(), self.clone(), self.clone());
        let room = WaitingRoom {
            hold: Arc::new(move || holding.hold()),
            refusal: Arc::new(move || refusing.refusal()),
        };
        let pages = health::routes(Arc::new(move || pages.health()));
        pages.fallback_service(door.waiting_room(room))
    }

    /// Nobody is kept waiting for what may not come, such as a store that is out of reach.
    fn hold(&self) -> Duration {
        if self.health().status == Condition::JournalUnreachable.as_str() {
            Duration::ZERO
        } else {
            HOLD
        }
    }

    /// What the metrics port answers until its door opens: a scraper comes again by itself.
    pub(super) fn scrapes(&self) -> Router {
        let refusing = self.clone();
        Router::new().fallback(move || async move { refusing.refusal() })
    }

    fn refusal(&self) -> Response {
        let retry_after_ms = self.health().retry_after_ms.unwrap_or(RETRY_AFTER_MS);
        not_yet(
            &format!("the coordinator is {}", self.text()),
            retry_after_ms,
        )
    }

    fn health(&self) -> Health {
        let StartState {
            core, clock, live, ..
        } = &*self.0;
        if let Some(driver) = self.0.driver.get() {
            return health_of(driver, live);
        }
        let reading = supervise::reading(live);
        Health {
            status: Condition::Starting.as_str(),
            stage: Some("replaying"),
            waiting_for: Some(self.replaying()),
            retry_after_ms: Some(RETRY_AFTER_MS),
            service: http::health::SERVICE,
            version: VERSION,
            node: core.node.to_string(),
            environment: core.environment.clone(),
            port_fingerprint: core.port_fingerprint.to_string(),
            journal: core.journal,
            draining: false,
            storage_full: false,
            durability_warnings: 0,
            connections_port_mismatch: 0,
            coordinators_port_mismatch: 0,
            clock: reading.clock(),
            certificate: reading.certificate,
            uptime_ms: clock.now().since_us(self.0.begun) / 1_000,
        }
    }

    fn replaying(&self) -> String {
        match self.0.records.load(Ordering::Relaxed) {
            0 => "reading the journal".to_owned(),
            records => format!("replaying the journal: {records} records so far"),
        }
    }

    /// Waits for the start, and tells the service manager and the log what it waits for. The manager
    /// is asked for more time as long as something goes on, or there is a store to wait for.
    pub(super) async fn telling<T>(
        &self,
        start: impl Future<Output = T>,
        manager: Option<&Manager>,
    ) -> T {
        let mut ticks = interval_at(Instant::now() + TELL_PERIOD, TELL_PERIOD);
        let (mut told, mut logged, mut records) = (String::new(), None, 0);
        let mut start = std::pin::pin!(start);
        loop {
            tokio::select! {
                done = &mut start => return done,
                _ = ticks.tick() => {}
            }
            let (stage, text) = (self.health().stage, self.text());
            let replayed = self.0.records.load(Ordering::Relaxed);
            if self.0.driver.get().is_some() || replayed > records {
                records = replayed;
                manager.inspect(|manager| manager.extend_timeout(EXTENSION));
            }
            if logged != Some(stage) {
                tracing::info!("{text}");
                logged = Some(stage);
            }
            if text != told {
                manager.inspect(|manager| manager.status(&text));
                told = text;
            }
        }
    }

    fn text(&self) -> String {
        let health = self.health();
        let unreachable = Condition::JournalUnreachable.as_str();
        let waits = health.waiting_for.unwrap_or_else(|| {
            let out_of_reach = health.status == unreachable;
            let text = if out_of_reach {
                "the shared journal is out of reach"
            } else {
                "finishing the start"
            };
            text.to_owned()
        });
        format!("starting: {waits}")
    }
}
