//! SIGHUP: configuration, certificates and the operator's token are read anew. Nothing that is open
//! is dropped. What is wrong changes nothing at all: the old configuration stays as a whole.

use std::sync::Arc;

use tokio::sync::watch;

use super::live::{Live, Values};
use super::push::{self, Order};
use super::{Surroundings, operator};
use crate::causes;
use crate::config::{Config, MqttConfig, PushConfig};
use crate::driver::shell::Driver;
use crate::http::scrape::{Prepared, Security};
use crate::metrics::Metrics;

pub(super) struct Reloader<'a> {
    /// What the coordinator was started with.
    pub(super) started: &'a Config,
    pub(super) surroundings: &'a Surroundings<'a>,
    pub(super) driver: Driver,
    pub(super) live: Live,
    pub(super) security: Arc<Security>,
    pub(super) metrics: Metrics,
    pub(super) push: Option<watch::Sender<Order>>,
    /// Set if a broker was configured at the start.
    pub(super) mqtt: Option<watch::Sender<Arc<MqttConfig>>>,
    pub(super) remark: watch::Sender<String>,
}

impl Reloader<'_> {
    /// Reads everything anew. Says in one line how that went.
    pub(super) fn reload(&self) -> String {
        let outcome = self.apply();
        let applied = outcome.is_ok();
        self.metrics.config.reload_ok.set(i64::from(applied));
        let (label, text) = match outcome {
            Ok(waiting) if waiting.is_empty() => {
                tracing::info!("the configuration was reloaded");
                ("applied", String::new())
            }
            Ok(waiting) => {
                let keys = waiting.join(", ");
                tracing::warn!(settings = keys, "these settings apply only after a restart");
                ("restart_needed", format!("restart needed for {keys}"))
            }
            Err(why) => {
                tracing::error!("the new configuration is refused, the old one stays: {why}");
                (
                    "refused",
                    format!("new configuration refused, the old one stays: {why}"),
                )
            }
        };
        self.metrics
            .config
            .reloads
            .with_label_values(&[label])
            .inc();
        self.remark.send_replace(text.clone());
        text
    }

    /// The login of the broker. What else changed needs a restart, so that the running configuration has to stay.
    fn reload_mqtt(&self, config: &Config) {
        let (Some(sender), Some(new)) = (&self.mqtt, &config.mqtt) else {
            return;
        };
        let present = sender.borrow().clone();
        sender.send_replace(Arc::new(MqttConfig {
            user: new.user.clone(),
            password: new.password.clone(),
            ca_file: new.ca_file.clone(),
            certificate: new.certificate.clone(),
            ..(*present).clone()
        }));
    }

    /// The keys of the settings that need a restart to hold, or why nothing was changed.
    fn apply(&self) -> Result<Vec<&'static str>, String> {
        let config = (self.surroundings.configuration)().map_err(|errors| errors.to_string())?;
        let mut values = Values::read(&config).map_err(|error| causes::one_line(&error))?;
        if self.started.websocket.tls.is_some() != values.tls.is_some() {
            // Whether there is TLS at all is decided at the start.
            values.tls.clone_from(&self.live.values().tls);
        }
        let security = Prepared::read(config.metrics.security.clone());
        let security = security.map_err(|error| causes::one_line(&error))?;
        let token = operator::prepare_again(&config, &self.driver);
        let token = token.map_err(|error| causes::one_line(&error))?;
        // From here on nothing can fail.
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(token) = token {
            self.driver.replace_token(token);
        }
        self.reload_mqtt(&config);
        self.live.replace(values);
        self.security.replace(security);
        self.push(&config);
        (self.surroundings.set_log_level)(config.log.level);
        let waiting = self.started.changes(&config).filter(|spec| !spec.reloads);
        Ok(waiting.map(|spec| spec.key).collect())
    }

    /// Credentials, further headers and labels hold at once, for the receiver of the start.
    fn push(&self, config: &Config) {
        let receivers = (&self.push, &self.started.push, &config.push);
        let (Some(orders), Some(started), Some(push)) = receivers else {
            return;
        };
        let labels = push::labels(config, push);
        let push = PushConfig {
            url: started.url.clone(),
            ..push.clone()
        };
        orders.send_replace(Order::Push(Arc::new(push), labels));
    }
}
