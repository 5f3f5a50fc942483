//! MQTT with a real Mosquitto: what other clients of the broker see of a real coordinator.

mod events;
mod mosquitto;
mod presence;
mod secured;
mod shared;

use mosquitto::Mosquitto;

use crate::support::coordinator::Start;

/// A coordinator called `box`, with the shortest keep-alive.
fn start(broker: &Mosquitto) -> Start {
    Start::new()
        .variable("COORD_MQTT_URL", broker.url())
        .variable("COORD_NODE_NAME", "box")
        .variable("COORD_MQTT_KEEP_ALIVE_MS", 1_000)
}
