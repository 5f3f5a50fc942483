//! What the firewall is configured with: its own settings, and what it must know of the others.
//!
//! Whether they make sense together is for the firewall's policy: a coordinator starts either way.

use std::path::PathBuf;

use super::env::Environment;
use super::flags::Flags;
use super::host::{Endpoint, Host};
use super::listen::{MetricsConfig, WebSocketConfig};
use super::network::{InterfaceName, Network, OpenPort};
use super::places;
use super::problem::{ConfigErrors, Warning};
use super::raw;
use super::reader::Reader;
use super::redis::{self, RedisConfig};
use super::settings::{self, Or, ServicePort, Setting, Spec};
use super::variables;
use crate::edge::ports::{PortRange, Profile, Service};

/// What must be right before a rule is made of it, besides the firewall's own settings.
static NEEDED: [&Spec; 8] = [
    &settings::PROFILE.spec,
    &settings::WEBSOCKET_HOST.spec,
    &settings::WEBSOCKET_PORT.spec,
    &settings::CONNECTIONS_MAX.spec,
    &settings::METRICS_HOST.spec,
    &settings::METRICS_PORT.spec,
    &settings::REDIS_HOST.spec,
    &settings::REDIS_PORT.spec,
];

/// Everything that a firewall policy is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallConfig {
    pub profile: Profile,
    pub websocket: ServiceConfig,
    pub metrics: ServiceConfig,
    pub redis: ServiceConfig,
    /// How many agents may be connected at once.
    pub connections_max: u64,
    /// Drop everything that no rule lets in, rather than govern only the services' ports.
    pub default_drop: bool,
    /// Empty: from wherever SSH can be reached.
    pub ssh_from: Vec<Network>,
    /// Empty: found out from the box.
    pub ssh_ports: Vec<OpenPort>,
    pub open_ports: Vec<OpenPort>,
    /// Ports that agents' leases open; `None`: they open none.
    pub lease_ports: Option<PortRange>,
    /// Empty: all.
    pub interfaces: Vec<InterfaceName>,
    pub deny: Vec<Network>,
    pub trusted: Vec<Network>,
    pub new_per_minute_max: u64,
    pub connections_per_source_max: u64,
    /// 0: nothing is logged.
    pub log_per_minute_max: u64,
    /// Where the privileged helper leaves the firewall's state for the coordinator's metrics.
    pub status_file: PathBuf,
}

/// One service and who may reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceConfig {
    pub service: Service,
    /// Its port, and those its profile keeps for it.
    pub ports: Vec<PortRange>,
    /// Where it listens; for Redis, where it is. `None`: it is not used.
    pub host: Option<Host>,
    pub from: Vec<Network>,
}

impl FirewallConfig {
    /// The file that is asked, if there is one.
    pub fn file(flags: &Flags, environment: &dyn Environment) -> Option<PathBuf> {
        places::server_file(flags.config.as_deref(), environment)
    }

    /// Asks flags, environment and file. Only what a rule is made of must be right: the unit that
    /// applies rules may not read the coordinator's keys and passwords, and has no need to.
    pub fn load(
        flags: &Flags,
        environment: &dyn Environment,
    ) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let file = Self::file(flags, environment);
        let table = settings::SERVER;
        let mut gathered = raw::gather(table, flags, environment, file.as_deref());
        let misspelt = variables::misspelt(environment);
        gathered.warnings.extend(misspelt);
        let mut reader = Reader::new(gathered);
        let redis = redis::read(&mut reader);
        let websocket = WebSocketConfig::read(&mut reader);
        let metrics = MetricsConfig::read(&mut reader);
        let config = Self::read(&mut reader, &websocket, &metrics, redis.as_ref());
        let needed = |key: &str| {
            key.starts_with("firewall.") || NEEDED.iter().any(|setting| setting.key == key)
        };
        let foreign = |key: &str| table.iter().any(|setting| setting.key == key) && !needed(key);
        reader.forget_problems(foreign);
        let (_, warnings) = reader.finish()?;
        Ok((config, warnings))
    }

    pub(super) fn read(
        reader: &mut Reader,
        websocket: &WebSocketConfig,
        metrics: &MetricsConfig,
        redis: Option<&RedisConfig>,
    ) -> Self {
        let profile = reader.profile();
        Self {
            profile,
            websocket: ServiceConfig::listening(
                reader,
                &settings::WEBSOCKET_PORT,
                &websocket.endpoint,
                &settings::FIREWALL_WEBSOCKET_FROM,
            ),
            metrics: ServiceConfig::listening(
                reader,
                &settings::METRICS_PORT,
                &metrics.endpoint,
                &settings::FIREWALL_METRICS_FROM,
            ),
            redis: ServiceConfig {
                service: Service::Redis,
                ports: redis_ports(profile, redis),
                host: redis.map(|redis| redis.endpoint.host.clone()),
                from: reader.get(&settings::FIREWALL_REDIS_FROM),
            },
            connections_max: websocket.connections_max as u64,
            default_drop: reader.get(&settings::FIREWALL_DEFAULT_DROP),
            ssh_from: reader.get(&settings::FIREWALL_SSH_FROM),
            ssh_ports: reader.get(&settings::FIREWALL_SSH_PORTS),
            open_ports: reader.get(&settings::FIREWALL_OPEN_PORTS),
            lease_ports: reader.optional(&settings::FIREWALL_LEASE_PORTS),
            interfaces: reader.get(&settings::FIREWALL_INTERFACES),
            deny: reader.get(&settings::FIREWALL_DENY),
            trusted: reader.get(&settings::FIREWALL_TRUSTED),
            new_per_minute_max: reader.get(&settings::FIREWALL_NEW_PER_MINUTE_MAX),
            connections_per_source_max: reader.get(&settings::FIREWALL_CONNECTIONS_PER_SOURCE_MAX),
            log_per_minute_max: reader.get(&settings::FIREWALL_LOG_PER_MINUTE_MAX),
            status_file: reader.get(&settings::FIREWALL_STATUS_FILE),
        }
    }
}

impl ServiceConfig {
    /// A service of the coordinator itself: the port that somebody chose, or those of the profile.
    fn listening(
        reader: &mut Reader,
        port: &'static Setting<ServicePort>,
        endpoint: &Endpoint,
        from: &'static Setting<Or<Vec<Network>>>,
    ) -> Self {
        let service = port.kind.0;
        let chosen = reader.source(port).is_given().then_some(endpoint.port);
        let chosen = chosen.and_then(|port| PortRange::new(port, port).ok());
        Self {
            service,
            ports: vec![chosen.unwrap_or_else(|| reader.profile().ports(service))],
            host: Some(endpoint.host.clone()),
            from: reader.get(from),
        }
    }
}

/// The profile's, whether Redis is used or not, and that of a Redis on this box. Redis' own standard
/// port is a container's inside: what is published of it is the profile's.
fn redis_ports(profile: Profile, redis: Option<&RedisConfig>) -> Vec<PortRange> {
    let mut ports = vec![profile.ports(Service::Redis)];
    let on_this_box = redis
        .map(|redis| &redis.endpoint)
        .filter(|endpoint| endpoint.host.is_loopback() || endpoint.host.is_wildcard());
    if let Some(endpoint) = on_this_box
        && !ports[0].contains(endpoint.port)
    {
        ports.extend(PortRange::new(endpoint.port, endpoint.port));
    }
    ports
}
