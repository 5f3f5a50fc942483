//! How the box shows itself on a broker: topics and payloads. Pure.
//!
//! Presence and will share one topic, because MQTT keeps the order of messages within a topic only. Each status
//! carries the run and the number of its connection, so that a reader can tell the will of an older connection
//! from news.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::wire::Message;
use crate::engine::ids::{Cursor, JournalTime, ProjectName};
use crate::protocol::events::{ChangeView, EventView};

/// The version of all payloads.
pub const PAYLOAD_VERSION: u8 = 1;
/// A topic has at most this many bytes and slashes: AWS IoT Core allows 256 and 7.
pub const TOPIC_BYTES_MAX: usize = 200;
pub const TOPIC_SLASHES_MAX: usize = 6;
/// How many intervals a health message outlives.
const HEALTH_INTERVALS_KEPT: u64 = 3;

/// Who the box is, as all its messages say it.
#[derive(Debug, Clone)]
pub struct BoxIdentity {
    /// Random; another one at each start of the coordinator.
    pub run: String,
    /// The id of the node, which is another one at each start.
    pub node: String,
    /// The configured name, which is the box's part of the topics.
    pub name: String,
    pub version: &'static str,
    pub environment: String,
}

/// What a connection shows.
#[derive(Debug, Clone)]
pub enum Face {
    /// To the fleet: `<root>/status`, `/health`, `/event/<project>` and `/cmd/health`.
    Fleet {
        identity: BoxIdentity,
        root: String,
        health_interval_ms: u64,
    },
    /// To thin-edge.io on this machine: a service with a health of its own.
    ThinEdge { pid: u32, version: &'static str },
}

/// Whether the box is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Online,
    /// Said by the broker when the connection broke.
    Lost,
    /// The coordinator ended in order.
    Stopped,
}

/// Who publishes events, as the status says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    Off,
    Publisher,
    /// Another coordinator on the same journal publishes.
    Standby,
}

/// What somebody's status says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Told {
    pub state: String,
    pub run: String,
    pub conn: u64,
}

#[derive(Serialize)]
struct EventMessage<'a> {
    v: u8,
    cursor: Cursor,
    at_ms: JournalTime,
    wall_ms: Option<u64>,
    changes: &'a [ChangeView],
}

/// thin-edge.io's topics of this service.
const THIN_EDGE_SERVICE: &str = "te/device/main/service/coord";

impl Face {
    fn presence_topic(&self) -> String {
        match self {
            Self::Fleet { root, .. } => format!("{root}/status"),
            Self::ThinEdge { .. } => format!("{THIN_EDGE_SERVICE}/status/health"),
        }
    }

    /// The retained message that says whether the box is there.
    pub fn presence(
        &self,
        presence: Presence,
        conn: u64,
        duty: Duty,
        wall_ms: Option<u64>,
    ) -> Message {
        let duty = match presence {
            Presence::Online => duty,
            Presence::Lost | Presence::Stopped => Duty::Off,
        };
        let payload = match self {
            Self::Fleet { identity, .. } => {
                let mut status = json!({
                    "v": PAYLOAD_VERSION,
                    "state": presence.text(),
                    "run": identity.run,
                    "conn": conn,
                    "node": identity.node,
                    "name": identity.name,
                    "version": identity.version,
                    "environment": identity.environment,
                    "events": duty.text(),
                    "wall_ms": wall_ms,
                });
                if presence == Presence::Stopped {
                    status["reason"] = "stop".into();
                }
                status
            }
            Self::ThinEdge { pid, .. } => {
                let up = presence == Presence::Online;
                let mut health = json!({ "pid": pid, "status": if up { "up" } else { "down" } });
                if let Some(wall_ms) = wall_ms {
                    health["time"] = (wall_ms / 1_000).into();
                }
                health
            }
        };
        retained(self.presence_topic(), payload.to_string())
    }

    /// What is published once after each connect.
    pub fn announcements(&self, home_assistant_prefix: Option<&str>) -> Vec<Message> {
        match self {
            Self::ThinEdge { version, .. } => {
                let service = json!({
                    "@type": "service", "name": "coord", "type": "service", "version": version
                });
                vec![retained(THIN_EDGE_SERVICE.to_owned(), service.to_string())]
            }
            Self::Fleet { identity, root, .. } => {
                let discovery = home_assistant_prefix.map(|prefix| {
                    let object: String = identity.name.chars().map(slug).collect();
                    let topic = format!("{prefix}/device/coord_{object}/config");
                    retained(topic, discovery(identity, &object, root).to_string())
                });
                discovery.into_iter().collect()
            }
        }
    }

    /// What the broker is to send: the own status, so that an old will is noticed, and requests for health.
    pub fn subscriptions(&self) -> Vec<String> {
        match self {
            Self::Fleet { root, .. } => vec![self.presence_topic(), format!("{root}/cmd/health")],
            Self::ThinEdge { .. } => vec![format!("{THIN_EDGE_SERVICE}/cmd/health/check")],
        }
    }

    /// What the own status says now, if this is a message of its topic.
    pub fn told(&self, topic: &[u8], payload: &[u8]) -> Option<Told> {
        let Self::Fleet { .. } = self else {
            return None;
        };
        let is_own = topic == self.presence_topic().as_bytes();
        is_own.then(|| serde_json::from_slice(payload).ok())?
    }

    pub fn asks_for_health(&self, topic: &[u8]) -> bool {
        let subscriptions = self.subscriptions();
        subscriptions
            .last()
            .is_some_and(|own| own.as_bytes() == topic)
    }

    pub fn run(&self) -> Option<&str> {
        match self {
            Self::Fleet { identity, .. } => Some(&identity.run),
            Self::ThinEdge { .. } => None,
        }
    }

    /// The health of the fleet's face. thin-edge.io has only the presence.
    pub fn health(&self, payload: String) -> Option<Message> {
        let Self::Fleet {
            root,
            health_interval_ms,
            ..
        } = self
        else {
            return None;
        };
        let expiry_s = health_interval_ms * HEALTH_INTERVALS_KEPT / 1_000;
        Some(Message {
            expiry_s: u32::try_from(expiry_s.max(1)).ok(),
            ..retained(format!("{root}/health"), payload)
        })
    }

    pub fn event(
        &self,
        project: &ProjectName,
        event: &EventView,
        wall_ms: Option<u64>,
    ) -> Option<Message> {
        let message = EventMessage {
            v: PAYLOAD_VERSION,
            cursor: event.cursor,
            at_ms: event.at_ms,
            wall_ms,
            changes: &event.changes,
        };
        // An event always encodes as JSON: its keys are texts.
        self.of_project(project, serde_json::to_string(&message).ok()?)
    }

    /// Events after `after`, up to and including `next`, will not come.
    pub fn gap(
        &self,
        project: &ProjectName,
        after: Option<Cursor>,
        next: Cursor,
        reason: &str,
    ) -> Option<Message> {
        let gap = json!({
            "v": PAYLOAD_VERSION,
            "gap": { "after": after, "next": next, "reason": reason },
        });
        self.of_project(project, gap.to_string())
    }

    fn of_project(&self, project: &ProjectName, payload: String) -> Option<Message> {
        let Self::Fleet { root, .. } = self else {
            return None;
        };
        Some(Message {
            topic: format!("{root}/event/{project}"),
            payload,
            retain: false,
            expiry_s: None,
        })
    }
}

impl Presence {
    pub fn text(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }
}

impl Duty {
    pub fn text(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Publisher => "publisher",
            Self::Standby => "standby",
        }
    }
}

fn retained(topic: String, payload: String) -> Message {
    Message {
        topic,
        payload,
        retain: true,
        expiry_s: None,
    }
}

/// Object ids of Home Assistant have letters, digits, `_` and `-`.
fn slug(letter: char) -> char {
    if letter.is_ascii_alphanumeric() || letter == '-' {
        letter
    } else {
        '_'
    }
}

/// The discovery message of Home Assistant: one device with six entities, which read status and health.
fn discovery(identity: &BoxIdentity, object: &str, root: &str) -> serde_json::Value {
    let (status, health) = (format!("{root}/status"), format!("{root}/health"));
    let name = &identity.name;
    let sensor = |key: &str, title: &str, field: &str, unit: Option<&str>| {
        let mut sensor = json!({
            "p": "sensor",
            "unique_id": format!("coord_{object}_{key}"),
            "name": title,
            "state_topic": health,
            "value_template": format!("{{{{ value_json.{field} }}}}"),
        });
        if let Some(unit) = unit {
            sensor["unit_of_measurement"] = unit.into();
        }
        sensor
    };
    let binary = |key: &str, title: &str, class: &str, topic: &str, template: &str| {
        json!({
            "p": "binary_sensor",
            "unique_id": format!("coord_{object}_{key}"),
            "name": title,
            "device_class": class,
            "state_topic": topic,
            "value_template": template,
        })
    };
    let here = "{{ 'ON' if value_json.state == 'online' else 'OFF' }}";
    let unwell = "{{ 'OFF' if value_json.status == 'ready' else 'ON' }}";
    json!({
        "dev": {
            "ids": [format!("coord_{object}")],
            "name": format!("coord {name}"),
            "sw": identity.version,
        },
        "o": { "name": "coord", "sw": identity.version },
        "cmps": {
            "connectivity": binary("connectivity", "Connectivity", "connectivity", &status, here),
            "problem": binary("problem", "Problem", "problem", &health, unwell),
            "ready": sensor("ready", "Tasks ready", "tasks_ready", None),
            "claimed": sensor("claimed", "Tasks claimed", "tasks_claimed", None),
            "agents": sensor("agents", "Agents present", "agents_present", None),
            "oldest": sensor("oldest", "Oldest message", "oldest_message_s", Some("s")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face() -> Face {
        Face::Fleet {
            identity: BoxIdentity {
                run: "00".repeat(8),
                node: "n-1".to_owned(),
                name: "n.1".to_owned(),
                version: "1",
                environment: "testing".to_owned(),
            },
            root: "coord/v1/default/n.1".to_owned(),
            health_interval_ms: 60_000,
        }
    }

    #[test]
    fn the_will_is_on_the_topic_of_the_presence_and_names_the_same_connection() {
        let [online, lost] = [Presence::Online, Presence::Lost]
            .map(|presence| face().presence(presence, 7, Duty::Publisher, None));
        assert_eq!(online.topic, lost.topic);
        let read =
            |message: &Message| face().told(message.topic.as_bytes(), message.payload.as_bytes());
        let (online, lost) = (read(&online), read(&lost));
        let (online, lost) = (online.expect("a status"), lost.expect("a status"));
        assert_eq!((&online.run, online.conn), (&lost.run, lost.conn));
        assert_eq!(
            (online.state.as_str(), lost.state.as_str()),
            ("online", "lost")
        );
    }

    #[test]
    fn discovery_is_valid_json_with_ids_of_its_kind() {
        let messages = face().announcements(Some("homeassistant"));
        assert_eq!(messages[0].topic, "homeassistant/device/coord_n_1/config");
        let config: serde_json::Value =
            serde_json::from_str(&messages[0].payload).expect("it is JSON");
        assert_eq!(
            config["cmps"].as_object().map(serde_json::Map::len),
            Some(6)
        );
        assert_eq!(
            config["cmps"]["ready"]["value_template"],
            "{{ value_json.tasks_ready }}"
        );
    }
}
