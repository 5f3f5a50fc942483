//! Where the fleet's MQTT broker is, how to get in, and what is published there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::host::{Endpoint, split_port};
use super::names::NodeName;
use super::problem::{Misfit, quoted};
use super::reader::Reader;
use super::secret::Secret;
use super::settings::{self, Spec};
use crate::engine::ids::ProjectName;

/// A topic has at most this many bytes and slashes, of which `/event/<project>` needs some: AWS IoT Core allows 256
/// and 7.
const TOPIC_BYTES_MAX: usize = 200;
const TOPIC_SLASHES_MAX: usize = 6;
/// AWS IoT Core's.
const CLIENT_ID_BYTES_MAX: usize = 128;

/// An `mqtt:` or `mqtts:` URL, taken apart. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttUrl {
    pub tls: bool,
    pub endpoint: Endpoint,
}

/// A part of a topic: levels of letters, digits and `-_.~`, joined by slashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TopicPath(String);

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum MqttVersion {
    #[serde(rename = "5")]
    V5,
    #[serde(rename = "3.1.1")]
    V311,
}

/// Which events are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MqttEvents {
    All,
    None,
}

/// A broker to be seen at.
#[derive(Debug, Clone)]
pub struct MqttConfig {
    pub url: MqttUrl,
    pub version: MqttVersion,
    pub client_id: String,
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// The authorities to trust instead of the machine's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Certificate and key to show to the broker, as PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    pub prefix: TopicPath,
    pub fleet: TopicPath,
    /// The box's part of the topics.
    pub node: NodeName,
    pub keep_alive: Duration,
    pub health_interval: Duration,
    pub events: MqttEvents,
    pub thin_edge: bool,
    pub home_assistant_prefix: Option<TopicPath>,
}

impl MqttConfig {
    /// What all topics of this box begin with.
    pub fn root(&self) -> String {
        let (prefix, fleet, node) = (&self.prefix, &self.fleet, self.node.as_str());
        format!("{prefix}/{fleet}/{node}")
    }
}

/// `None` unless there is a URL.
pub(super) fn read(reader: &mut Reader, node: &NodeName) -> Option<MqttConfig> {
    let url = reader.optional(&settings::MQTT_URL);
    let client_id = reader.optional(&settings::MQTT_CLIENT_ID);
    let user = reader.optional(&settings::MQTT_USER);
    let password = reader.optional(&settings::MQTT_PASSWORD);
    let ca_file = reader.optional(&settings::MQTT_CA_FILE);
    let certificate = reader.optional(&settings::MQTT_CERTIFICATE_FILE);
    let key = reader.optional(&settings::MQTT_KEY_FILE);
    let home_assistant_prefix = reader.optional(&settings::MQTT_HOME_ASSISTANT_PREFIX);
    let version = reader.get(&settings::MQTT_VERSION);
    let (prefix, fleet) = (
        reader.get(&settings::MQTT_PREFIX),
        reader.get(&settings::MQTT_FLEET),
    );
    let keep_alive = reader.milliseconds(&settings::MQTT_KEEP_ALIVE_MS);
    let health_interval = reader.milliseconds(&settings::MQTT_HEALTH_INTERVAL_MS);
    let events = reader.get(&settings::MQTT_EVENTS);
    let thin_edge = reader.get(&settings::MQTT_THIN_EDGE);
    let allow_plaintext = reader.get(&settings::MQTT_ALLOW_PLAINTEXT);
    let Some(url) = url else {
        idle(reader);
        return None;
    };
    let config = MqttConfig {
        client_id: client_id.unwrap_or_else(|| format!("coord-{}", node.as_str())),
        certificate: certificate.clone().zip(key.clone()),
        url,
        version,
        user,
        password,
        ca_file,
        prefix,
        fleet,
        node: node.clone(),
        keep_alive,
        health_interval,
        events,
        thin_edge,
        home_assistant_prefix,
    };
    check(
        reader,
        &config,
        allow_plaintext,
        certificate.is_some() != key.is_some(),
    );
    Some(config)
}

fn check(reader: &mut Reader, config: &MqttConfig, allow_plaintext: bool, half: bool) {
    let mut wrong = |spec: &Spec, what: &str, right: &str| {
        reader.problem(spec, reader.source(spec), Misfit::new(what, right));
    };
    let host = &config.url.endpoint.host;
    if !config.url.tls && !allow_plaintext && !host.is_loopback() {
        wrong(
            &settings::MQTT_URL,
            &format!("{host} is not loopback, and connections would not be encrypted"),
            "write mqtts:// instead of mqtt://, or set mqtt.allow_plaintext = true \
             (COORD_MQTT_ALLOW_PLAINTEXT=true) if everybody on the way may read and change what is published",
        );
    }
    if half {
        wrong(
            &settings::MQTT_CERTIFICATE_FILE,
            "a client certificate needs its key, and a key its certificate",
            "set both mqtt.certificate_file and mqtt.key_file",
        );
    }
    if config.password.is_some() && config.user.is_none() {
        wrong(
            &settings::MQTT_PASSWORD,
            "there is a password, but no user",
            "set mqtt.user",
        );
    }
    if config.client_id.len() > CLIENT_ID_BYTES_MAX {
        let right = format!("use at most {CLIENT_ID_BYTES_MAX} bytes");
        wrong(
            &settings::MQTT_CLIENT_ID,
            "the client id is too long",
            &right,
        );
    }
    let root = config.root();
    let bytes_max = TOPIC_BYTES_MAX - "/event/".len() - ProjectName::BYTES_MAX;
    let slashes = root.matches('/').count() + 2;
    if root.len() > bytes_max || slashes > TOPIC_SLASHES_MAX {
        wrong(
            &settings::MQTT_PREFIX,
            &format!("topics below {} are too long or too deep", quoted(&root)),
            &format!(
                "use a prefix, a fleet and a node.name of together at most {bytes_max} bytes and {} slashes",
                TOPIC_SLASHES_MAX - 2
            ),
        );
    }
    if !config.url.tls {
        let files: [(&Spec, bool); 2] = [
            (&settings::MQTT_CA_FILE, config.ca_file.is_some()),
            (
                &settings::MQTT_CERTIFICATE_FILE,
                config.certificate.is_some(),
            ),
        ];
        for (spec, _) in files.iter().filter(|(_, set)| *set) {
            let text = format!("{} has no effect: mqtt.url is not mqtts:", spec.key);
            reader.warn(reader.source(spec), text);
        }
    }
}

/// Somebody prepared for MQTT without asking for it.
fn idle(reader: &mut Reader) {
    let prepared = settings::SERVER
        .iter()
        .filter(|spec| spec.key.starts_with("mqtt."));
    for spec in prepared {
        // A wrong URL is reported already.
        if let Some(source) = reader.given_by(spec).cloned()
            && spec.key != settings::MQTT_URL.key
        {
            let text = format!("{} has no effect: mqtt.url is not set", spec.key);
            reader.warn(source, text);
        }
    }
}

impl MqttVersion {
    pub(super) const WORDS: [&str; 2] = ["5", "3.1.1"];
    pub(super) const ALL: [Self; 2] = [Self::V5, Self::V311];
}

impl MqttEvents {
    pub(super) const WORDS: [&str; 2] = ["all", "none"];
    pub(super) const ALL: [Self; 2] = [Self::All, Self::None];
}

impl TopicPath {
    pub(super) fn prefix() -> Self {
        Self("coord/v1".to_owned())
    }

    pub(super) fn fleet() -> Self {
        Self("default".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicPath {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let is_level = |level: &str| !level.is_empty() && level.bytes().all(allowed);
        if text.len() <= TOPIC_BYTES_MAX && text.split('/').all(is_level) {
            return Ok(Self(text.to_owned()));
        }
        Err(Misfit::new(
            format!("{} is not a part of a topic", quoted(text)),
            "use letters, digits and -_.~ between slashes, as in coord/v1",
        ))
    }
}

impl FromStr for MqttUrl {
    type Err = Misfit;

    /// Errors repeat of the URL only what cannot be a secret.
    fn from_str(text: &str) -> Result<Self, Misfit> {
        const RIGHT: &str = "write mqtts://host:port, or mqtt:// without TLS";
        let wrong = |what: &str| Misfit::new(what, RIGHT);
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("the URL has no scheme"))?;
        let (tls, standard_port) = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" => (false, "1883"),
            "mqtts" => (true, "8883"),
            _ => return Err(wrong("the URL's scheme is neither mqtt nor mqtts")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['@', '?', '#', '/']) {
            let what = "the URL may have only a host and a port";
            let right = format!("{RIGHT}; a password belongs in mqtt.user and mqtt.password_file");
            return Err(Misfit::new(what, right));
        }
        let (host, port) = split_port(rest);
        let port = port.unwrap_or(standard_port);
        Ok(Self {
            tls,
            endpoint: Endpoint {
                host: host.parse()?,
                port: (port.parse())
                    .map_err(|_| wrong(&format!("{} is not a port", quoted(port))))?,
            },
        })
    }
}

impl fmt::Display for TopicPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MqttUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}", self.endpoint)
    }
}

impl Serialize for MqttUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
