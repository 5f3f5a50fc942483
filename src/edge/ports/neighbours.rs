//! Other programs that commonly use these ports, to name a conflict in advance.

use serde::Serialize;

use super::Port;

/// A program that listens on a port of, or near, the table unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    pub port: Port,
    pub name: &'static str,
    /// What to know about it, as a lower-case fragment.
    pub note: &'static str,
}

/// The well-known ones, by port.
pub const NEIGHBOURS: [Neighbour; 8] = [
    known(
        6379,
        "Redis",
        "the standard port of Redis and Valkey; no profile uses it",
    ),
    known(
        8765,
        "another agent tool",
        "a usual port of WebSocket examples and other agent tools; no profile uses it",
    ),
    known(
        9090,
        "Prometheus",
        "the standard port of the Prometheus server, and of Cockpit; no profile uses it",
    ),
    known(
        9091,
        "Pushgateway",
        "Prometheus' Pushgateway; production's metrics port",
    ),
    known(9092, "Kafka", "a Kafka broker; staging's metrics port"),
    known(
        9093,
        "Alertmanager",
        "Prometheus' Alertmanager; development's metrics port",
    ),
    known(
        9094,
        "Alertmanager cluster",
        "the gossip port of Alertmanager; the first metrics port of tests",
    ),
    known(
        9100,
        "node_exporter",
        "Prometheus' node exporter; the last metrics port of tests",
    ),
];

/// Who usually has this port, if it is somebody well known.
pub fn neighbour(port: Port) -> Option<&'static Neighbour> {
    NEIGHBOURS.iter().find(|neighbour| neighbour.port == port)
}

const fn known(number: u16, name: &'static str, note: &'static str) -> Neighbour {
    Neighbour {
        port: Port::known(number),
        name,
        note,
    }
}
