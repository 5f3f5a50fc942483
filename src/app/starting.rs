//! The time between bound listeners and a coordinator that serves. Requests in this time are told what the
//! start waits for: page requests at once, agents after a short wait.

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

/// How long an agent that connects during a start waits before it is refused. Clients wait longer than this
/// for a handshake.
const HOLD: Duration = Duration::from_secs(3);
/// How often the service manager is told what the start waits for.
const TELL_PERIOD: Duration = Duration::from_secs(1);
/// By how much the service manager's timeout is extended each time that the start makes progress.
const EXTENSION: Duration = Duration::from_mins(1);
/// When to retry during a start.
const RETRY_AFTER_MS: u64 = 1_000;

/// The state of a start; cheap to clone.
#[derive(Clone)]
pub(super) struct Starting(Arc<StartState>);

struct StartState {
    core: CoreConfig,
    clock: Clock,
    begun: Moment,
    live: Live,
    /// Records of the journal that were applied so far.
    records: AtomicU64,
    /// For a shared journal: set before its lines are established.
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

    /// From now on the driver knows what the start waits for.
    pub(super) fn driven_by(&self, driver: &Driver) {
        // There is one driver in a run.
        let _ = self.0.driver.set(driver.clone());
    }

    /// The answer of the agents' port until its routes are ready.
    pub(super) fn front(&self, door: &Door) -> Router {
        let (pages, holding, refusing) = (self.clone(), self.clone(), self.clone());
        let room = WaitingRoom {
            hold: Arc::new(move || holding.hold()),
            refusal: Arc::new(move || refusing.refusal()),
        };
        let pages = health::routes(Arc::new(move || pages.health()));
        pages.fallback_service(door.waiting_room(room))
    }

    /// A request does not wait for something that may not come, such as an unreachable store.
    fn hold(&self) -> Duration {
        if self.health().status == Condition::JournalUnreachable.as_str() {
            Duration::ZERO
        } else {
            HOLD
        }
    }

    /// The answer of the metrics port until its routes are ready: a scraper retries by itself.
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

    /// Waits for the start, and tells the service manager and the log what it waits for. It asks the manager
    /// for more time while the start makes progress or waits for a store.
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
                "the shared journal cannot be reached"
            } else {
                "finishing the start"
            };
            text.to_owned()
        });
        format!("starting: {waits}")
    }
}
