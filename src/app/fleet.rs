//! What the fleet's broker gets to know: the coordinator as a source of MQTT, and its two connections.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::live::Live;
use super::{AppError, health_of, operator, supervise};
use crate::build_info::VERSION;
use crate::clock::{self, Clock};
use crate::config::{Config, MqttConfig, MqttEvents, TopicPath};
use crate::driver::core::Core;
use crate::driver::history::{HistoryRead, Publisher};
use crate::driver::shell::Driver;
use crate::engine::ids::{Cursor, ProjectName};
use crate::engine::tasks::TaskState;
use crate::metrics::{Metrics, MetricsScope};
use crate::mqtt::client::Setup;
use crate::mqtt::face::{BoxIdentity, Face};
use crate::mqtt::run::Runner;
use crate::mqtt::{CursorFile, Source};

/// The folder of the cursors, below the state directory.
const FOLDER: &str = "mqtt";
/// A goodbye takes at most a second, and writing it half of one.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The running connections to a broker.
pub(super) struct Fleet {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    config: watch::Sender<Arc<MqttConfig>>,
}

/// The driver and what surrounds it, as MQTT reads them.
struct Readings {
    driver: Driver,
    live: Live,
}

impl Fleet {
    /// Starts what the configuration asks for.
    pub(super) fn start(
        config: &Config,
        driver: &Driver,
        live: &Live,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<Option<Self>, AppError> {
        let Some(mqtt) = &config.mqtt else {
            return Ok(None);
        };
        let (stop, stopped) = watch::channel(false);
        let (sender, present) = watch::channel(Arc::new(mqtt.clone()));
        let (driver, live) = (driver.clone(), live.clone());
        let source = Arc::new(Readings {
            driver: driver.clone(),
            live,
        });
        let mut tasks = JoinSet::new();
        let runner = |face, events, metrics: &Metrics| Runner {
            setup: setup(mqtt, face, events),
            config: present.clone(),
            source: Arc::clone(&source) as Arc<_>,
            news: Arc::default(),
            cursors: None,
            clock,
            metrics: metrics.mqtt.clone(),
            told: Box::new(|_, _| {}),
            random: random(),
            stop: stopped.clone(),
        };
        if mqtt.thin_edge {
            let face = Face::ThinEdge {
                pid: std::process::id(),
                version: VERSION,
            };
            // The metrics are those of the connection to the fleet.
            let hidden = Metrics::new(&[], MetricsScope::default());
            tasks.spawn(runner(face, false, &hidden).run());
        }
        let events = mqtt.events == MqttEvents::All;
        let mut of_fleet = runner(face(config, mqtt, &driver), events, metrics);
        of_fleet.news = driver.begin_reading();
        if events {
            let opened = CursorFile::open(&config.state_dir.join(FOLDER));
            of_fleet.cursors = Some(opened.map_err(|source| AppError::Start {
                what: "MQTT: the file of its cursors",
                source,
            })?);
        }
        of_fleet.told = Box::new(move |status, can| driver.set_mqtt_status(status, can));
        tasks.spawn(of_fleet.run());
        Ok(Some(Self {
            tasks,
            stop,
            config: sender,
        }))
    }

    /// The watch by which a reload hands over a new configuration.
    pub(super) fn reloads(&self) -> watch::Sender<Arc<MqttConfig>> {
        self.config.clone()
    }

    /// Says goodbye to the broker.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
            tracing::warn!("stopped without having said goodbye to the MQTT broker");
        }
    }
}

fn face(config: &Config, mqtt: &MqttConfig, driver: &Driver) -> Face {
    Face::Fleet {
        identity: BoxIdentity {
            run: format!("{:016x}", random()),
            node: driver.inspect(|core| core.config().node.to_string()),
            name: mqtt.node.as_str().to_owned(),
            version: VERSION,
            environment: config.profile.name().to_owned(),
        },
        root: mqtt.root(),
        health_interval_ms: u64::try_from(mqtt.health_interval.as_millis()).unwrap_or(u64::MAX),
    }
}

fn random() -> u64 {
    let bytes = operator::random();
    u64::from_le_bytes(std::array::from_fn(|at| bytes[at]))
}

fn setup(config: &MqttConfig, face: Face, events: bool) -> Setup {
    let home_assistant = config.home_assistant_prefix.as_ref();
    let is_fleet = matches!(face, Face::Fleet { .. });
    let suffix = if is_fleet { "" } else { "-thin-edge" };
    Setup {
        version: config.version,
        client_id: format!("{}{suffix}", config.client_id),
        keep_alive: config.keep_alive,
        health_interval: config.health_interval,
        events,
        announcements: face.announcements(home_assistant.map(TopicPath::as_str)),
        face,
    }
}

impl Source for Readings {
    fn condition(&self) -> &'static str {
        let now = self.driver.now();
        let failed = self.driver.failure().borrow().is_some();
        if failed {
            return "failed";
        }
        let readiness = self.driver.inspect(|core| core.readiness(now));
        readiness.condition.as_str()
    }

    fn health(&self) -> String {
        let mut health = json!(health_of(&self.driver, &self.live));
        let work = self.driver.inspect(work);
        if let (Value::Object(health), Value::Object(work)) = (&mut health, work) {
            health.insert("v".to_owned(), crate::mqtt::face::PAYLOAD_VERSION.into());
            health.extend(work);
            health.insert("wall_ms".to_owned(), json!(self.wall_ms()));
        }
        health.to_string()
    }

    fn wall_ms(&self) -> Option<u64> {
        let wrong = supervise::reading(&self.live).trouble.is_some();
        (!wrong).then(clock::wall_ms)
    }

    fn publisher(&self) -> Publisher {
        self.driver.inspect(Core::publisher)
    }

    fn projects(&self) -> Vec<ProjectName> {
        self.driver.inspect(Core::readable_projects)
    }

    fn end(&self, project: &ProjectName) -> Option<Cursor> {
        self.driver.inspect(|core| core.history_end(project))
    }

    fn read(&self, project: &ProjectName, after: Option<Cursor>, events_max: usize) -> HistoryRead {
        self.driver
            .inspect(|core| core.read_history(project, after, events_max))
    }

    fn count_after(&self, project: &ProjectName, after: Option<Cursor>) -> u64 {
        self.driver
            .inspect(|core| core.events_after(project, after))
    }
}

/// The work of all projects together.
fn work(core: &Core) -> Value {
    let (mut ready, mut claimed, mut present, mut oldest_ms) = (0_u64, 0_u64, 0_u64, 0);
    for (_, engine) in core.engines() {
        let state = engine.state();
        for task in state.tasks.values() {
            match task.state {
                TaskState::Ready => ready += 1,
                TaskState::Claimed(_) => claimed += 1,
                _ => {}
            }
        }
        let here = state
            .agents
            .values()
            .filter(|a| a.presence.as_str() != "gone");
        present += here.count() as u64;
        let waiting = state.messages.values().filter(|m| !m.pending.is_empty());
        let oldest = waiting.map(|m| m.sent_at).min();
        let age_ms = oldest.map_or(0, |sent_at| state.now.since_ms(sent_at));
        oldest_ms = age_ms.max(oldest_ms);
    }
    json!({
        "tasks_ready": ready,
        "tasks_claimed": claimed,
        "agents_present": present,
        "connections": core.connection_count(),
        "journal_disk_bytes": core.journal_status().disk_bytes,
        "oldest_message_s": oldest_ms / 1_000,
    })
}
