//! Settings that a reload can change. Each new connection and request reads them; open connections keep the
//! values that they started with.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::config::Config;
use crate::http::access::Access;
use crate::http::tls::{self, Tls, TlsError};

/// The present settings.
#[derive(Debug, Clone)]
pub(super) struct Live(Arc<RwLock<Arc<Values>>>);

/// One set of them.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) access: Access,
    /// Of the metrics port.
    pub(super) scrape_access: Access,
    pub(super) handshake_timeout: Duration,
    pub(super) ping_interval: Duration,
    pub(super) tls: Option<Tls>,
}

impl Values {
    /// Reads the configured certificate and key.
    pub(super) fn read(config: &Config) -> Result<Self, TlsError> {
        let load = |tls| tls::load(tls, &config.state_dir, &certificate_names(config));
        let tls = config.websocket.tls.as_ref().map(load).transpose()?;
        let (websocket, metrics) = (&config.websocket, &config.metrics);
        Ok(Self {
            access: Access::new(
                &websocket.endpoint,
                "websocket.allowed_hosts (COORD_ALLOWED_HOSTS)",
                &websocket.allowed_hosts,
                &websocket.allowed_origins,
            ),
            scrape_access: Access::new(
                &metrics.endpoint,
                "metrics.allowed_hosts (COORD_METRICS_ALLOWED_HOSTS)",
                // Allowed hosts for agents are also allowed for scrapers.
                &[&metrics.allowed_hosts[..], &websocket.allowed_hosts].concat(),
                &[],
            ),
            handshake_timeout: websocket.handshake_timeout,
            ping_interval: websocket.ping_interval,
            tls,
        })
    }
}

impl Live {
    pub(super) fn new(values: Values) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(values))))
    }

    pub(super) fn values(&self) -> Arc<Values> {
        let values = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&values)
    }

    pub(super) fn replace(&self, values: Values) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(values);
    }
}

fn certificate_names(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let host = &config.websocket.endpoint.host;
    if !host.is_wildcard() && !host.is_loopback() {
        names.push(host.to_string());
    }
    let allowed = config.websocket.allowed_hosts.iter();
    names.extend(allowed.map(|allowed| allowed.host.to_string()));
    names
}
