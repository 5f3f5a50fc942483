//! The protocol as an OpenRPC document.
//!
//! OpenRPC has no place for notifications, kinds of change, limits and roles: they are in members that begin
//! with `x-`.

use std::collections::BTreeSet;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::PROTOCOL_VERSION;
use super::error::{ErrorDetail, ErrorKind};
use super::events::{EpochChanged, EventView, EventsClosed, SessionClosed, TaskLost};
use super::lease::LeaseLost;
use super::operations::{OPERATIONS, OperationInfo};
use crate::engine::event::ChangeKind;
use crate::engine::limits::Limits;

/// The version of OpenRPC that the document follows.
const OPENRPC_VERSION: &str = "1.3.2";

/// The place of schemas in the document.
const SCHEMAS: &str = "/components/schemas";

/// The meaning of common parameters whose type does not explain them.
const COMMON: [(&str, &str); 9] = [
    (
        "request_id",
        "Requests with the same id have one effect and the same answer: repeat the request after a lost connection.",
    ),
    ("fence", "The fencing token of the grant."),
    ("task", "The number of the task."),
    ("lease", "The number of the lease."),
    ("agent", "The name of the agent."),
    ("labels", "Names with values, to filter by."),
    ("title", "A title, on one line."),
    ("payload", "The payload: any JSON, carried verbatim."),
    ("key", "The key of the entry."),
];

/// Errors of frames that name no known operation, so they belong to no method.
const OF_FRAMES: [ErrorKind; 3] = [
    ErrorKind::ParseError,
    ErrorKind::InvalidRequest,
    ErrorKind::MethodNotFound,
];

/// Methods, schemas, errors, notifications and limits; `limits` are added to the engine's.
pub fn document(version: &str, limits: &[(&str, u64, &str)]) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let described: Vec<Described> = OPERATIONS
        .iter()
        .map(|info| Described::new(info, &mut generator))
        .collect();
    let notifications = notifications(&mut generator);
    let error_data = generator.subschema_for::<ErrorDetail>().to_value();
    let mut schemas = generator.take_definitions(true);
    schemas.values_mut().for_each(describe_common);
    let methods: Vec<Value> = described.iter().map(|it| it.method(&schemas)).collect();
    let used = reachable(&json!([methods, notifications, error_data]), &schemas);
    schemas.retain(|name, _| used.contains(name));
    json!({
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "cli-coordinator",
            "version": PROTOCOL_VERSION,
            "description": format!("JSON-RPC 2.0 over WebSocket text frames, one request a frame. Served by coord {version}."),
        },
        "methods": methods,
        "x-notifications": notifications,
        "x-change-kinds": change_kinds(),
        "x-limits": all_limits(limits),
        "x-error-data": error_data,
        "components": { "schemas": schemas, "errors": errors() },
    })
}

/// An operation and the generators of its schemas.
struct Described {
    info: &'static OperationInfo,
    params: Value,
    result: Value,
}

impl Described {
    fn new(info: &'static OperationInfo, generator: &mut SchemaGenerator) -> Self {
        Self {
            info,
            params: (info.params)(generator).to_value(),
            result: (info.result)(generator).to_value(),
        }
    }

    fn method(&self, schemas: &Map<String, Value>) -> Value {
        let object = resolve(&self.params, schemas);
        let params = descriptors(object);
        let takes = |name: &str| params.iter().any(|param| param["name"] == name);
        let errors: Vec<Value> = ErrorKind::ALL
            .iter()
            .map(|(kind, _, _)| *kind)
            .filter(|kind| may_answer(*kind, &takes))
            .map(|kind| json!({ "$ref": format!("#/components/errors/{}", kind.as_str()) }))
            .collect();
        let mut method = json!({
            "name": self.info.name,
            "summary": self.info.summary,
            "paramStructure": "by-name",
            "params": params,
            "result": { "name": "result", "schema": self.result },
            "errors": errors,
            "x-role": self.info.role.as_str(),
        });
        if let Some(description) = object.get("description") {
            method["description"] = description.clone();
        }
        method
    }
}

/// One content descriptor for each parameter, the required ones first, as OpenRPC demands.
fn descriptors(object: &Value) -> Vec<Value> {
    let required: BTreeSet<&str> = object["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = object["properties"].as_object();
    let mut descriptors: Vec<Value> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let mut descriptor =
                json!({ "name": name, "required": required.contains(name.as_str()) });
            if let Some(description) = schema.as_object_mut().and_then(|s| s.remove("description"))
            {
                descriptor["description"] = description;
            }
            descriptor["schema"] = schema;
            descriptor
        })
        .collect();
    descriptors.sort_by_key(|descriptor| descriptor["required"] == false);
    descriptors
}

/// Errors of fencing tokens and cursors belong to operations that take them; the other errors can happen
/// everywhere.
fn may_answer(kind: ErrorKind, takes: &dyn Fn(&str) -> bool) -> bool {
    match kind {
        ErrorKind::StaleFence => takes("fence"),
        ErrorKind::CursorExpired | ErrorKind::EpochChanged => takes("from"),
        kind => !OF_FRAMES.contains(&kind),
    }
}

fn notifications(generator: &mut SchemaGenerator) -> Value {
    json!([
        {
            "name": "event",
            "summary": "An event of the connection's subscription.",
            "params": generator.subschema_for::<EventView>(),
        },
        {
            "name": "events.closed",
            "summary": "The subscription ended.",
            "params": generator.subschema_for::<EventsClosed>(),
        },
        {
            "name": "lease.lost",
            "summary": "A lease of this agent was lost.",
            "params": generator.subschema_for::<LeaseLost>(),
        },
        {
            "name": "task.lost",
            "summary": "An attempt of this agent was lost.",
            "params": generator.subschema_for::<TaskLost>(),
        },
        {
            "name": "epoch.changed",
            "summary": "The shared journal lost acknowledged records.",
            "params": generator.subschema_for::<EpochChanged>(),
        },
        {
            "name": "session.closed",
            "summary": "The connection will be closed.",
            "params": generator.subschema_for::<SessionClosed>(),
        },
    ])
}

fn errors() -> Map<String, Value> {
    let error = |(kind, code, meaning): &(ErrorKind, i32, &str)| {
        let name = kind.as_str();
        let error = json!({ "code": code, "message": meaning, "data": { "kind": name } });
        (name.to_owned(), error)
    };
    ErrorKind::ALL.iter().map(error).collect()
}

fn change_kinds() -> Map<String, Value> {
    ChangeKind::ALL
        .iter()
        .map(|(kind, meaning)| (kind.as_str().to_owned(), json!(meaning.trim())))
        .collect()
}

fn all_limits(more: &[(&str, u64, &str)]) -> Vec<Value> {
    let engine = Limits::default().table();
    let limit = |(name, value, meaning): &(&str, u64, &str)| json!({ "name": name, "value": value, "unit": unit(name), "meaning": meaning });
    engine.iter().chain(more).map(limit).collect()
}

/// The unit in a limit's name; a limit without a unit is a count.
fn unit(name: &str) -> &'static str {
    let parts: Vec<&str> = name.split('_').collect();
    if parts.contains(&"ms") {
        "ms"
    } else if parts.contains(&"bytes") {
        "bytes"
    } else {
        "count"
    }
}

fn describe_common(schema: &mut Value) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (name, property) in properties {
        let meaning = COMMON.iter().find(|(common, _)| common == name);
        if let (Some((_, meaning)), Some(property)) = (meaning, property.as_object_mut()) {
            property
                .entry("description")
                .or_insert_with(|| json!(meaning));
        }
    }
}

fn resolve<'a>(schema: &'a Value, schemas: &'a Map<String, Value>) -> &'a Value {
    let name = schema.get("$ref").and_then(schema_name);
    name.and_then(|name| schemas.get(name)).unwrap_or(schema)
}

/// The name of the schema that a `$ref` refers to.
pub(super) fn schema_name(reference: &Value) -> Option<&str> {
    let path = reference.as_str()?.strip_prefix('#')?;
    path.strip_prefix(SCHEMAS)?.strip_prefix('/')
}

/// The names of all schemas that `from` refers to, directly or through others.
pub(super) fn reachable(from: &Value, schemas: &Map<String, Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => {
                open.extend(members.values());
                let name = members.get("$ref").and_then(schema_name);
                if let Some(name) = name
                    && found.insert(name.to_owned())
                {
                    open.extend(schemas.get(name));
                }
            }
            _ => {}
        }
    }
    found
}
