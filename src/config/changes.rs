//! Which settings differ between two configurations.

use super::parsed::Config;
use super::settings::{self, Spec};

impl Config {
    /// The settings whose values differ, in the order of the table. Where a value came from does not
    /// matter.
    pub fn changes(&self, other: &Self) -> impl Iterator<Item = &'static Spec> {
        let settings = settings::SERVER.iter().copied();
        settings.filter(|spec| self.differs(other, spec))
    }

    fn differs(&self, other: &Self, spec: &'static Spec) -> bool {
        if self.origins.shown(spec) != other.origins.shown(spec) {
            return true;
        }
        // Secrets are all shown alike. What a URL says is in the settings it stands for.
        let secret = |config: &Self| match spec.key {
            key if key == settings::REDIS_PASSWORD.key => {
                let redis = config.redis.as_ref()?;
                Some(redis.password.as_ref()?.expose().to_owned())
            }
            key if key == settings::MQTT_PASSWORD.key => {
                let mqtt = config.mqtt.as_ref()?;
                Some(mqtt.password.as_ref()?.expose().to_owned())
            }
            key if key == settings::OPERATOR_TOKEN.key => {
                Some(config.operator_token.as_ref()?.expose().to_owned())
            }
            key if key == settings::PUSH_PASSWORD.key => {
                let push = config.push.as_ref()?;
                Some(push.password.as_ref()?.expose().to_owned())
            }
            key if key == settings::PUSH_TOKEN.key => {
                let push = config.push.as_ref()?;
                Some(push.token.as_ref()?.expose().to_owned())
            }
            key if key == settings::METRICS_TOKEN.key => {
                let token = config.metrics.security.token.as_ref()?;
                Some(token.expose().to_owned())
            }
            _ => None,
        };
        secret(self) != secret(other)
    }
}
