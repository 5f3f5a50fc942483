//! The topics and payloads as an AsyncAPI 3 document, with a JSON Schema for each payload. `docs/mqtt.asyncapi.json`
//! is its output.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::protocol::events::EventView;

/// The document.
pub fn document(version: &str) -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "coord over MQTT",
            "version": version,
            "description": "What a coordinator publishes at its fleet's broker. Publishes have QoS 1. An event may \
                come twice, and then with the same cursor. A `lost` whose run and conn are not those of the newest \
                `online` is old news.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "status": channel("status", "Whether the box is there; retained, and the will."),
            "health": channel("health", "How the box is; retained, on change and at intervals."),
            "event": channel("event/{project}", "What happens in a project; not retained."),
            "cmdHealth": channel("cmd/health", "Anything sent here has the health published at once."),
        },
        "operations": {
            "sendStatus": operation("send", "status"),
            "sendHealth": operation("send", "health"),
            "sendEvent": operation("send", "event"),
            "receiveCmdHealth": operation("receive", "cmdHealth"),
        },
        "components": {
            "messages": {
                "status": message("status"),
                "health": message("health"),
                "event": message("event"),
                "cmdHealth": { "payload": true },
            },
            "schemas": { "status": status(), "health": health(), "event": event() },
        },
    })
}

fn channel(topic: &str, description: &str) -> Value {
    let name = match topic {
        "event/{project}" => "event",
        "cmd/health" => "cmdHealth",
        other => other,
    };
    let mut parameters = json!({
        "prefix": { "description": "mqtt.prefix", "default": "coord/v1" },
        "fleet": { "description": "mqtt.fleet", "default": "default" },
        "node": { "description": "node.name" },
    });
    if name == "event" {
        parameters["project"] = json!({ "description": "The project's name." });
    }
    json!({
        "address": format!("{{prefix}}/{{fleet}}/{{node}}/{topic}"),
        "description": description,
        "parameters": parameters,
        "messages": { name: { "$ref": format!("#/components/messages/{name}") } },
    })
}

fn operation(action: &str, channel: &str) -> Value {
    json!({ "action": action, "channel": { "$ref": format!("#/channels/{channel}") } })
}

fn message(name: &str) -> Value {
    json!({ "payload": { "$ref": format!("#/components/schemas/{name}") } })
}

fn object(properties: &Value, optional: &[&str]) -> Value {
    let names = properties
        .as_object()
        .into_iter()
        .flat_map(|all| all.keys());
    let required: Vec<&String> = names
        .filter(|name| !optional.contains(&name.as_str()))
        .collect();
    let required = json!(required);
    json!({ "type": "object", "required": required, "properties": properties })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn number(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

fn truth(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn wall() -> Value {
    json!({
        "type": ["integer", "null"],
        "description": "The wall clock at the time of sending, in ms since 1970; null while it is known to be wrong.",
    })
}

fn payload_version() -> Value {
    json!({ "const": super::face::PAYLOAD_VERSION, "description": "The version of this payload." })
}

fn status() -> Value {
    let properties = json!({
        "v": payload_version(),
        "state": {
            "enum": ["online", "lost", "stopped"],
            "description": "lost is the will; stopped is an orderly end.",
        },
        "run": text("Another one at each start of the coordinator; 16 hexadecimal digits."),
        "conn": number("The number of the connection in this run."),
        "node": text("The id of the coordinator in this run."),
        "name": text("node.name"),
        "version": text("The version of the coordinator."),
        "environment": text("The profile, such as production."),
        "events": {
            "enum": ["publisher", "standby", "off"],
            "description": "Of several coordinators on one journal, one publishes the events.",
        },
        "wall_ms": wall(),
        "reason": text("Of stopped: stop."),
    });
    object(&properties, &["reason"])
}

fn health() -> Value {
    let properties = json!({
        "v": payload_version(),
        "status": text("As /readyz: ready, recovering, draining, storage_full, journal_unreachable or failed."),
        "stage": text("While it recovers: the stage."),
        "waiting_for": text("What it waits for, for people."),
        "retry_after_ms": number("When it makes sense to ask again."),
        "service": text("cli-coordinator"),
        "version": text("The version of the coordinator."),
        "node": text("The id of the coordinator in this run."),
        "environment": text("The profile."),
        "port_fingerprint": text("The fingerprint of the port configuration."),
        "journal": text("embedded or redis"),
        "draining": truth("It is stopping."),
        "storage_full": truth("Work can be finished, but not begun."),
        "durability_warnings": number("Ways in which a shared Redis could lose acknowledged writes."),
        "connections_port_mismatch": number("Connections with another port configuration."),
        "coordinators_port_mismatch": number("Coordinators with another port configuration."),
        "clock": text("right, behind, or ahead_or_certificate_expired"),
        "certificate": text("none, valid, not_yet_valid, expired or unreadable"),
        "uptime_ms": number("Since the start."),
        "tasks_ready": number("Of all projects."),
        "tasks_claimed": number("Of all projects."),
        "agents_present": number("Of all projects."),
        "connections": number("Open connections of agents."),
        "journal_disk_bytes": number("What the embedded journal takes."),
        "oldest_message_s": number("The age of the oldest message that nobody acknowledged, in journal time."),
        "wall_ms": wall(),
    });
    object(&properties, &["stage", "waiting_for", "retry_after_ms"])
}

/// An event is what `events.subscribe` sends, and a gap tells which events will not come.
fn event() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let generator = settings.into_generator();
    let mut event = generator.into_root_schema_for::<EventView>().to_value();
    if let Some(object) = event.as_object_mut() {
        object.remove("title");
    }
    event["properties"]["v"] = payload_version();
    event["properties"]["wall_ms"] = wall();
    if let Some(required) = event["required"].as_array_mut() {
        required.extend(["v".into(), "wall_ms".into()]);
    }
    let cursor = json!({ "type": ["string", "null"], "description": "epoch:position" });
    let gap = object(
        &json!({
            "after": cursor,
            "next": cursor,
            "reason": {
                "enum": ["cursor_expired", "epoch_changed", "refused", "too_large"],
                "description": "cursor_expired: the box was away for longer than its history reaches. \
                    epoch_changed: the journal lost or replaced records; forget the cursors behind `after`. \
                    refused: the broker refused the events. too_large: an event did not fit into a packet.",
            },
        }),
        &[],
    );
    let mut gap = object(&json!({ "v": payload_version(), "gap": gap }), &[]);
    gap["description"] =
        "The events after `after`, up to and including `next`, will not come.".into();
    json!({ "oneOf": [event, gap] })
}
