//! The configuration of a coordinator: what is meant.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::env::{Environment, Invoker};
use super::firewall::{self, FirewallConfig};
use super::host::{AllowedHost, Endpoint, Host, WebOrigin};
use super::names::{MetricsPath, NodeName};
use super::problem::{ConfigErrors, Warning};
use super::raw::{self, Given, GivenFlags, Origins, Source};
use super::reader::Reader;
use super::redis::{self, RedisConfig};
use super::secret::Secret;
use super::settings::{self, Spec};
use super::{checks, places, value, variables};
use crate::ports::Profile;

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
    pub log: LogConfig,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Where each value came from, for error texts and `config show`.
    pub origins: Origins,
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone)]
pub struct WebSocketConfig {
    pub endpoint: Endpoint,
    /// `None`: plain text, which is loopback or was allowed.
    pub tls: Option<TlsConfig>,
    pub allowed_hosts: Vec<AllowedHost>,
    pub allowed_origins: Vec<WebOrigin>,
    pub connections_max: usize,
    pub message_bytes_max: usize,
    pub handshake_timeout: Duration,
    pub ping_interval: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsConfig {
    /// A certificate is made and kept in the state directory.
    SelfSigned,
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
}

#[derive(Debug, Clone)]
pub struct MetricsConfig {
    pub endpoint: Endpoint,
    pub path: MetricsPath,
    pub allowed_hosts: Vec<AllowedHost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalConfig {
    pub segment_bytes: u64,
    /// How much journal may pile up before a snapshot is taken; at least two segments.
    pub live_bytes_max: u64,
    pub reserve_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    pub grace: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    pub level: LogLevel,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// A coordinator's flags as typed. An absent one leaves the setting to the other sources.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub config: Option<String>,
    pub profile: Option<String>,
    pub state_dir: Option<String>,
    pub operator_token_file: Option<String>,
    pub node_name: Option<String>,
    pub websocket_host: Option<String>,
    pub websocket_port: Option<String>,
    pub websocket_tls: Option<String>,
    pub tls_certificate_file: Option<String>,
    pub tls_key_file: Option<String>,
    pub allowed_hosts: Vec<String>,
    pub allowed_origins: Vec<String>,
    pub allow_plaintext: Option<String>,
    pub metrics_host: Option<String>,
    pub metrics_port: Option<String>,
    pub metrics_path: Option<String>,
    pub metrics_allow_plaintext: Option<String>,
    pub metrics_allowed_hosts: Vec<String>,
    pub redis_url_file: Option<String>,
    pub redis_host: Option<String>,
    pub redis_port: Option<String>,
    pub redis_user: Option<String>,
    pub redis_password_file: Option<String>,
    pub redis_tls: Option<String>,
    pub log_level: Option<String>,
    pub log_format: Option<String>,
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
        let mut gathered = raw::gather(
            &settings::SERVER,
            flags.given(),
            environment,
            file.as_deref(),
        );
        gathered.warnings.extend(variables::misspelt(environment));
        let mut reader = Reader::new(gathered);

        let profile = reader.profile(&settings::PROFILE);
        let state_dir = places::state_dir(&mut reader, environment);
        checks::state_dir(&mut reader, state_dir.as_deref());
        let operator_token = reader.optional(&settings::OPERATOR_TOKEN, value::token);
        let node = node(&mut reader, environment);
        let websocket = websocket(&mut reader, profile);
        let metrics = metrics(&mut reader, profile);
        let redis = redis::read(&mut reader, profile);
        let journal = JournalConfig {
            segment_bytes: reader.count(&settings::JOURNAL_SEGMENT_BYTES),
            live_bytes_max: reader.count(&settings::JOURNAL_LIVE_BYTES_MAX),
            reserve_bytes: reader.count(&settings::JOURNAL_RESERVE_BYTES),
        };
        let session = SessionConfig {
            grace: milliseconds(&mut reader, &settings::SESSION_GRACE_MS),
        };
        let firewall = firewall::read(&mut reader, profile, &websocket, &metrics, redis.as_ref());
        let log = log(&mut reader);

        checks::plaintext(&mut reader, &websocket, &metrics);
        checks::low_ports(&mut reader, &websocket, &metrics, invoker.into());
        checks::duplicate_ports(&mut reader, &websocket, &metrics, redis.as_ref());
        checks::foreign_ports(&mut reader, profile, &websocket, &metrics, redis.as_ref());
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
            log,
            file,
            origins,
            warnings,
        })
    }
}

impl Flags {
    pub(super) fn given(&self) -> GivenFlags {
        let single = [
            (&settings::PROFILE, &self.profile),
            (&settings::STATE_DIR, &self.state_dir),
            (&settings::OPERATOR_TOKEN, &self.operator_token_file),
            (&settings::NODE_NAME, &self.node_name),
            (&settings::WEBSOCKET_HOST, &self.websocket_host),
            (&settings::WEBSOCKET_PORT, &self.websocket_port),
            (&settings::WEBSOCKET_TLS, &self.websocket_tls),
            (&settings::TLS_CERTIFICATE_FILE, &self.tls_certificate_file),
            (&settings::TLS_KEY_FILE, &self.tls_key_file),
            (&settings::ALLOW_PLAINTEXT, &self.allow_plaintext),
            (&settings::METRICS_HOST, &self.metrics_host),
            (&settings::METRICS_PORT, &self.metrics_port),
            (&settings::METRICS_PATH, &self.metrics_path),
            (
                &settings::METRICS_ALLOW_PLAINTEXT,
                &self.metrics_allow_plaintext,
            ),
            (&settings::REDIS_URL, &self.redis_url_file),
            (&settings::REDIS_HOST, &self.redis_host),
            (&settings::REDIS_PORT, &self.redis_port),
            (&settings::REDIS_USER, &self.redis_user),
            (&settings::REDIS_PASSWORD, &self.redis_password_file),
            (&settings::REDIS_TLS, &self.redis_tls),
            (&settings::LOG_LEVEL, &self.log_level),
            (&settings::LOG_FORMAT, &self.log_format),
        ];
        let lists = [
            (&settings::ALLOWED_HOSTS, &self.allowed_hosts),
            (&settings::ALLOWED_ORIGINS, &self.allowed_origins),
            (
                &settings::METRICS_ALLOWED_HOSTS,
                &self.metrics_allowed_hosts,
            ),
        ];
        let single = single.into_iter().filter_map(|(spec, value)| {
            let word = value.clone()?;
            Some((spec, Given::Word(word)))
        });
        let lists = lists
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(spec, values)| (spec, Given::Words(values.clone())));
        single.chain(lists).collect()
    }
}

pub(super) fn websocket(reader: &mut Reader, profile: Profile) -> WebSocketConfig {
    WebSocketConfig {
        endpoint: Endpoint {
            host: host(reader, &settings::WEBSOCKET_HOST),
            port: reader.port(&settings::WEBSOCKET_PORT, profile),
        },
        tls: tls(reader),
        allowed_hosts: reader.or(
            &settings::ALLOWED_HOSTS,
            Vec::new(),
            Source::Default,
            value::list,
        ),
        allowed_origins: reader.or(
            &settings::ALLOWED_ORIGINS,
            Vec::new(),
            Source::Default,
            value::list,
        ),
        connections_max: size(reader, &settings::CONNECTIONS_MAX),
        message_bytes_max: size(reader, &settings::MESSAGE_BYTES_MAX),
        handshake_timeout: milliseconds(reader, &settings::HANDSHAKE_TIMEOUT_MS),
        ping_interval: milliseconds(reader, &settings::PING_INTERVAL_MS),
    }
}

pub(super) fn metrics(reader: &mut Reader, profile: Profile) -> MetricsConfig {
    MetricsConfig {
        endpoint: Endpoint {
            host: host(reader, &settings::METRICS_HOST),
            port: reader.port(&settings::METRICS_PORT, profile),
        },
        path: reader.or(
            &settings::METRICS_PATH,
            MetricsPath::default(),
            Source::Default,
            value::parsed,
        ),
        allowed_hosts: reader.or(
            &settings::METRICS_ALLOWED_HOSTS,
            Vec::new(),
            Source::Default,
            value::list,
        ),
    }
}

fn tls(reader: &mut Reader) -> Option<TlsConfig> {
    let on = reader.boolean(&settings::WEBSOCKET_TLS);
    let certificate = reader.path(&settings::TLS_CERTIFICATE_FILE);
    let key = reader.path(&settings::TLS_KEY_FILE);
    checks::tls_files(reader, on, certificate.as_deref(), key.as_deref());
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => TlsConfig::Files { certificate, key },
        _ => TlsConfig::SelfSigned,
    };
    on.then_some(tls)
}

fn log(reader: &mut Reader) -> LogConfig {
    let level = match reader.choice(&settings::LOG_LEVEL) {
        "off" => LogLevel::Off,
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => LogLevel::Info,
    };
    let format = match reader.choice(&settings::LOG_FORMAT) {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    LogConfig { level, format }
}

fn node(reader: &mut Reader, environment: &dyn Environment) -> NodeName {
    let hostname = environment.hostname().unwrap_or_default();
    reader.or(
        &settings::NODE_NAME,
        NodeName::of_host(&hostname),
        Source::Default,
        value::parsed,
    )
}

fn host(reader: &mut Reader, spec: &'static Spec) -> Host {
    reader.or(spec, Host::LOOPBACK, Source::Default, value::parsed)
}

fn milliseconds(reader: &mut Reader, spec: &'static Spec) -> Duration {
    Duration::from_millis(reader.count(spec))
}

fn size(reader: &mut Reader, spec: &'static Spec) -> usize {
    usize::try_from(reader.count(spec)).expect("the table bounds it far below 4 GiB")
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}
