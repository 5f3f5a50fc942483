//! The tools for models: schemas that every client takes, a list that costs few tokens, a page that is current.

use serde_json::Value;

use cli_coordinator::engine::command::Role;
use cli_coordinator::mcp::tools::ToolSet;
use cli_coordinator::mcp::{INSTRUCTIONS, reference};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mcp.md");
/// The list is JSON and English, of which a token has four bytes.
const BYTES_PER_TOKEN: usize = 4;

fn tools(set: ToolSet) -> Vec<Value> {
    serde_json::from_str(set.list().get()).expect("the list is JSON")
}

#[test]
fn the_page_is_current() {
    let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        kept == reference::markdown(),
        "docs/mcp.md is out of date: cargo run -- protocol --mcp > docs/mcp.md"
    );
}

/// What some client refuses, or drops a server for, anywhere in a schema.
fn check_schema(schema: &Value, at: &str) {
    let object = schema.as_object();
    let object = object.unwrap_or_else(|| panic!("{at}: a schema is an object, not {schema}"));
    assert!(
        !object.contains_key("$ref") && !object.contains_key("$defs"),
        "{at}: {schema}"
    );
    for (name, value) in object {
        let at = format!("{at}.{name}");
        match name.as_str() {
            "properties" => {
                let members = value.as_object().expect("properties are an object");
                for (name, schema) in members {
                    check_schema(schema, &format!("{at}.{name}"));
                }
            }
            "additionalProperties" if value.is_boolean() => {}
            "items" | "additionalProperties" => check_schema(value, &at),
            "anyOf" | "oneOf" => {
                let members = value.as_array().expect("it is a list");
                for schema in members {
                    check_schema(schema, &at);
                }
            }
            "enum" => assert!(
                value
                    .as_array()
                    .is_some_and(|all| all.iter().all(Value::is_string))
            ),
            "type" | "const" | "description" => assert!(value.is_string(), "{at}: {value}"),
            "required" => assert!(value.is_array(), "{at}: {value}"),
            "uniqueItems" | "maximum" | "minProperties" => {}
            _ => panic!("{at}: no client was seen to take it"),
        }
    }
}

fn check_tool(tool: &Value) {
    let name = tool["name"].as_str().expect("a tool has a name");
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(name.len() <= 40 && name.chars().all(plain), "{name}");
    for text in ["title", "description"] {
        assert!(
            tool[text].as_str().is_some_and(|it| it.len() > 3),
            "{name} {text}"
        );
    }
    // Codex refuses a tool without them where nobody can approve it.
    for hint in [
        "readOnlyHint",
        "destructiveHint",
        "idempotentHint",
        "openWorldHint",
    ] {
        assert!(tool["annotations"][hint].is_boolean(), "{name} {hint}");
    }
    assert_eq!(tool["annotations"]["destructiveHint"], false, "{name}");
    assert_eq!(tool["annotations"]["openWorldHint"], false, "{name}");
    for schema in ["inputSchema", "outputSchema"] {
        if let Some(found) = tool.get(schema) {
            assert_eq!(found["type"], "object", "{name} {schema}");
            check_schema(found, &format!("{name}.{schema}"));
        }
    }
}

#[test]
fn every_client_takes_every_schema() {
    let chosen = tools(ToolSet::Chosen);
    assert_eq!(chosen.len(), 12);
    for tool in &chosen {
        assert!(tool.get("outputSchema").is_some(), "{tool}");
        check_tool(tool);
    }
    let all = tools(ToolSet::Operations(Role::Operator));
    assert!(all.len() > 30, "{}", all.len());
    all.iter().for_each(check_tool);
    let read = tools(ToolSet::Operations(Role::Observer));
    assert!(
        read.iter()
            .all(|tool| tool["annotations"]["readOnlyHint"] == true)
    );
}

#[test]
fn what_a_model_reads_first_is_short() {
    let seen: usize = tools(ToolSet::Chosen)
        .iter()
        .map(|tool| {
            let parts = ["name", "description", "inputSchema"];
            let parts = parts.iter().map(|part| tool[part].to_string().len());
            parts.sum::<usize>()
        })
        .sum();
    let tokens = (seen + INSTRUCTIONS.len()) / BYTES_PER_TOKEN;
    assert!(tokens < 2_500, "about {tokens} tokens");
    // Codex and Claude Code show no more of it.
    assert!(INSTRUCTIONS.len() < 2_000, "{}", INSTRUCTIONS.len());
}
