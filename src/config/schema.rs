//! The JSON Schema of the configuration files, made from the table of settings, for editors and for
//! whoever generates a file. Pure.

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::settings::{self, Count, Kind, Spec, Words};
use crate::edge::ports::Profile;

/// Of a coordinator's file.
pub fn server() -> Schema {
    of_table("coord.toml", settings::SERVER)
}

/// Of the client's file.
pub fn client() -> Schema {
    of_table("client.toml", settings::CLIENT)
}

fn of_table(title: &str, table: &[&'static Spec]) -> Schema {
    let mut top = Map::new();
    for spec in table {
        let (section, leaf) = spec.section_and_leaf();
        let properties = match section {
            None => &mut top,
            Some(section) => section_properties(&mut top, section),
        };
        properties.insert(leaf.to_owned(), property(spec));
        if spec.is_secret() {
            let description = format!("A file that contains only {leaf}.");
            properties.insert(
                format!("{leaf}_file"),
                json!({ "type": "string", "minLength": 1, "description": description }),
            );
        }
    }
    let mut schema = closed(&top);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    Schema::try_from(schema).expect("an object is a schema")
}

/// The properties of a section, which is made when first met.
fn section_properties<'a>(
    top: &'a mut Map<String, Value>,
    section: &str,
) -> &'a mut Map<String, Value> {
    top.entry(section)
        .or_insert_with(|| closed(&Map::new()))
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .expect("a section is an object schema, which `closed` gives properties")
}

/// An object that has no other keys than these.
fn closed(properties: &Map<String, Value>) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property(spec: &Spec) -> Value {
    let mut schema = match spec.kind {
        Kind::Choice(Words { words, .. }) => json!({ "type": "string", "enum": words }),
        Kind::Count(Count { min, max, .. }) => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Port(_) => json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX }),
        Kind::Hosts
        | Kind::Origins
        | Kind::Networks
        | Kind::Interfaces
        | Kind::Names
        | Kind::Pairs
        | Kind::OpenPorts => {
            json!({
                "type": "array",
                "items": { "type": "string", "minLength": 1 },
            })
        }
        Kind::Host
        | Kind::UrlPath
        | Kind::Url
        | Kind::Text
        | Kind::Path
        | Kind::Ports
        | Kind::Secret => json!({ "type": "string", "minLength": 1 }),
    };
    if let Some(default) = default(spec) {
        schema["default"] = default;
    }
    schema["description"] = json!(description(spec));
    schema
}

/// The value that holds when nobody sets one, where that is the same everywhere.
fn default(spec: &Spec) -> Option<Value> {
    match spec.kind {
        Kind::Choice(_) | Kind::Count(_) | Kind::Boolean => spec.kind.default(),
        _ => None,
    }
}

fn description(spec: &Spec) -> String {
    let mut sentences = vec![spec.doc.to_owned()];
    if let Kind::Port(service) = spec.kind {
        let ports = Profile::ALL.map(|profile| format!("{profile} {}", profile.port(service)));
        sentences.push(format!("Default: {}.", ports.join(", ")));
    }
    let variables: Vec<String> = spec.all_variables().collect();
    sentences.push(format!("Environment: {}.", variables.join(", ")));
    sentences.join(" ")
}
