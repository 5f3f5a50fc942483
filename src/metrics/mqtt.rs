//! The connection to an MQTT broker.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::Maker;

/// What is told of the connection, and of the events that went over it.
#[derive(Debug, Clone)]
pub struct MqttMetrics {
    pub connected: IntGauge,
    pub connects: IntCounter,
    pub takeovers: IntCounter,
    pub events: IntCounterVec,
    pub refused: IntCounter,
    lag_events: IntGauge,
}

impl MqttMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let events = make.counters(
            "coord_mqtt_events_total",
            "Events that the broker took (sent) or refused (refused), and gaps that were told (gap).",
            &["outcome"],
        );
        for outcome in ["sent", "refused", "gap"] {
            let _ = events.with_label_values(&[outcome]);
        }
        Self {
            connected: make.gauge(
                "coord_mqtt_connected",
                "1 while the MQTT broker has accepted the connection.",
            ),
            connects: make.counter(
                "coord_mqtt_connects_total",
                "Connections that the MQTT broker accepted.",
            ),
            takeovers: make.counter(
                "coord_mqtt_takeovers_total",
                "Connections that another client with the same client id took over.",
            ),
            refused: make.counter(
                "coord_mqtt_refused_total",
                "Publishes of status and health that the MQTT broker refused.",
            ),
            lag_events: make.gauge(
                "coord_mqtt_lag_events",
                "Events that the MQTT broker has not acknowledged yet.",
            ),
            events,
        }
    }

    /// How many events wait.
    pub fn lag(&self, events: u64) {
        self.lag_events
            .set(i64::try_from(events).unwrap_or(i64::MAX));
    }
}
