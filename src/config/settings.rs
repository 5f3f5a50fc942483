//! The table of settings: the one place that says which there are. A row has the setting's key, kind,
//! bounds and default, variables, flag, and what it is for.
//!
//! Keys are those of the file: `websocket.port` is `port` in section `[websocket]`.

use std::path::PathBuf;

use super::host::{AllowedHost, Host, WebOrigin};
pub use super::kinds::{Choice, Count, Kind, Or, Plain, ServicePort, Words};
use super::log::{LogFormat, LogLevel};
use super::mqtt::{MqttEvents, MqttUrl, MqttVersion, TopicPath};
use super::names::{ClientName, MetricsPath, NodeName};
use super::network::{InterfaceName, Network, OpenPort};
use super::push::PushProtocol;
use super::push_values::{PushHeader, PushLabel, PushUrl};
use super::secret::Secret;
use super::server_url::{Fingerprint, ServerUrl};
pub use super::setting::{Setting, Spec};
use super::setting::{boolean, choice, count, host, list, of, path, port, settings};
use super::value;
use crate::edge::ports::{PortRange, Profile, Service};
use crate::engine::ids::{ProjectName, SeatName};

const PROFILES: [&str; Profile::ALL.len()] = [
    Profile::Production.name(),
    Profile::Staging.name(),
    Profile::Development.name(),
    Profile::Testing.name(),
];

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// Where a coordinator's file is; not a setting of the file itself.
pub const CONFIG_VARIABLE: &str = "COORD_CONFIG";
/// Where the client's file is.
pub const CLIENT_CONFIG_VARIABLE: &str = "COORD_CLIENT_CONFIG";
/// What systemd calls the folder of `StateDirectory=`; several, joined by colons, are possible.
pub const STATE_DIRECTORY: &str = "STATE_DIRECTORY";
/// Written by root, read by everybody: its folder belongs to nobody else.
pub const FIREWALL_STATUS_FILE_DEFAULT: &str = "/run/coord-firewall-status/status.json";

settings! {
    /// What a coordinator reads, in the order in which it is shown.
    SERVER: [];

    PROFILE: Choice<Profile> =
        choice("profile", &PROFILES, &Profile::ALL, Profile::fallback() as usize)
        .variables(&["COORD_PROFILE"])
        .flag("--profile", "PROFILE")
        .doc("The environment of this coordinator; it decides the ports.");
    STATE_DIR: Plain<PathBuf> = path("state_dir", "/var/lib/coord")
        .variables(&["COORD_STATE_DIR", STATE_DIRECTORY])
        .flag("--state-dir", "DIR")
        .doc("The folder for the journal, snapshots and the operator token. Default: systemd's state directory, \
              otherwise $XDG_STATE_HOME/coord, otherwise ~/.local/state/coord.");
    OPERATOR_TOKEN: Plain<Secret> =
        of("operator_token", Kind::Secret, value::token, "write-the-output-of-openssl-rand-hex-32")
        .variables(&["COORD_OPERATOR_TOKEN"])
        .flag("--operator-token-file", "FILE")
        .credential("operator_token")
        .reloads()
        .doc("The token of the operator. Default: the coordinator creates one in the state directory at its \
              first start. A reload applies a changed token.");

    NODE_NAME: Plain<NodeName> = of("node.name", Kind::Text, value::parsed, "gateway-1")
        .variables(&["COORD_NODE_NAME"])
        .flag("--node-name", "NAME")
        .doc("The name of this coordinator. Default: the host name.");

    WEBSOCKET_HOST: Or<Host> = host("websocket.host")
        .variables(&["WEBSOCKET_HOST"])
        .flag("--websocket-host", "HOST")
        .doc("The address that agents connect to. An address other than loopback needs tls or allow_plaintext.");
    WEBSOCKET_PORT: ServicePort = port("websocket.port", Service::WebSocket)
        .variables(&["WEBSOCKET_PORT"])
        .flag("--websocket-port", "PORT")
        .doc("The port that agents connect to.");
    WEBSOCKET_TLS: Or<bool> = boolean("websocket.tls")
        .variables(&["WEBSOCKET_SSL_ENABLED"])
        .flag("--websocket-tls", "BOOL")
        .doc("Serve wss: instead of ws:. Without the two files below, the coordinator creates a self-signed \
              certificate and prints its fingerprint.");
    TLS_CERTIFICATE_FILE: Plain<PathBuf> = path("websocket.tls_certificate_file", "certificate.pem")
        .variables(&["COORD_TLS_CERTIFICATE_FILE"])
        .flag("--tls-certificate-file", "FILE")
        .credential("tls_certificate")
        .reloads()
        .doc("The certificate chain, as PEM.");
    TLS_KEY_FILE: Plain<PathBuf> = path("websocket.tls_key_file", "key.pem")
        .variables(&["COORD_TLS_KEY_FILE"])
        .flag("--tls-key-file", "FILE")
        .credential("tls_key")
        .reloads()
        .doc("The certificate's private key, as PEM.");
    ALLOWED_HOSTS: Or<Vec<AllowedHost>> =
        list("websocket.allowed_hosts", Kind::Hosts, "gateway.example, gateway.example:8768")
        .variables(&["COORD_ALLOWED_HOSTS"])
        .flag("--allowed-hosts", "HOST,…")
        .reloads()
        .doc("More names that clients may use for this coordinator (their Host header), in addition to its own \
              address and loopback.");
    ALLOWED_ORIGINS: Or<Vec<WebOrigin>> =
        list("websocket.allowed_origins", Kind::Origins, "https://dashboard.example")
        .variables(&["COORD_ALLOWED_ORIGINS"])
        .flag("--allowed-origins", "ORIGIN,…")
        .reloads()
        .doc("Web pages that may connect (their Origin header). Programs other than browsers send \
            none and need no entry.");
    ALLOW_PLAINTEXT: Or<bool> = boolean("websocket.allow_plaintext")
        .variables(&["COORD_ALLOW_PLAINTEXT"])
        .flag("--allow-plaintext", "BOOL")
        .doc("Serve ws: beyond loopback, for instance behind a proxy that encrypts. Tokens then cross the \
              network unencrypted.");
    CONNECTIONS_MAX: Count = count("websocket.connections_max", "connections", 1, 100_000, 10_240)
        .variables(&["COORD_CONNECTIONS_MAX"])
        .doc("The maximum number of open connections.");
    MESSAGE_BYTES_MAX: Count =
        count("websocket.message_bytes_max", "bytes", 4 * KIB, 16 * MIB, MIB)
        .variables(&["COORD_MESSAGE_BYTES_MAX"])
        .doc("The maximum size of one request.");
    HANDSHAKE_TIMEOUT_MS: Count = count("websocket.handshake_timeout_ms", "ms", 100, 60_000, 5_000)
        .variables(&["COORD_HANDSHAKE_TIMEOUT_MS"])
        .reloads()
        .doc("The time limit for a client's handshake.");
    PING_INTERVAL_MS: Count = count("websocket.ping_interval_ms", "ms", 1_000, 300_000, 20_000)
        .variables(&["COORD_PING_INTERVAL_MS"])
        .reloads()
        .doc("The interval of heartbeats to a silent client.");

    METRICS_HOST: Or<Host> = host("metrics.host")
        .variables(&["COORD_METRICS_HOST"])
        .flag("--metrics-host", "HOST")
        .doc("The address that Prometheus scrapes. An address other than loopback needs TLS or allow_plaintext.");
    METRICS_PORT: ServicePort = port("metrics.port", Service::Metrics)
        .variables(&["METRICS_PORT"])
        .flag("--metrics-port", "PORT")
        .doc("The port that Prometheus scrapes.");
    METRICS_PATH: Or<MetricsPath> =
        of("metrics.path", Kind::UrlPath, value::parsed, "").or(MetricsPath::default)
        .variables(&["METRICS_PATH"])
        .flag("--metrics-path", "PATH")
        .doc("The path that Prometheus scrapes.");
    METRICS_DETAIL: Or<bool> = boolean("metrics.detail")
        .variables(&["COORD_METRICS_DETAIL"])
        .doc("Show the outcomes and latencies of each operation, for benchmarks: about 1,500 series more.");
    METRICS_WEB_CONFIG_FILE: Plain<PathBuf> = path("metrics.web_config_file", "web.yml")
        .variables(&["COORD_METRICS_WEB_CONFIG_FILE"])
        .flag("--metrics-web-config-file", "FILE")
        .reloads()
        .doc("Secure the metrics by a web-config file of Prometheus' exporters (TLS, client certificates, \
              passwords). The coordinator reads it again when it changes.");
    METRICS_TLS_CERTIFICATE_FILE: Plain<PathBuf> =
        path("metrics.tls_certificate_file", "metrics.pem")
        .variables(&["COORD_METRICS_TLS_CERTIFICATE_FILE"])
        .credential("metrics_tls_certificate")
        .reloads()
        .doc("Serve the metrics over https: with this certificate chain, as PEM. A changed file is read again.");
    METRICS_TLS_KEY_FILE: Plain<PathBuf> = path("metrics.tls_key_file", "metrics.key")
        .variables(&["COORD_METRICS_TLS_KEY_FILE"])
        .credential("metrics_tls_key")
        .reloads()
        .doc("The private key of metrics.tls_certificate_file, as PEM.");
    METRICS_CLIENT_CA_FILE: Plain<PathBuf> = path("metrics.client_ca_file", "prometheus-ca.pem")
        .variables(&["COORD_METRICS_CLIENT_CA_FILE"])
        .reloads()
        .doc("Let only clients read the metrics whose certificate these authorities signed, as PEM.");
    METRICS_CLIENT_ALLOWED_NAMES: Or<Vec<ClientName>> =
        list("metrics.client_allowed_names", Kind::Names, "prometheus.example")
        .variables(&["COORD_METRICS_CLIENT_ALLOWED_NAMES"])
        .reloads()
        .doc("Of those clients, only the ones with one of these names in their certificate (DNS name, e-mail, \
              URI or IP address).");
    METRICS_BASIC_AUTH_USERS_FILE: Plain<PathBuf> =
        path("metrics.basic_auth_users_file", "metrics.htpasswd")
        .variables(&["COORD_METRICS_BASIC_AUTH_USERS_FILE"])
        .credential("metrics_basic_auth_users")
        .reloads()
        .doc("Ask for a user and password: a file of `htpasswd -B` (bcrypt). A changed file is read again.");
    METRICS_TOKEN: Plain<Secret> =
        of("metrics.token", Kind::Secret, value::token, "write-the-output-of-openssl-rand-hex-32")
        .variables(&["COORD_METRICS_TOKEN"])
        .credential("metrics_token")
        .reloads()
        .doc("Ask for this bearer token. Where passwords are set too, either will do. A changed file is read again.");
    METRICS_ALLOW_PLAINTEXT: Or<bool> = boolean("metrics.allow_plaintext")
        .variables(&["COORD_METRICS_ALLOW_PLAINTEXT"])
        .flag("--metrics-allow-plaintext", "BOOL")
        .doc("Serve metrics beyond loopback without TLS: everybody on the way can read them, and passwords too.");
    METRICS_ALLOWED_HOSTS: Or<Vec<AllowedHost>> =
        list("metrics.allowed_hosts", Kind::Hosts, "gateway.example, gateway.example:9093")
        .variables(&["COORD_METRICS_ALLOWED_HOSTS"])
        .flag("--metrics-allowed-hosts", "HOST,…")
        .reloads()
        .doc("More names that Prometheus may use for the metrics (its Host header), in addition to addresses, \
              loopback, metrics.host and websocket.allowed_hosts.");

    REDIS_URL: Plain<Secret> =
        of("redis.url", Kind::Secret, value::secret, "rediss://user:password@redis.example:6380/0")
        .variables(&["REDIS_URL"])
        .flag("--redis-url-file", "FILE")
        .credential("redis_url")
        .doc("The connection URL of Redis. A setting below overrides it if it comes from a stronger source. \
              Redis is used when redis.url, host, port or sentinels is set; otherwise the journal is on this \
              machine.");
    REDIS_HOST: Or<Host> = host("redis.host")
        .variables(&["REDIS_HOST"])
        .flag("--redis-host", "HOST")
        .doc("The host of Redis.");
    REDIS_PORT: ServicePort = port("redis.port", Service::Redis)
        .variables(&["REDIS_PORT"])
        .flag("--redis-port", "PORT")
        .doc("The port of Redis.");
    REDIS_USER: Plain<String> = of("redis.user", Kind::Text, value::string, "coord")
        .variables(&["REDIS_USER"])
        .flag("--redis-user", "USER")
        .doc("The ACL user of Redis.");
    REDIS_PASSWORD: Plain<Secret> = of("redis.password", Kind::Secret, value::secret, "a long one")
        .variables(&["REDIS_PASSWORD"])
        .flag("--redis-password-file", "FILE")
        .credential("redis_password")
        .doc("The password of Redis.");
    REDIS_TLS: Or<bool> = boolean("redis.tls")
        .variables(&["REDIS_TLS"])
        .flag("--redis-tls", "BOOL")
        .doc("Use TLS to Redis.");
    REDIS_DATABASE: Count = count("redis.database", "", 0, 1023, 0)
        .variables(&["REDIS_DATABASE"])
        .doc("The number of the Redis database; a Cluster has only 0.");
    REDIS_CA_FILE: Plain<PathBuf> = path("redis.ca_file", "redis-ca.pem")
        .variables(&["COORD_REDIS_CA_FILE"])
        .doc("The PEM file of the authorities to trust for Redis, instead of the machine's.");
    REDIS_CLUSTER: Or<bool> = boolean("redis.cluster")
        .variables(&["COORD_REDIS_CLUSTER"])
        .doc("Redis is a Cluster: host and port, or the URL, name any of its nodes.");
    REDIS_SENTINELS: Or<Vec<AllowedHost>> =
        list("redis.sentinels", Kind::Hosts, "sentinel-1.example, sentinel-2.example:26379")
        .variables(&["COORD_REDIS_SENTINELS"])
        .doc("The Sentinels that say where Redis is, instead of host, port and URL. The default port is 26379.");
    REDIS_SENTINEL_MASTER: Plain<String> =
        of("redis.sentinel_master", Kind::Text, value::string, "coord")
        .variables(&["COORD_REDIS_SENTINEL_MASTER"])
        .doc("The Sentinels' name for the master.");
    REDIS_SENTINEL_USER: Plain<String> =
        of("redis.sentinel_user", Kind::Text, value::string, "coord")
        .variables(&["COORD_REDIS_SENTINEL_USER"])
        .doc("The ACL user of the Sentinels.");
    REDIS_SENTINEL_PASSWORD: Plain<Secret> =
        of("redis.sentinel_password", Kind::Secret, value::secret, "a long one")
        .variables(&["COORD_REDIS_SENTINEL_PASSWORD"])
        .credential("redis_sentinel_password")
        .doc("The password of the Sentinels.");
    REDIS_WAIT_REPLICAS: Count = count("redis.wait_replicas", "replicas", 0, 16, 0)
        .variables(&["COORD_REDIS_WAIT_REPLICAS"])
        .doc("How many replicas must confirm a write before the coordinator answers, so that a failover loses no \
              acknowledged write. If too few confirm in time, the outcome is unknown: the coordinator finds it \
              out before it answers.");
    REDIS_WAIT_MS: Count = count("redis.wait_ms", "ms", 1, 60_000, 1_000)
        .variables(&["COORD_REDIS_WAIT_MS"])
        .doc("How long to wait for the replicas.");

    JOURNAL_SEGMENT_BYTES: Count =
        count("journal.segment_bytes", "bytes", 256 * KIB, 256 * MIB, 8 * MIB)
        .variables(&["COORD_JOURNAL_SEGMENT_BYTES"])
        .doc("The size of one preallocated segment of the journal.");
    JOURNAL_LIVE_BYTES_MAX: Count =
        count("journal.live_bytes_max", "bytes", 512 * KIB, 64 * GIB, 64 * MIB)
        .variables(&["COORD_JOURNAL_LIVE_BYTES_MAX"])
        .doc("How much journal may collect before a snapshot is taken and segments are reused.");
    JOURNAL_RESERVE_BYTES: Count = count("journal.reserve_bytes", "bytes", 64 * KIB, GIB, 4 * MIB)
        .variables(&["COORD_JOURNAL_RESERVE_BYTES"])
        .doc("Space that is reserved for a full disk, so that completes, releases and acknowledgements still work.");

    SESSION_GRACE_MS: Count = count("session.grace_ms", "ms", 0, 3_600_000, 30_000)
        .variables(&["COORD_SESSION_GRACE_MS"])
        .doc("How long a lost session can be resumed with all it held.");

    FIREWALL_DEFAULT_DROP: Or<bool> = boolean("firewall.default_drop")
        .variables(&["COORD_FIREWALL_DEFAULT_DROP"])
        .doc("Drop all traffic that no rule allows. Otherwise the rules cover only the ports of the services.");
    FIREWALL_WEBSOCKET_FROM: Or<Vec<Network>> =
        list("firewall.websocket_from", Kind::Networks, "10.0.0.0/8, 2001:db8::/64")
        .variables(&["COORD_FIREWALL_WEBSOCKET_FROM"])
        .doc("Networks from which agents may connect. This machine always may.");
    FIREWALL_METRICS_FROM: Or<Vec<Network>> =
        list("firewall.metrics_from", Kind::Networks, "192.0.2.10")
        .variables(&["COORD_FIREWALL_METRICS_FROM"])
        .doc("The addresses of the central Prometheus servers.");
    FIREWALL_REDIS_FROM: Or<Vec<Network>> =
        list("firewall.redis_from", Kind::Networks, "192.0.2.20-192.0.2.24")
        .variables(&["COORD_FIREWALL_REDIS_FROM"])
        .doc("Other coordinators that share the Redis of this machine. Default: no other machine can reach Redis.");
    FIREWALL_SSH_FROM: Or<Vec<Network>> = list("firewall.ssh_from", Kind::Networks, "10.0.0.0/8")
        .variables(&["COORD_FIREWALL_SSH_FROM"])
        .doc("With default_drop: networks from which SSH is allowed. Default: all.");
    FIREWALL_SSH_PORTS: Or<Vec<OpenPort>> = list("firewall.ssh_ports", Kind::OpenPorts, "22")
        .variables(&["COORD_FIREWALL_SSH_PORTS"])
        .doc("With default_drop: the SSH ports to keep open. Default: those in /etc/ssh/sshd_config, otherwise 22.");
    FIREWALL_OPEN_PORTS: Or<Vec<OpenPort>> =
        list("firewall.open_ports", Kind::OpenPorts, "443, 51820/udp")
        .variables(&["COORD_FIREWALL_OPEN_PORTS"])
        .doc("With default_drop: more ports that are open to everybody.");
    FIREWALL_LEASE_PORTS: Plain<PortRange> =
        of("firewall.lease_ports", Kind::Ports, value::ports, "20000-20999")
        .variables(&["COORD_FIREWALL_LEASE_PORTS"])
        .doc("With default_drop: TCP ports that `coord firewall leases` opens to websocket_from while an agent \
              holds a lease on them. Default: leases open no ports.");
    FIREWALL_INTERFACES: Or<Vec<InterfaceName>> =
        list("firewall.interfaces", Kind::Interfaces, "eth0")
        .variables(&["COORD_FIREWALL_INTERFACES"])
        .doc("The interfaces through which the services can be reached. Default: all.");
    FIREWALL_DENY: Or<Vec<Network>> = list("firewall.deny", Kind::Networks, "203.0.113.0/24")
        .variables(&["COORD_FIREWALL_DENY"])
        .doc("Networks that reach no service, even if another setting allows them; with default_drop they reach \
              no port at all.");
    FIREWALL_TRUSTED: Or<Vec<Network>> = list("firewall.trusted", Kind::Networks, "10.0.0.2")
        .variables(&["COORD_FIREWALL_TRUSTED"])
        .doc("Allowed networks without limits on the rate and number of connections, for instance many agents \
              behind one address.");
    FIREWALL_NEW_PER_MINUTE_MAX: Count =
        count("firewall.new_per_minute_max", "connections", 1, 60_000, 120)
        .variables(&["COORD_FIREWALL_NEW_PER_MINUTE_MAX"])
        .doc("The maximum number of new connections a minute from one source to a service. A source is an IPv4 \
              address or an IPv6 /64 network.");
    FIREWALL_CONNECTIONS_PER_SOURCE_MAX: Count =
        count("firewall.connections_per_source_max", "connections", 1, 100_000, 256)
        .variables(&["COORD_FIREWALL_CONNECTIONS_PER_SOURCE_MAX"])
        .doc("The maximum number of open connections from one source to a service.");
    FIREWALL_LOG_PER_MINUTE_MAX: Count = count("firewall.log_per_minute_max", "lines", 0, 6_000, 0)
        .variables(&["COORD_FIREWALL_LOG_PER_MINUTE_MAX"])
        .doc("How many dropped packets a minute the kernel logs for each reason; 0 logs none.");
    FIREWALL_STATUS_FILE: Or<PathBuf> =
        path("firewall.status_file", FIREWALL_STATUS_FILE_DEFAULT)
        .or(|| FIREWALL_STATUS_FILE_DEFAULT.into())
        .variables(&["COORD_FIREWALL_STATUS_FILE"])
        .doc("The file in which `coord firewall status --write` leaves the firewall's status for the \
              coordinator's metrics.");

    PUSH_URL: Plain<PushUrl> =
        of("push.url", Kind::Url, value::parsed, "https://prometheus.example/api/v1/write")
        .variables(&["COORD_PUSH_URL"])
        .flag("--push-url", "URL")
        .doc("Write the metrics to this receiver of Prometheus' remote write, for a machine that nobody can \
              scrape. `coord health push` tries it.");
    PUSH_PROTOCOL: Choice<PushProtocol> =
        choice("push.protocol", &PushProtocol::WORDS, &PushProtocol::ALL, 0)
        .variables(&["COORD_PUSH_PROTOCOL"])
        .doc("The version of remote write. 2.0 is smaller, and falls back to 1.0 if the receiver does not know it.");
    PUSH_INTERVAL_MS: Count = count("push.interval_ms", "ms", 1_000, 120_000, 60_000)
        .variables(&["COORD_PUSH_INTERVAL_MS"])
        .doc("How often the metrics are gathered and written.");
    PUSH_USER: Plain<String> = of("push.user", Kind::Text, value::string, "gateway-1")
        .variables(&["COORD_PUSH_USER"])
        .reloads()
        .doc("The user of the receiver (basic authentication).");
    PUSH_PASSWORD: Plain<Secret> = of("push.password", Kind::Secret, value::secret, "a long one")
        .variables(&["COORD_PUSH_PASSWORD"])
        .credential("push_password")
        .reloads()
        .doc("The password of push.user. A file is read again at each connect.");
    PUSH_TOKEN: Plain<Secret> = of("push.token", Kind::Secret, value::secret, "a long one")
        .variables(&["COORD_PUSH_TOKEN"])
        .credential("push_token")
        .reloads()
        .doc("The bearer token for the receiver, instead of user and password. A file is read again at each \
              connect.");
    PUSH_CA_FILE: Plain<PathBuf> = path("push.ca_file", "push-ca.pem")
        .variables(&["COORD_PUSH_CA_FILE"])
        .reloads()
        .doc("The PEM file of the authorities to trust for the receiver, instead of the machine's.");
    PUSH_CERTIFICATE_FILE: Plain<PathBuf> = path("push.certificate_file", "push.pem")
        .variables(&["COORD_PUSH_CERTIFICATE_FILE"])
        .credential("push_certificate")
        .reloads()
        .doc("The client certificate chain that the receiver asks for, as PEM. Read again at each connect.");
    PUSH_KEY_FILE: Plain<PathBuf> = path("push.key_file", "push.key")
        .variables(&["COORD_PUSH_KEY_FILE"])
        .credential("push_key")
        .reloads()
        .doc("The private key of push.certificate_file, as PEM.");
    PUSH_HEADERS: Or<Vec<PushHeader>> = list("push.headers", Kind::Pairs, "X-Scope-OrgID: fleet")
        .variables(&["COORD_PUSH_HEADERS"])
        .reloads()
        .doc("More headers of each request. They are no secrets: `coord config show` shows them.");
    PUSH_LABELS: Or<Vec<PushLabel>> = list("push.labels", Kind::Pairs, "site=north")
        .variables(&["COORD_PUSH_LABELS"])
        .reloads()
        .doc("More labels of each series, beside job, instance, environment and node.");
    PUSH_MAX_AGE_MS: Count =
        count("push.max_age_ms", "ms", 60_000, 2_592_000_000, 86_400_000)
        .variables(&["COORD_PUSH_MAX_AGE_MS"])
        .doc("How old metrics may become while the receiver cannot be reached; older ones are dropped. The \
              receiver must take samples of that age (out_of_order_time_window).");
    PUSH_MAX_BYTES: Count = count("push.max_bytes", "bytes", MIB, GIB, 16 * MIB)
        .variables(&["COORD_PUSH_MAX_BYTES"])
        .doc("How much waits for the receiver at most; the oldest metrics make room.");
    PUSH_CATCH_UP_PER_SECOND: Count = count("push.catch_up_per_second", "requests", 1, 1_000, 10)
        .variables(&["COORD_PUSH_CATCH_UP_PER_SECOND"])
        .doc("How many requests a second catch up after the receiver was away.");
    PUSH_ALLOW_PLAINTEXT: Or<bool> = boolean("push.allow_plaintext")
        .variables(&["COORD_PUSH_ALLOW_PLAINTEXT"])
        .doc("Write beyond loopback over http: everybody on the way can read metrics and credentials.");
    MQTT_URL: Plain<MqttUrl> = of("mqtt.url", Kind::Url, value::parsed, "mqtts://broker.example:8883")
        .variables(&["COORD_MQTT_URL"])
        .flag("--mqtt-url", "URL")
        .doc("The MQTT broker that this coordinator shows itself at. Default: none.");
    MQTT_VERSION: Choice<MqttVersion> =
        choice("mqtt.version", &MqttVersion::WORDS, &MqttVersion::ALL, 0)
        .variables(&["COORD_MQTT_VERSION"])
        .doc("The version of MQTT.");
    MQTT_CLIENT_ID: Plain<String> =
        of("mqtt.client_id", Kind::Text, value::string, "coord-gateway-1")
        .variables(&["COORD_MQTT_CLIENT_ID"])
        .doc("The client id. Each box needs one of its own. Default: coord- and node.name.");
    MQTT_USER: Plain<String> = of("mqtt.user", Kind::Text, value::string, "gateway-1")
        .variables(&["COORD_MQTT_USER"])
        .reloads()
        .doc("The user at the broker.");
    MQTT_PASSWORD: Plain<Secret> =
        of("mqtt.password", Kind::Secret, value::secret, "a long one")
        .variables(&["COORD_MQTT_PASSWORD"])
        .credential("mqtt_password")
        .reloads()
        .doc("The password at the broker.");
    MQTT_CA_FILE: Plain<PathBuf> = path("mqtt.ca_file", "broker-ca.pem")
        .variables(&["COORD_MQTT_CA_FILE"])
        .reloads()
        .doc("The PEM file of the authorities to trust for the broker, instead of the machine's.");
    MQTT_CERTIFICATE_FILE: Plain<PathBuf> = path("mqtt.certificate_file", "mqtt.pem")
        .variables(&["COORD_MQTT_CERTIFICATE_FILE"])
        .credential("mqtt_certificate")
        .reloads()
        .doc("The certificate chain to show to the broker, as PEM. It is read again at each connect.");
    MQTT_KEY_FILE: Plain<PathBuf> = path("mqtt.key_file", "mqtt.key")
        .variables(&["COORD_MQTT_KEY_FILE"])
        .credential("mqtt_key")
        .reloads()
        .doc("The private key of mqtt.certificate_file, as PEM.");
    MQTT_ALLOW_PLAINTEXT: Or<bool> = boolean("mqtt.allow_plaintext")
        .variables(&["COORD_MQTT_ALLOW_PLAINTEXT"])
        .doc("Use mqtt: beyond loopback. The password and all events then cross the network unencrypted.");
    MQTT_PREFIX: Or<TopicPath> =
        of("mqtt.prefix", Kind::Text, value::parsed, "coord/v1").or(TopicPath::prefix)
        .variables(&["COORD_MQTT_PREFIX"])
        .doc("What all topics begin with. Topics are PREFIX/FLEET/NODE/….");
    MQTT_FLEET: Or<TopicPath> =
        of("mqtt.fleet", Kind::Text, value::parsed, "default").or(TopicPath::fleet)
        .variables(&["COORD_MQTT_FLEET"])
        .doc("The fleet that this box belongs to.");
    MQTT_KEEP_ALIVE_MS: Count = count("mqtt.keep_alive_ms", "ms", 1_000, 1_000_000, 30_000)
        .variables(&["COORD_MQTT_KEEP_ALIVE_MS"])
        .doc("The interval of pings, in whole seconds. The broker says that the box is lost after one and a half of \
              them without any, and one more with MQTT 5.");
    MQTT_HEALTH_INTERVAL_MS: Count =
        count("mqtt.health_interval_ms", "ms", 1_000, 3_600_000, 60_000)
        .variables(&["COORD_MQTT_HEALTH_INTERVAL_MS"])
        .doc("How often the health is published when it does not change.");
    MQTT_EVENTS: Choice<MqttEvents> =
        choice("mqtt.events", &MqttEvents::WORDS, &MqttEvents::ALL, 0)
        .variables(&["COORD_MQTT_EVENTS"])
        .doc("Which events are published: those of all projects, or none.");
    MQTT_THIN_EDGE: Or<bool> = boolean("mqtt.thin_edge")
        .variables(&["COORD_MQTT_THIN_EDGE"])
        .doc("Register at thin-edge.io as a service with its health. The broker is then the local one of thin-edge.io.");
    MQTT_HOME_ASSISTANT_PREFIX: Plain<TopicPath> =
        of("mqtt.home_assistant_prefix", Kind::Text, value::parsed, "homeassistant")
        .variables(&["COORD_MQTT_HOME_ASSISTANT_PREFIX"])
        .doc("Announce this box to Home Assistant below this discovery prefix. Default: it is not announced.");

    LOG_LEVEL: Choice<LogLevel> = choice("log.level", &LogLevel::WORDS, &LogLevel::ALL, 0)
        .variables(&["COORD_LOG"])
        .flag("--log-level", "LEVEL")
        .reloads()
        .doc("The log level.");
    LOG_FORMAT: Choice<LogFormat> = choice("log.format", &LogFormat::WORDS, &LogFormat::ALL, 0)
        .variables(&["COORD_LOG_FORMAT"])
        .flag("--log-format", "FORMAT")
        .doc("The format of log lines.");
}

settings! {
    /// What the command line reads to find its coordinator. The first three are a coordinator's settings:
    /// they locate the one on this machine.
    CLIENT: [PROFILE, STATE_DIR, WEBSOCKET_PORT];

    CLIENT_URL: Plain<ServerUrl> =
        of("url", Kind::Url, value::parsed, "wss://gateway.example:8766/ws")
        .variables(&["COORD_URL"])
        .flag("--url", "URL")
        .doc("The coordinator to connect to. Default: the one on this machine, on the profile's port.");
    CLIENT_TOKEN: Plain<Secret> = of("token", Kind::Secret, value::made_token, "…")
        .variables(&["COORD_TOKEN"])
        .flag("--token-file", "FILE")
        .credential("token")
        .doc("The token to use. Default: the operator token in the local state directory, if it is readable.");
    CLIENT_PROJECT: Plain<ProjectName> = of("project", Kind::Text, value::project, "default")
        .variables(&["COORD_PROJECT"])
        .flag("--project", "NAME")
        .doc("The project to work in.");
    CLIENT_SEAT: Plain<SeatName> = of("seat", Kind::Text, value::seat, "claude-3f2a")
        .variables(&["COORD_SEAT"])
        .flag("--seat", "NAME")
        .doc("Which seat of the token's agent to be, where the token allows seats. Without it: the \
            one of the CLI session that the command was started from.");
    CLIENT_ALLOW_PLAINTEXT: Or<bool> = boolean("allow_plaintext")
        .variables(&["COORD_ALLOW_PLAINTEXT"])
        .flag("--allow-plaintext", "BOOL")
        .doc("Send the token over ws: to another machine, unencrypted.");
    CLIENT_TLS_CA_FILE: Plain<PathBuf> = path("tls_ca_file", "ca.pem")
        .variables(&["COORD_TLS_CA_FILE"])
        .flag("--tls-ca-file", "FILE")
        .doc("The PEM file of the authorities to trust, instead of the machine's.");
    CLIENT_TLS_FINGERPRINT: Plain<Fingerprint> =
        of("tls_fingerprint", Kind::Text, value::parsed, "SHA256:…")
        .variables(&["COORD_TLS_FINGERPRINT"])
        .flag("--tls-fingerprint", "SHA256")
        .doc("Trust only the certificate with this SHA-256 fingerprint (64 hexadecimal digits). A coordinator \
              with a self-signed certificate prints it at its start.");
}
