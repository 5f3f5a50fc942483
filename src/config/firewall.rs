//! What the firewall is configured with: its own settings, and what it must know of the others.
//!
//! Whether they make sense together is for the firewall's policy: a coordinator starts either way.

use std::path::PathBuf;

use super::env::Environment;
use super::host::Host;
use super::network::{InterfaceName, Network, OpenPort};
use super::parsed::Flags;
use super::problem::{ConfigErrors, Warning};
use super::raw::{self, Source};
use super::reader::Reader;
use super::redis::RedisConfig;
use super::settings::{self, Spec};
use super::{parsed, places, redis, value, variables};
use crate::ports::{PortRange, Profile, Service};

/// Settings that say what the firewall does; the others it depends on only name addresses and ports.
static OWN: [&Spec; 14] = [
    &settings::FIREWALL_DEFAULT_DROP,
    &settings::FIREWALL_WEBSOCKET_FROM,
    &settings::FIREWALL_METRICS_FROM,
    &settings::FIREWALL_REDIS_FROM,
    &settings::FIREWALL_SSH_FROM,
    &settings::FIREWALL_SSH_PORTS,
    &settings::FIREWALL_OPEN_PORTS,
    &settings::FIREWALL_LEASE_PORTS,
    &settings::FIREWALL_INTERFACES,
    &settings::FIREWALL_DENY,
    &settings::FIREWALL_TRUSTED,
    &settings::FIREWALL_NEW_PER_MINUTE_MAX,
    &settings::FIREWALL_CONNECTIONS_PER_SOURCE_MAX,
    &settings::FIREWALL_LOG_PER_MINUTE_MAX,
];

/// What else must be right before a rule is made of it.
static NEEDED: [&Spec; 9] = [
    &settings::PROFILE,
    &settings::WEBSOCKET_HOST,
    &settings::WEBSOCKET_PORT,
    &settings::CONNECTIONS_MAX,
    &settings::METRICS_HOST,
    &settings::METRICS_PORT,
    &settings::REDIS_HOST,
    &settings::REDIS_PORT,
    &settings::FIREWALL_STATUS_FILE,
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
        let table = &settings::SERVER;
        let mut gathered = raw::gather(table, flags.given(), environment, file.as_deref());
        let misspelt = variables::misspelt(environment);
        gathered.warnings.extend(misspelt);
        let mut reader = Reader::new(gathered);
        let profile = reader.profile(&settings::PROFILE);
        let redis = redis::read(&mut reader, profile);
        let websocket = parsed::websocket(&mut reader, profile);
        let metrics = parsed::metrics(&mut reader, profile);
        let config = read(&mut reader, profile, &websocket, &metrics, redis.as_ref());
        let needed = |key: &str| OWN.iter().chain(&NEEDED).any(|spec| spec.key == key);
        let foreign = |key: &str| table.iter().any(|spec| spec.key == key) && !needed(key);
        reader.forget_problems(foreign);
        let (_, warnings) = reader.finish()?;
        Ok((config, warnings))
    }
}

pub(super) fn read(
    reader: &mut Reader,
    profile: Profile,
    websocket: &parsed::WebSocketConfig,
    metrics: &parsed::MetricsConfig,
    redis: Option<&RedisConfig>,
) -> FirewallConfig {
    let mut service = |service, port: &Spec, endpoint: Option<&super::Endpoint>, from| {
        let own = reader.source(port).is_given();
        let port = endpoint.map(|endpoint| endpoint.port).filter(|_| own);
        let ports = port.and_then(|port| PortRange::new(port, port).ok());
        let ports = ports.unwrap_or_else(|| profile.ports(service));
        ServiceConfig {
            service,
            ports: vec![ports],
            host: endpoint.map(|endpoint| endpoint.host.clone()),
            from: networks(reader, from),
        }
    };
    let websocket_service = service(
        Service::WebSocket,
        &settings::WEBSOCKET_PORT,
        Some(&websocket.endpoint),
        &settings::FIREWALL_WEBSOCKET_FROM,
    );
    let metrics_service = service(
        Service::Metrics,
        &settings::METRICS_PORT,
        Some(&metrics.endpoint),
        &settings::FIREWALL_METRICS_FROM,
    );
    let redis_service = ServiceConfig {
        service: Service::Redis,
        ports: redis_ports(profile, redis),
        host: redis.map(|redis| redis.endpoint.host.clone()),
        from: networks(reader, &settings::FIREWALL_REDIS_FROM),
    };
    FirewallConfig {
        profile,
        websocket: websocket_service,
        metrics: metrics_service,
        redis: redis_service,
        connections_max: websocket.connections_max as u64,
        default_drop: reader.boolean(&settings::FIREWALL_DEFAULT_DROP),
        ssh_from: networks(reader, &settings::FIREWALL_SSH_FROM),
        ssh_ports: open_ports(reader, &settings::FIREWALL_SSH_PORTS),
        open_ports: open_ports(reader, &settings::FIREWALL_OPEN_PORTS),
        lease_ports: reader.optional(&settings::FIREWALL_LEASE_PORTS, value::ports),
        interfaces: reader.or(
            &settings::FIREWALL_INTERFACES,
            Vec::new(),
            Source::Default,
            value::list,
        ),
        deny: networks(reader, &settings::FIREWALL_DENY),
        trusted: networks(reader, &settings::FIREWALL_TRUSTED),
        new_per_minute_max: reader.count(&settings::FIREWALL_NEW_PER_MINUTE_MAX),
        connections_per_source_max: reader.count(&settings::FIREWALL_CONNECTIONS_PER_SOURCE_MAX),
        log_per_minute_max: reader.count(&settings::FIREWALL_LOG_PER_MINUTE_MAX),
        status_file: status_file(reader),
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

fn networks(reader: &mut Reader, spec: &'static Spec) -> Vec<Network> {
    reader.or(spec, Vec::new(), Source::Default, value::list)
}

fn open_ports(reader: &mut Reader, spec: &'static Spec) -> Vec<OpenPort> {
    reader.or(spec, Vec::new(), Source::Default, value::list)
}

fn status_file(reader: &mut Reader) -> PathBuf {
    let spec = &settings::FIREWALL_STATUS_FILE;
    if let Some(path) = reader.path(spec) {
        return path;
    }
    let path = PathBuf::from(settings::FIREWALL_STATUS_FILE_DEFAULT);
    reader.note(spec, Source::Default, &path);
    path
}
