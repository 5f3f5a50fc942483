//! Which port configuration a coordinator, or a client that would start one here, has.

use super::env::{Environment, Invoker};
use super::flags::Flags;
use super::parsed::Config;
use super::settings::{self, Spec};
use crate::edge::ports::{PortFingerprint, PortPlan, Service};

impl Config {
    /// The fingerprint of the effective ports.
    pub fn port_fingerprint(&self) -> PortFingerprint {
        let redis = self.redis.as_ref().map(|redis| redis.endpoint.port);
        let plan = PortPlan {
            profile: self.profile,
            redis: redis.unwrap_or_else(|| self.profile.port(Service::Redis)),
            websocket: self.websocket.endpoint.port,
            metrics: self.metrics.endpoint.port,
            tls: self.websocket.tls.is_some(),
        };
        plan.fingerprint()
    }
}

/// The fingerprint of what a coordinator started here would have, if somebody chose anything of it
/// here. Who was only told a coordinator's URL has no opinion about ports.
pub(super) fn chosen_here(
    flags: &Flags,
    has_url: bool,
    environment: &dyn Environment,
) -> Option<PortFingerprint> {
    let mut of_server = Flags::default();
    of_server.set(&settings::PROFILE, flags.get(&settings::PROFILE));
    // Nothing is bound here, so every port will do. What is wrong with the configuration of a
    // coordinator is told by the commands that use it; a client has no opinion then.
    let config = Config::load(&of_server, environment, Invoker::from(0)).ok()?;
    let chosen = |spec: &Spec| config.origins.source(spec).is_given();
    let ports: [&Spec; 5] = [
        &settings::WEBSOCKET_PORT,
        &settings::WEBSOCKET_TLS,
        &settings::METRICS_PORT,
        &settings::REDIS_PORT,
        &settings::REDIS_URL,
    ];
    let any = ports.into_iter().any(chosen) || (chosen(&settings::PROFILE) && !has_url);
    any.then(|| config.port_fingerprint())
}
