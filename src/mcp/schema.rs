//! JSON Schemas that every client takes.
//!
//! Gemini CLI and opencode drop a whole server for one schema that is `true`. Each schema also costs the model
//! tokens, so what says nothing to it is left out: references, formats, `null` beside a type, defaults.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Members of a schema that tell a model nothing.
const NOISE: [&str; 8] = [
    "$schema",
    "title",
    "format",
    "default",
    "minLength",
    "maxLength",
    "minimum",
    "pattern",
];

/// The schema of what a tool takes.
pub(super) fn input<T: JsonSchema>() -> Value {
    of(schema_of::<T>)
}

/// The schema of what a tool answers: its shape, without words about it.
pub(super) fn output<T: JsonSchema>() -> Value {
    // What is left out where it is empty is not required.
    let mut schema = made(schema_of::<T>, Contract::Serialize);
    undescribed(&mut schema);
    let members = schema["properties"].as_object_mut();
    members
        .into_iter()
        .flatten()
        .for_each(|(_, it)| shallow(it));
    schema
}

/// The schema of an operation's parameters.
pub(super) fn of(schema: impl Fn(&mut SchemaGenerator) -> Schema) -> Value {
    made(schema, Contract::Deserialize)
}

fn made(schema: impl Fn(&mut SchemaGenerator) -> Schema, contract: Contract) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.contract = contract;
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = schema(&mut settings.into_generator()).to_value();
    tidy(&mut schema);
    let object = schema.as_object_mut().expect("tools take and give objects");
    // What the struct is for stands in the description of the tool.
    object.remove("description");
    object.entry("type").or_insert_with(|| json!("object"));
    object.entry("properties").or_insert_with(|| json!({}));
    schema
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

fn tidy(schema: &mut Value) {
    if schema.is_boolean() {
        *schema = json!({});
    }
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    object.retain(|name, _| !NOISE.contains(&name.as_str()));
    drop_null(object);
    name_choices(object);
    if let Some(text) = object
        .get_mut("description")
        .and_then(|it| it.as_str().map(one_line))
    {
        object.insert("description".to_owned(), json!(text));
    }
    for name in ["properties", "$defs"] {
        let members = object.get_mut(name).and_then(Value::as_object_mut);
        members.into_iter().flatten().for_each(|(_, it)| tidy(it));
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(name).filter(|it| it.is_object()) {
            tidy(inner);
        }
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        let members = object.get_mut(name).and_then(Value::as_array_mut);
        members.into_iter().flatten().for_each(tidy);
    }
}

/// An optional field may be left out; that it may also be `null` need not be said.
fn drop_null(object: &mut Map<String, Value>) {
    if let Some(types) = object.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(values) = object.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    let Some(any) = object.get_mut("anyOf").and_then(Value::as_array_mut) else {
        return;
    };
    any.retain(|it| it.get("type") != Some(&json!("null")));
    if any.len() == 1
        && let Some(Value::Object(only)) = any.pop()
    {
        object.remove("anyOf");
        for (name, value) in only {
            object.entry(name).or_insert(value);
        }
    }
}

/// A choice between texts is a list of them, whatever is said of each.
fn name_choices(object: &mut Map<String, Value>) {
    let texts_of = |choice: &Value| match (choice.get("const"), choice.get("enum")) {
        (Some(Value::String(text)), _) => Some(vec![json!(text)]),
        (None, Some(Value::Array(texts))) => Some(texts.clone()),
        _ => None,
    };
    let choices = object.get("oneOf").and_then(Value::as_array);
    let texts: Option<Vec<Vec<Value>>> = choices.and_then(|all| all.iter().map(texts_of).collect());
    if let Some(texts) = texts {
        object.remove("oneOf");
        object.insert("type".to_owned(), json!("string"));
        object.insert("enum".to_owned(), Value::Array(texts.concat()));
    }
}

fn undescribed(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // A field may bear the name too; its value is an object then.
            if object.get("description").is_some_and(Value::is_string) {
                object.remove("description");
            }
            object.values_mut().for_each(undescribed);
        }
        Value::Array(items) => items.iter_mut().for_each(undescribed),
        _ => {}
    }
}

/// Below the top, only what kind of thing it is: clients check answers, and models do not see the schema.
fn shallow(schema: &mut Value) {
    let kept = ["type", "items", "enum"];
    if let Some(object) = schema.as_object_mut() {
        object.retain(|name, _| kept.contains(&name.as_str()));
        object.get_mut("items").into_iter().for_each(shallow);
    }
}

/// Doc comments are broken into lines, which tells a model nothing.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
