//! The table of settings: the one place that says which there are.
//!
//! Keys are those of the file: `websocket.port` is `port` in section `[websocket]`.

use crate::ports::{Profile, Service};

/// One setting.
#[derive(Debug)]
pub struct Spec {
    /// Its key in the file, with its section before the dot.
    pub key: &'static str,
    /// What kind of value it has, and within which bounds.
    pub kind: Kind,
    /// What it is for, as sentences.
    pub doc: &'static str,
    /// The environment variables it is read from, in this order.
    pub variables: &'static [&'static str],
    /// Its command line flag. A secret's flag names a file: command lines are visible to everybody.
    pub flag: Option<&'static str>,
    /// Its name among systemd's credentials.
    pub credential: Option<&'static str>,
    /// A value as it could stand in the file; the default, where there is one.
    pub example: &'static str,
}

/// What kind of value a setting has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of these words, the first being the default. For a profile, that is the build's choice.
    Choice(&'static [&'static str]),
    /// A number; unit and bounds included.
    Count {
        unit: &'static str,
        min: u64,
        max: u64,
        default: u64,
    },
    /// Off unless switched on.
    Boolean,
    /// The port of a service; the profile's when not set.
    Port(Service),
    /// An IP address or a host name.
    Host,
    /// Hosts, with or without a port.
    Hosts,
    /// Origins of web pages: `https://host:port`.
    Origins,
    /// Addresses, networks and ranges of addresses.
    Networks,
    /// Names of network interfaces.
    Interfaces,
    /// Ports and ranges of ports, each of TCP or UDP.
    OpenPorts,
    /// A range of ports.
    Ports,
    /// The path of a URL.
    UrlPath,
    /// A `ws:` or `wss:` URL, without a secret in it.
    Url,
    /// Text with rules of its own.
    Text,
    /// A path in the file system; a relative one in a file counts from that file's folder.
    Path,
    /// Never shown. Also read from `<variable>_FILE` and the key `<key>_file`.
    Secret,
}

const PROFILES: [&str; Profile::ALL.len()] = [
    Profile::Production.name(),
    Profile::Staging.name(),
    Profile::Development.name(),
    Profile::Testing.name(),
];

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

pub static PROFILE: Spec = Spec::new(
    "profile",
    Kind::Choice(&PROFILES),
    "\"development\"",
    "The environment this coordinator is meant for; it decides the ports.",
)
.variables(&["COORD_PROFILE"])
.flag("--profile");
pub static STATE_DIR: Spec = Spec::new("state_dir", Kind::Path, "\"/var/lib/coord\"", "The folder that holds the journal, snapshots and the operator token. Without it: systemd's state directory, or else $XDG_STATE_HOME/coord, or else ~/.local/state/coord.")
    .variables(&["COORD_STATE_DIR", STATE_DIRECTORY])
    .flag("--state-dir");
pub static OPERATOR_TOKEN: Spec = Spec::new(
    "operator_token",
    Kind::Secret,
    "\"write-the-output-of-openssl-rand-hex-32\"",
    "The token of the operator. Without it: one is made at the first start, and lies in the state directory. A reload takes up a new one.",
)
.variables(&["COORD_OPERATOR_TOKEN"])
.flag("--operator-token-file")
.credential("operator_token");

pub static NODE_NAME: Spec = Spec::new(
    "node.name",
    Kind::Text,
    "\"gateway-1\"",
    "How this coordinator calls itself. Without it: the host name.",
)
.variables(&["COORD_NODE_NAME"])
.flag("--node-name");

pub static WEBSOCKET_HOST: Spec = Spec::new(
    "websocket.host",
    Kind::Host,
    "\"127.0.0.1\"",
    "The address that agents connect to. Off loopback needs tls, or allow_plaintext.",
)
.variables(&["WEBSOCKET_HOST"])
.flag("--websocket-host");
pub static WEBSOCKET_PORT: Spec = Spec::new(
    "websocket.port",
    Kind::Port(Service::WebSocket),
    "8768",
    "The port that agents connect to.",
)
.variables(&["WEBSOCKET_PORT"])
.flag("--websocket-port");
pub static WEBSOCKET_TLS: Spec = Spec::new("websocket.tls", Kind::Boolean, "false", "Serve wss: instead of ws:. Without the two files below, a self-signed certificate is made and its fingerprint shown.")
    .variables(&["WEBSOCKET_SSL_ENABLED"])
    .flag("--websocket-tls");
pub static TLS_CERTIFICATE_FILE: Spec = Spec::new(
    "websocket.tls_certificate_file",
    Kind::Path,
    "\"certificate.pem\"",
    "The certificate chain, as PEM.",
)
.variables(&["COORD_TLS_CERTIFICATE_FILE"])
.flag("--tls-certificate-file")
.credential("tls_certificate");
pub static TLS_KEY_FILE: Spec = Spec::new(
    "websocket.tls_key_file",
    Kind::Path,
    "\"key.pem\"",
    "The certificate's private key, as PEM.",
)
.variables(&["COORD_TLS_KEY_FILE"])
.flag("--tls-key-file")
.credential("tls_key");
pub static ALLOWED_HOSTS: Spec = Spec::new("websocket.allowed_hosts", Kind::Hosts, "[\"gateway.example\", \"gateway.example:8768\"]", "More names by which clients may address this coordinator (their Host header), next to its own address and loopback.")
    .variables(&["COORD_ALLOWED_HOSTS"])
    .flag("--allowed-hosts");
pub static ALLOWED_ORIGINS: Spec = Spec::new("websocket.allowed_origins", Kind::Origins, "[\"https://dashboard.example\"]", "Web pages that may connect (their Origin header). Programs other than browsers send none and need no entry.")
    .variables(&["COORD_ALLOWED_ORIGINS"])
    .flag("--allowed-origins");
pub static ALLOW_PLAINTEXT: Spec = Spec::new("websocket.allow_plaintext", Kind::Boolean, "false", "Serve ws: off loopback all the same, for instance behind a proxy that encrypts. Tokens then cross the network readable.")
    .variables(&["COORD_ALLOW_PLAINTEXT"])
    .flag("--allow-plaintext");
pub static CONNECTIONS_MAX: Spec = Spec::new(
    "websocket.connections_max",
    count("connections", 1, 100_000, 10_240),
    "10240",
    "How many connections may be open at once.",
)
.variables(&["COORD_CONNECTIONS_MAX"]);
pub static MESSAGE_BYTES_MAX: Spec = Spec::new(
    "websocket.message_bytes_max",
    count("bytes", 4 * KIB, 16 * MIB, MIB),
    "1048576",
    "How large one request may be.",
)
.variables(&["COORD_MESSAGE_BYTES_MAX"]);
pub static HANDSHAKE_TIMEOUT_MS: Spec = Spec::new(
    "websocket.handshake_timeout_ms",
    count("ms", 100, 60_000, 5_000),
    "5000",
    "How long a client may take to shake hands.",
)
.variables(&["COORD_HANDSHAKE_TIMEOUT_MS"]);
pub static PING_INTERVAL_MS: Spec = Spec::new(
    "websocket.ping_interval_ms",
    count("ms", 1_000, 300_000, 20_000),
    "20000",
    "How often a silent client is asked whether it is still there.",
)
.variables(&["COORD_PING_INTERVAL_MS"]);

pub static METRICS_HOST: Spec = Spec::new(
    "metrics.host",
    Kind::Host,
    "\"127.0.0.1\"",
    "The address that Prometheus scrapes. Off loopback needs allow_plaintext.",
)
.variables(&["COORD_METRICS_HOST"])
.flag("--metrics-host");
pub static METRICS_PORT: Spec = Spec::new(
    "metrics.port",
    Kind::Port(Service::Metrics),
    "9093",
    "The port that Prometheus scrapes.",
)
.variables(&["METRICS_PORT"])
.flag("--metrics-port");
pub static METRICS_PATH: Spec = Spec::new(
    "metrics.path",
    Kind::UrlPath,
    "\"/metrics\"",
    "The path that Prometheus scrapes.",
)
.variables(&["METRICS_PATH"])
.flag("--metrics-path");
pub static METRICS_ALLOW_PLAINTEXT: Spec = Spec::new(
    "metrics.allow_plaintext",
    Kind::Boolean,
    "false",
    "Serve metrics off loopback: whoever reaches the port can read them.",
)
.variables(&["COORD_METRICS_ALLOW_PLAINTEXT"])
.flag("--metrics-allow-plaintext");

pub static METRICS_ALLOWED_HOSTS: Spec = Spec::new("metrics.allowed_hosts", Kind::Hosts, "[\"gateway.example\", \"gateway.example:9093\"]", "More names by which Prometheus may address the metrics (their Host header), next to addresses, loopback, metrics.host and websocket.allowed_hosts.")
    .variables(&["COORD_METRICS_ALLOWED_HOSTS"])
    .flag("--metrics-allowed-hosts");

pub static REDIS_URL: Spec = Spec::new("redis.url", Kind::Secret, "\"rediss://user:password@redis.example:6380/0\"", "Everything about Redis in one URL. What a setting below says, where it comes from an earlier source, goes before. Redis is used when this, host, port or sentinels is set; otherwise the journal on this machine.")
    .variables(&["REDIS_URL"])
    .flag("--redis-url-file")
    .credential("redis_url");
pub static REDIS_HOST: Spec = Spec::new(
    "redis.host",
    Kind::Host,
    "\"127.0.0.1\"",
    "Where Redis runs.",
)
.variables(&["REDIS_HOST"])
.flag("--redis-host");
pub static REDIS_PORT: Spec = Spec::new(
    "redis.port",
    Kind::Port(Service::Redis),
    "6382",
    "The port of Redis.",
)
.variables(&["REDIS_PORT"])
.flag("--redis-port");
pub static REDIS_USER: Spec = Spec::new(
    "redis.user",
    Kind::Text,
    "\"coord\"",
    "The ACL user of Redis.",
)
.variables(&["REDIS_USER"])
.flag("--redis-user");
pub static REDIS_PASSWORD: Spec = Spec::new(
    "redis.password",
    Kind::Secret,
    "\"a long one\"",
    "The password of Redis.",
)
.variables(&["REDIS_PASSWORD"])
.flag("--redis-password-file")
.credential("redis_password");
pub static REDIS_TLS: Spec = Spec::new("redis.tls", Kind::Boolean, "false", "Talk TLS to Redis.")
    .variables(&["REDIS_TLS"])
    .flag("--redis-tls");
pub static REDIS_DATABASE: Spec = Spec::new(
    "redis.database",
    count("", 0, 1023, 0),
    "0",
    "The number of the Redis database; a Cluster has only 0.",
)
.variables(&["REDIS_DATABASE"]);
pub static REDIS_CA_FILE: Spec = Spec::new(
    "redis.ca_file",
    Kind::Path,
    "\"redis-ca.pem\"",
    "Trust servers whose certificates these authorities signed, as PEM, instead of the machine's.",
)
.variables(&["COORD_REDIS_CA_FILE"]);
pub static REDIS_CLUSTER: Spec = Spec::new(
    "redis.cluster",
    Kind::Boolean,
    "false",
    "It is a Redis Cluster: host and port, or the URL, lead to any of its nodes.",
)
.variables(&["COORD_REDIS_CLUSTER"]);
pub static REDIS_SENTINELS: Spec = Spec::new("redis.sentinels", Kind::Hosts, "[\"sentinel-1.example\", \"sentinel-2.example:26379\"]", "The Sentinels that say where Redis is, instead of host, port and URL. Port 26379 where none is named.")
    .variables(&["COORD_REDIS_SENTINELS"]);
pub static REDIS_SENTINEL_MASTER: Spec = Spec::new(
    "redis.sentinel_master",
    Kind::Text,
    "\"coord\"",
    "What the Sentinels call the master.",
)
.variables(&["COORD_REDIS_SENTINEL_MASTER"]);
pub static REDIS_SENTINEL_USER: Spec = Spec::new(
    "redis.sentinel_user",
    Kind::Text,
    "\"coord\"",
    "The ACL user of the Sentinels.",
)
.variables(&["COORD_REDIS_SENTINEL_USER"]);
pub static REDIS_SENTINEL_PASSWORD: Spec = Spec::new(
    "redis.sentinel_password",
    Kind::Secret,
    "\"a long one\"",
    "The password of the Sentinels.",
)
.variables(&["COORD_REDIS_SENTINEL_PASSWORD"])
.credential("redis_sentinel_password");
pub static REDIS_WAIT_REPLICAS: Spec = Spec::new("redis.wait_replicas", count("replicas", 0, 16, 0), "0", "How many replicas must confirm a write before it is answered, so that a failover loses nothing that was. What too few confirmed in time may have been done or not: the coordinator finds out before it answers.")
    .variables(&["COORD_REDIS_WAIT_REPLICAS"]);
pub static REDIS_WAIT_MS: Spec = Spec::new(
    "redis.wait_ms",
    count("ms", 1, 60_000, 1_000),
    "1000",
    "How long to wait for the replicas.",
)
.variables(&["COORD_REDIS_WAIT_MS"]);

pub static JOURNAL_SEGMENT_BYTES: Spec = Spec::new(
    "journal.segment_bytes",
    count("bytes", 256 * KIB, 256 * MIB, 8 * MIB),
    "8388608",
    "How large one preallocated segment of the journal is.",
)
.variables(&["COORD_JOURNAL_SEGMENT_BYTES"]);
pub static JOURNAL_LIVE_BYTES_MAX: Spec = Spec::new(
    "journal.live_bytes_max",
    count("bytes", 512 * KIB, 64 * GIB, 64 * MIB),
    "67108864",
    "How much journal may pile up before a snapshot is taken and segments are recycled.",
)
.variables(&["COORD_JOURNAL_LIVE_BYTES_MAX"]);
pub static JOURNAL_RESERVE_BYTES: Spec = Spec::new(
    "journal.reserve_bytes",
    count("bytes", 64 * KIB, GIB, 4 * MIB),
    "4194304",
    "What is kept back on a full disk, so that completes, releases and acknowledgements go on.",
)
.variables(&["COORD_JOURNAL_RESERVE_BYTES"]);

pub static SESSION_GRACE_MS: Spec = Spec::new(
    "session.grace_ms",
    count("ms", 0, 3_600_000, 30_000),
    "30000",
    "How long a lost session can be resumed with all its leases.",
)
.variables(&["COORD_SESSION_GRACE_MS"]);

pub static FIREWALL_DEFAULT_DROP: Spec = Spec::new("firewall.default_drop", Kind::Boolean, "false", "A closed box: drop what no rule lets in. Otherwise only the ports of the services are governed.")
    .variables(&["COORD_FIREWALL_DEFAULT_DROP"]);
pub static FIREWALL_WEBSOCKET_FROM: Spec = Spec::new(
    "firewall.websocket_from",
    Kind::Networks,
    "[\"10.0.0.0/8\", \"2001:db8::/64\"]",
    "From where agents may connect. This machine always may.",
)
.variables(&["COORD_FIREWALL_WEBSOCKET_FROM"]);
pub static FIREWALL_METRICS_FROM: Spec = Spec::new(
    "firewall.metrics_from",
    Kind::Networks,
    "[\"192.0.2.10\"]",
    "The addresses of the central Prometheus servers.",
)
.variables(&["COORD_FIREWALL_METRICS_FROM"]);
pub static FIREWALL_REDIS_FROM: Spec = Spec::new("firewall.redis_from", Kind::Networks, "[\"192.0.2.20-192.0.2.24\"]", "Other coordinators that share the Redis of this machine. Without it nobody from outside reaches Redis.")
    .variables(&["COORD_FIREWALL_REDIS_FROM"]);
pub static FIREWALL_SSH_FROM: Spec = Spec::new(
    "firewall.ssh_from",
    Kind::Networks,
    "[\"10.0.0.0/8\"]",
    "From where a closed box takes SSH. Without it: from anywhere, as before it was closed.",
)
.variables(&["COORD_FIREWALL_SSH_FROM"]);
pub static FIREWALL_SSH_PORTS: Spec = Spec::new("firewall.ssh_ports", Kind::OpenPorts, "[\"22\"]", "The ports of SSH that a closed box keeps open. Without it: those that /etc/ssh/sshd_config names, or else 22.")
    .variables(&["COORD_FIREWALL_SSH_PORTS"]);
pub static FIREWALL_OPEN_PORTS: Spec = Spec::new(
    "firewall.open_ports",
    Kind::OpenPorts,
    "[\"443\", \"51820/udp\"]",
    "What else a closed box leaves open to everybody.",
)
.variables(&["COORD_FIREWALL_OPEN_PORTS"]);
pub static FIREWALL_LEASE_PORTS: Spec = Spec::new("firewall.lease_ports", Kind::Ports, "\"20000-20999\"", "TCP ports that a closed box opens to websocket_from for as long as an agent holds a lease on them, once `coord firewall leases` runs. Without it leases open nothing.")
    .variables(&["COORD_FIREWALL_LEASE_PORTS"]);
pub static FIREWALL_INTERFACES: Spec = Spec::new(
    "firewall.interfaces",
    Kind::Interfaces,
    "[\"eth0\"]",
    "The interfaces through which the services can be reached. Without it: all.",
)
.variables(&["COORD_FIREWALL_INTERFACES"]);
pub static FIREWALL_DENY: Spec = Spec::new(
    "firewall.deny",
    Kind::Networks,
    "[\"203.0.113.0/24\"]",
    "Who reaches no service, whatever else is allowed; on a closed box, nothing at all.",
)
.variables(&["COORD_FIREWALL_DENY"]);
pub static FIREWALL_TRUSTED: Spec = Spec::new("firewall.trusted", Kind::Networks, "[\"10.0.0.2\"]", "Of those who are allowed, who is not limited in rate and number of connections: many behind one address, for instance.")
    .variables(&["COORD_FIREWALL_TRUSTED"]);
pub static FIREWALL_NEW_PER_MINUTE_MAX: Spec = Spec::new("firewall.new_per_minute_max", count("connections", 1, 60_000, 120), "120", "How many new connections a minute one source may open to a service: an IPv4 address or an IPv6 /64 network.")
    .variables(&["COORD_FIREWALL_NEW_PER_MINUTE_MAX"]);
pub static FIREWALL_CONNECTIONS_PER_SOURCE_MAX: Spec = Spec::new(
    "firewall.connections_per_source_max",
    count("connections", 1, 100_000, 256),
    "256",
    "How many connections one source may have open to a service.",
)
.variables(&["COORD_FIREWALL_CONNECTIONS_PER_SOURCE_MAX"]);
pub static FIREWALL_LOG_PER_MINUTE_MAX: Spec = Spec::new(
    "firewall.log_per_minute_max",
    count("lines", 0, 6_000, 0),
    "0",
    "How many dropped packets a minute the kernel logs for each reason; 0 logs none.",
)
.variables(&["COORD_FIREWALL_LOG_PER_MINUTE_MAX"]);
pub static FIREWALL_STATUS_FILE: Spec = Spec::new("firewall.status_file", Kind::Path, "\"/run/coord-firewall-status/status.json\"", "Where `coord firewall status --write` leaves what the coordinator's metrics tell of the firewall.")
    .variables(&["COORD_FIREWALL_STATUS_FILE"]);
/// Written by root, read by everybody: its folder belongs to nobody else.
pub const FIREWALL_STATUS_FILE_DEFAULT: &str = "/run/coord-firewall-status/status.json";

pub static LOG_LEVEL: Spec = Spec::new(
    "log.level",
    Kind::Choice(&["info", "off", "error", "warn", "debug", "trace"]),
    "\"info\"",
    "How much is logged.",
)
.variables(&["COORD_LOG"])
.flag("--log-level");
pub static LOG_FORMAT: Spec = Spec::new(
    "log.format",
    Kind::Choice(&["text", "json"]),
    "\"text\"",
    "How a log line looks.",
)
.variables(&["COORD_LOG_FORMAT"])
.flag("--log-format");

/// What a coordinator reads, in the order in which it is shown.
pub static SERVER: [&Spec; 57] = [
    &PROFILE,
    &STATE_DIR,
    &OPERATOR_TOKEN,
    &NODE_NAME,
    &WEBSOCKET_HOST,
    &WEBSOCKET_PORT,
    &WEBSOCKET_TLS,
    &TLS_CERTIFICATE_FILE,
    &TLS_KEY_FILE,
    &ALLOWED_HOSTS,
    &ALLOWED_ORIGINS,
    &ALLOW_PLAINTEXT,
    &CONNECTIONS_MAX,
    &MESSAGE_BYTES_MAX,
    &HANDSHAKE_TIMEOUT_MS,
    &PING_INTERVAL_MS,
    &METRICS_HOST,
    &METRICS_PORT,
    &METRICS_PATH,
    &METRICS_ALLOW_PLAINTEXT,
    &METRICS_ALLOWED_HOSTS,
    &REDIS_URL,
    &REDIS_HOST,
    &REDIS_PORT,
    &REDIS_USER,
    &REDIS_PASSWORD,
    &REDIS_TLS,
    &REDIS_DATABASE,
    &REDIS_CA_FILE,
    &REDIS_CLUSTER,
    &REDIS_SENTINELS,
    &REDIS_SENTINEL_MASTER,
    &REDIS_SENTINEL_USER,
    &REDIS_SENTINEL_PASSWORD,
    &REDIS_WAIT_REPLICAS,
    &REDIS_WAIT_MS,
    &JOURNAL_SEGMENT_BYTES,
    &JOURNAL_LIVE_BYTES_MAX,
    &JOURNAL_RESERVE_BYTES,
    &SESSION_GRACE_MS,
    &FIREWALL_DEFAULT_DROP,
    &FIREWALL_WEBSOCKET_FROM,
    &FIREWALL_METRICS_FROM,
    &FIREWALL_REDIS_FROM,
    &FIREWALL_SSH_FROM,
    &FIREWALL_SSH_PORTS,
    &FIREWALL_OPEN_PORTS,
    &FIREWALL_LEASE_PORTS,
    &FIREWALL_INTERFACES,
    &FIREWALL_DENY,
    &FIREWALL_TRUSTED,
    &FIREWALL_NEW_PER_MINUTE_MAX,
    &FIREWALL_CONNECTIONS_PER_SOURCE_MAX,
    &FIREWALL_LOG_PER_MINUTE_MAX,
    &FIREWALL_STATUS_FILE,
    &LOG_LEVEL,
    &LOG_FORMAT,
];

pub static CLIENT_URL: Spec = Spec::new(
    "url",
    Kind::Url,
    "\"wss://gateway.example:8766/ws\"",
    "The coordinator to talk to. Without it: the one on this machine, on the profile's port.",
)
.variables(&["COORD_URL"])
.flag("--url");
pub static CLIENT_TOKEN: Spec = Spec::new(
    "token",
    Kind::Secret,
    "\"…\"",
    "Who to be. Without it: the operator token of the local state directory, where it can be read.",
)
.variables(&["COORD_TOKEN"])
.flag("--token-file")
.credential("token");
pub static CLIENT_PROJECT: Spec = Spec::new(
    "project",
    Kind::Text,
    "\"default\"",
    "The project to work in.",
)
.variables(&["COORD_PROJECT"])
.flag("--project");
pub static CLIENT_ALLOW_PLAINTEXT: Spec = Spec::new(
    "allow_plaintext",
    Kind::Boolean,
    "false",
    "Send the token over ws: to another machine all the same.",
)
.variables(&["COORD_ALLOW_PLAINTEXT"])
.flag("--allow-plaintext");
pub static CLIENT_TLS_CA_FILE: Spec = Spec::new(
    "tls_ca_file",
    Kind::Path,
    "\"ca.pem\"",
    "Trust certificates signed by these, as PEM, instead of by the machine's.",
)
.variables(&["COORD_TLS_CA_FILE"])
.flag("--tls-ca-file");
pub static CLIENT_TLS_FINGERPRINT: Spec = Spec::new("tls_fingerprint", Kind::Text, "\"SHA256:…\"", "Trust the one certificate with this SHA-256 fingerprint, 64 hexadecimal digits: what a coordinator with a self-signed one shows at its start.")
    .variables(&["COORD_TLS_FINGERPRINT"])
    .flag("--tls-fingerprint");

/// What the command line reads to find its coordinator. The first three are a coordinator's: they
/// tell where the one on this machine is.
pub static CLIENT: [&Spec; 9] = [
    &PROFILE,
    &STATE_DIR,
    &WEBSOCKET_PORT,
    &CLIENT_URL,
    &CLIENT_TOKEN,
    &CLIENT_PROJECT,
    &CLIENT_ALLOW_PLAINTEXT,
    &CLIENT_TLS_CA_FILE,
    &CLIENT_TLS_FINGERPRINT,
];

/// Where a coordinator's file is; not a setting of the file itself.
pub const CONFIG_FLAG: &str = "--config";
pub const CONFIG_VARIABLE: &str = "COORD_CONFIG";
/// Where the client's file is.
pub const CLIENT_CONFIG_VARIABLE: &str = "COORD_CLIENT_CONFIG";
/// What systemd calls the folder of `StateDirectory=`; several, joined by colons, are possible.
pub const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

impl Spec {
    const fn new(key: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Self {
        Self {
            key,
            kind,
            doc,
            variables: &[],
            flag: None,
            credential: None,
            example,
        }
    }

    const fn variables(mut self, variables: &'static [&'static str]) -> Self {
        self.variables = variables;
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn credential(mut self, credential: &'static str) -> Self {
        self.credential = Some(credential);
        self
    }

    /// The section of the file, and the key in it.
    pub fn section_and_leaf(&self) -> (Option<&'static str>, &'static str) {
        match self.key.split_once('.') {
            Some((section, leaf)) => (Some(section), leaf),
            None => (None, self.key),
        }
    }

    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// All variables it is read from, those that name a file included.
    pub fn all_variables(&self) -> impl Iterator<Item = String> {
        self.variables.iter().flat_map(|name| {
            let file = self.is_secret().then(|| format!("{name}_FILE"));
            std::iter::once((*name).to_owned()).chain(file)
        })
    }
}

const fn count(unit: &'static str, min: u64, max: u64, default: u64) -> Kind {
    Kind::Count {
        unit,
        min,
        max,
        default,
    }
}
