//! Where a coordinator listens, and to whom: agents and Prometheus.

use std::path::PathBuf;
use std::time::Duration;

use super::files;
use super::host::{AllowedHost, Endpoint, WebOrigin};
use super::names::MetricsPath;
use super::reader::Reader;
use super::settings;
use super::web::{WebConfig, WebSource};
use super::web_settings;

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
    /// Whether outcomes and latencies of each operation are shown.
    pub detail: bool,
    pub allowed_hosts: Vec<AllowedHost>,
    pub(super) allow_plaintext: bool,
    /// Where its security is written down.
    pub security: WebSource,
    /// The security as it was when the configuration was read.
    pub web: WebConfig,
}

impl WebSocketConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            endpoint: Endpoint {
                host: reader.get(&settings::WEBSOCKET_HOST),
                port: reader.get(&settings::WEBSOCKET_PORT),
            },
            tls: TlsConfig::read(reader),
            allowed_hosts: reader.get(&settings::ALLOWED_HOSTS),
            allowed_origins: reader.get(&settings::ALLOWED_ORIGINS),
            connections_max: reader.size(&settings::CONNECTIONS_MAX),
            message_bytes_max: reader.size(&settings::MESSAGE_BYTES_MAX),
            handshake_timeout: reader.milliseconds(&settings::HANDSHAKE_TIMEOUT_MS),
            ping_interval: reader.milliseconds(&settings::PING_INTERVAL_MS),
        }
    }
}

impl TlsConfig {
    fn read(reader: &mut Reader) -> Option<Self> {
        let on = reader.get(&settings::WEBSOCKET_TLS);
        let certificate = reader.optional(&settings::TLS_CERTIFICATE_FILE);
        let key = reader.optional(&settings::TLS_KEY_FILE);
        files::check_tls(reader, on, certificate.as_deref(), key.as_deref());
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Self::Files { certificate, key },
            _ => Self::SelfSigned,
        };
        on.then_some(tls)
    }
}

impl MetricsConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let endpoint = Endpoint {
            host: reader.get(&settings::METRICS_HOST),
            port: reader.get(&settings::METRICS_PORT),
        };
        let allow_plaintext = reader.get(&settings::METRICS_ALLOW_PLAINTEXT);
        let needs_tls = !allow_plaintext && !endpoint.host.is_loopback();
        let (security, web) = web_settings::read(reader, needs_tls);
        Self {
            endpoint,
            path: reader.get(&settings::METRICS_PATH),
            detail: reader.get(&settings::METRICS_DETAIL),
            allowed_hosts: reader.get(&settings::METRICS_ALLOWED_HOSTS),
            allow_plaintext,
            security,
            web,
        }
    }

    pub fn scheme(&self) -> &'static str {
        match self.web.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}
