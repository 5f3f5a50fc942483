//! The configuration of a coordinator: what is meant.

use std::path::PathBuf;
use std::time::Duration;

use super::checks;
use super::env::{Environment, Invoker};
use super::firewall::FirewallConfig;
use super::flags::Flags;
use super::journal::JournalConfig;
use super::listen::{MetricsConfig, WebSocketConfig};
use super::log::LogConfig;
use super::mqtt::{self, MqttConfig};
use super::names::NodeName;
use super::origins::Origins;
use super::places;
use super::problem::{ConfigErrors, Warning};
use super::push::{self, PushConfig};
use super::raw;
use super::reader::Reader;
use super::redis::{self, RedisConfig};
use super::secret::Secret;
use super::settings;
use super::source::Source;
use super::variables;
use crate::edge::ports::Profile;

/// A coordinator's configuration. Everything in it has been checked; what can only be known by
/// trying (is the port free, is the certificate valid) has not.
#[derive(Debug, Clone)]
pub struct Config {
    pub profile: Profile,
    pub state_dir: PathBuf,
    /// `None`: one is made and kept in the state directory.
    pub operator_token: Option<Secret>,
    pub node: NodeName,
    pub websocket: WebSocketConfig,
    pub metrics: MetricsConfig,
    /// `None`: the journal is on this machine.
    pub redis: Option<RedisConfig>,
    pub journal: JournalConfig,
    pub session: SessionConfig,
    pub firewall: FirewallConfig,
    /// `None`: metrics are only scraped.
    pub push: Option<PushConfig>,
    /// `None`: no broker.
    pub mqtt: Option<MqttConfig>,
    pub log: LogConfig,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Where each value came from, for error texts and `config show`.
    pub origins: Origins,
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    pub grace: Duration,
}

impl Config {
    /// Asks flags, environment and file, in that order. `invoker` is who runs the program, a user
    /// id or [`Invoker::current`]: it decides which ports can be bound.
    pub fn load(
        flags: &Flags,
        environment: &dyn Environment,
        invoker: impl Into<Invoker>,
    ) -> Result<Self, ConfigErrors> {
        let file = places::server_file(flags.config.as_deref(), environment);
        let mut gathered = raw::gather(settings::SERVER, flags, environment, file.as_deref());
        gathered.warnings.extend(variables::misspelt(environment));
        let mut reader = Reader::new(gathered);

        let profile = reader.profile();
        let state_dir = places::state_dir(&mut reader, environment);
        checks::state_dir(&mut reader, state_dir.as_deref());
        let operator_token = reader.optional(&settings::OPERATOR_TOKEN);
        let node = node(&mut reader, environment);
        let websocket = WebSocketConfig::read(&mut reader);
        let metrics = MetricsConfig::read(&mut reader);
        let redis = redis::read(&mut reader);
        let journal = JournalConfig::read(&mut reader);
        let session = SessionConfig {
            grace: reader.milliseconds(&settings::SESSION_GRACE_MS),
        };
        let firewall = FirewallConfig::read(&mut reader, &websocket, &metrics, redis.as_ref());
        let push = push::read(&mut reader);
        let mqtt = mqtt::read(&mut reader, &node);
        let log = LogConfig {
            level: reader.get(&settings::LOG_LEVEL),
            format: reader.get(&settings::LOG_FORMAT),
        };

        checks::plaintext(&mut reader, &websocket, &metrics);
        checks::low_ports(&mut reader, &websocket, &metrics, invoker.into());
        checks::duplicate_ports(&mut reader, &websocket, &metrics, redis.as_ref());
        checks::foreign_ports(&mut reader, &websocket, &metrics, redis.as_ref());
        checks::sizes(&mut reader, &websocket, &journal);
        let (origins, warnings) = reader.finish()?;
        Ok(Self {
            profile,
            // Absent only together with a problem, and then `finish` has returned.
            state_dir: state_dir.unwrap_or_default(),
            operator_token,
            node,
            websocket,
            metrics,
            redis,
            journal,
            session,
            firewall,
            push,
            mqtt,
            log,
            file,
            origins,
            warnings,
        })
    }
}

fn node(reader: &mut Reader, environment: &dyn Environment) -> NodeName {
    let hostname = environment.hostname().unwrap_or_default();
    let own = NodeName::of_host(&hostname);
    reader.or(&settings::NODE_NAME, own, Source::Default)
}
