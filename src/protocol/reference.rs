//! The reference page, rendered from the OpenRPC document and from nothing else.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::openrpc::{reachable, schema_name};

const INTRODUCTION: &str = "\
<!-- Made by `coord protocol --markdown`; a test holds it current. -->

One request a text frame, as JSON-RPC 2.0; parameters by name. Batches and binary frames are refused.

- **Connect** to `/ws`. The header `Authorization: Bearer TOKEN` says who you are; the query
  `?project=NAME` chooses the project where the token opens more than one. With `environment=NAME` a
  client says which environment it is meant for: another coordinator's refuses with 409. With
  `port_fingerprint=HEX` it says which port configuration it knows: another one is reported.
- **Open a session** with `session.open` to hold tasks and leases for as long as you are connected.
  After a lost connection, give `resume` within the session's grace and everything is still held.
- **Repeat safely**: give every request that changes something a `request_id`. The same id has one
  effect and the same answer, however often it is sent, for the last 64 answers of an agent (`request_ids_per_agent_max`).
- **Several coordinators** may serve one project: go on at another one with the same token, session
  and cursor. An answer with `stale_ms` comes from one that has not heard from the shared journal for so
  long. `epoch.changed` says that acknowledged changes may be lost: list the state anew.
- **Errors** carry a stable `data.kind`; match on it, not on the text.
- **Times** that end in `_at_ms` are journal time: it only moves forward, says nothing about the wall
  clock, and is comparable with the `now_ms` of any answer of the same project.

";

const PARAMETERS: [&str; 4] = ["Name", "Type", "Required", "Meaning"];
const FIELDS: [&str; 3] = ["Name", "Type", "Meaning"];

/// The page as Markdown.
pub fn markdown(document: &Value) -> String {
    let mut page = Page::default();
    let title = text(&document["info"], "title");
    let version = text(&document["info"], "version");
    page.line(&format!("# The interface of {title}, version {version}\n"));
    page.text += INTRODUCTION;
    page.methods(document);
    page.notifications(document);
    page.changes(document);
    page.errors(document);
    page.limits(document);
    page.types(document);
    let end = page.text.trim_end().len();
    page.text.truncate(end);
    page.text.push('\n');
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a string takes all that is written to it");
    }

    fn methods(&mut self, document: &Value) {
        self.line("## Operations\n");
        self.line("| Operation | Role | What it does |\n|---|---|---|");
        for method in items(&document["methods"]) {
            let (name, role) = (text(method, "name"), text(method, "x-role"));
            let summary = text(method, "summary");
            self.line(&format!(
                "| [`{name}`](#{}) | {role} | {summary} |",
                anchor(name)
            ));
        }
        self.line("");
        for method in items(&document["methods"]) {
            self.method(method, document);
        }
    }

    fn method(&mut self, method: &Value, document: &Value) {
        let name = text(method, "name");
        self.line(&format!("### {name}\n\n{}\n", text(method, "summary")));
        let description = text(method, "description");
        if !description.is_empty() {
            self.line(&format!("{}\n", one_line(description)));
        }
        self.line(&format!("Least role: `{}`.\n", text(method, "x-role")));
        let params: Vec<Vec<String>> = items(&method["params"])
            .map(|param| {
                vec![
                    format!("`{}`", text(param, "name")),
                    kind(&param["schema"]),
                    if param["required"] == true { "yes" } else { "" }.to_owned(),
                    meaning(param, &param["schema"]),
                ]
            })
            .collect();
        if params.is_empty() {
            self.line("No parameters.\n");
        } else {
            self.table(&PARAMETERS, &params);
        }
        self.result(&method["result"]["schema"], document);
        let special: Vec<String> = items(&method["errors"])
            .filter_map(|error| error["$ref"].as_str()?.rsplit('/').next())
            .filter(|kind| matches!(*kind, "stale_fence" | "cursor_expired" | "epoch_changed"))
            .map(|kind| format!("`{kind}`"))
            .collect();
        if !special.is_empty() {
            self.line(&format!(
                "Errors beside the usual ones: {}.\n",
                special.join(", ")
            ));
        }
    }

    fn result(&mut self, schema: &Value, document: &Value) {
        let Some(name) = schema.get("$ref").and_then(schema_name) else {
            return self.line(&format!("Result: {}.\n", kind(schema)));
        };
        let fields = fields(&document["components"]["schemas"][name]);
        if fields.is_empty() {
            return self.line("Result: nothing, `{}`.\n");
        }
        if !name.ends_with("Result") {
            return self.line(&format!("Result: {}.\n", link(name)));
        }
        self.line("Result:\n");
        self.table(&FIELDS, &fields);
    }

    fn notifications(&mut self, document: &Value) {
        self.line("## Notifications\n\nThe coordinator tells these without being asked.\n");
        for notification in items(&document["x-notifications"]) {
            let name = text(notification, "name");
            self.line(&format!(
                "### {name}\n\n{}\n",
                text(notification, "summary")
            ));
            let schema = notification["params"].get("$ref").and_then(schema_name);
            let schema = &document["components"]["schemas"][schema.unwrap_or_default()];
            let description = text(schema, "description");
            if !description.is_empty() {
                self.line(&format!("{}\n", one_line(description)));
            }
            self.table(&FIELDS, &fields(schema));
        }
    }

    fn changes(&mut self, document: &Value) {
        self.line("## Kinds of change\n\nWhat the `kind` of a change in an `event` can be.\n");
        let rows = members(&document["x-change-kinds"])
            .map(|(kind, meaning)| vec![format!("`{kind}`"), string(meaning)])
            .collect::<Vec<_>>();
        self.table(&["Kind", "Meaning"], &rows);
    }

    fn errors(&mut self, document: &Value) {
        self.line("## Errors\n\nWhat `data.kind` of an error can be.\n");
        let rows = members(&document["components"]["errors"])
            .map(|(kind, error)| {
                let meaning = one_line(text(error, "message"));
                vec![format!("`{kind}`"), error["code"].to_string(), meaning]
            })
            .collect::<Vec<_>>();
        self.table(&["Kind", "Code", "Meaning"], &rows);
        self.line("Beside `kind`, `data` may hold:\n");
        let detail = document["x-error-data"].get("$ref").and_then(schema_name);
        let detail = &document["components"]["schemas"][detail.unwrap_or_default()];
        self.table(&FIELDS, &fields(detail));
    }

    fn limits(&mut self, document: &Value) {
        self.line("## Limits\n\nReaching one is the error `limit_exceeded` or `overloaded`, which names it.\n");
        let rows = items(&document["x-limits"])
            .map(|limit| {
                vec![
                    format!("`{}`", text(limit, "name")),
                    grouped(limit["value"].as_u64().unwrap_or_default()),
                    match text(limit, "unit") {
                        "count" => String::new(),
                        unit => unit.to_owned(),
                    },
                    one_line(text(limit, "meaning")),
                ]
            })
            .collect::<Vec<_>>();
        self.table(&["Limit", "Value", "Unit", "Meaning"], &rows);
    }

    /// The types that others refer to; those of results stand where they belong.
    fn types(&mut self, document: &Value) {
        self.line("## Types\n");
        let schemas = &document["components"]["schemas"];
        let inner = reachable(schemas, &Map::new());
        let shown = |name: &str| !name.ends_with("Result") || inner.contains(name);
        let mut named: Vec<_> = members(schemas).filter(|(name, _)| shown(name)).collect();
        named.sort_by_key(|(name, _)| name.as_str());
        for (name, schema) in named {
            self.line(&format!("### {name}\n"));
            let description = text(schema, "description");
            if !description.is_empty() {
                self.line(&format!("{}\n", one_line(description)));
            }
            let fields = fields(schema);
            let choices = choices(schema);
            if !fields.is_empty() {
                self.table(&FIELDS, &fields);
            } else if !choices.is_empty() {
                self.table(&["One of", "Meaning"], &choices);
            } else {
                self.line(&format!("{}\n", kind(schema)));
            }
        }
    }

    fn table(&mut self, headings: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        self.line(&format!("| {} |", headings.join(" | ")));
        self.line(&format!("|{}", "---|".repeat(headings.len())));
        for row in rows {
            self.line(&format!("| {} |", row.join(" | ")));
        }
        self.line("");
    }
}

fn fields(schema: &Value) -> Vec<Vec<String>> {
    members(&schema["properties"])
        .map(|(name, field)| vec![format!("`{name}`"), kind(field), meaning(field, field)])
        .collect()
}

/// The values of an enumeration, or the forms of a choice.
fn choices(schema: &Value) -> Vec<Vec<String>> {
    let plain = items(&schema["enum"]).map(|value| vec![format!("`{value}`"), String::new()]);
    let described = items(&schema["oneOf"]).map(|form| {
        let shown = match (form.get("const"), items(&form["enum"]).next()) {
            (Some(value), _) | (None, Some(value)) => format!("`{value}`"),
            (None, None) => kind(form),
        };
        vec![shown, one_line(text(form, "description"))]
    });
    plain.chain(described).collect()
}

fn meaning(described: &Value, schema: &Value) -> String {
    let mut meaning = one_line(text(described, "description"));
    if let Some(default) = schema.get("default").filter(|value| !value.is_null()) {
        if !meaning.is_empty() {
            meaning.push(' ');
        }
        write!(meaning, "Default: `{default}`.").expect("a string takes all that is written to it");
    }
    meaning
}

/// A schema in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(schema_name) {
        return link(name);
    }
    if let [only] = items(&schema["allOf"]).collect::<Vec<_>>()[..] {
        return kind(only);
    }
    let forms: Vec<String> = items(&schema["anyOf"]).map(kind).collect();
    if !forms.is_empty() {
        return forms.join(" or ");
    }
    match &schema["type"] {
        Value::String(name) => plain(name, schema),
        Value::Array(names) => {
            let kinds: Vec<String> = names
                .iter()
                .filter_map(Value::as_str)
                .map(|n| plain(n, schema))
                .collect();
            kinds.join(" or ")
        }
        _ => "any JSON".to_owned(),
    }
}

fn plain(name: &str, schema: &Value) -> String {
    match name {
        "string" if schema.get("pattern").is_some() => {
            format!(
                "string like `{}`",
                text(schema, "pattern").replace('|', "\\|")
            )
        }
        "string" => match schema["maxLength"].as_u64() {
            Some(max) => format!("string of 1 to {max} bytes"),
            None => "string".to_owned(),
        },
        "array" => format!("list of {}", kind(&schema["items"])),
        "object" => match &schema["additionalProperties"] {
            Value::Object(_) => format!("object of {}", kind(&schema["additionalProperties"])),
            _ => form(schema),
        },
        other => other.to_owned(),
    }
}

/// An object whose members are shown in place: `{"agent": …}`.
fn form(schema: &Value) -> String {
    let members: Vec<String> = members(&schema["properties"])
        .map(|(name, value)| format!("\"{name}\": {}", kind(value)))
        .collect();
    if members.is_empty() {
        "object".to_owned()
    } else {
        format!("{{{}}}", members.join(", "))
    }
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", anchor(name))
}

/// As Markdown renderers make anchors of headings.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    heading.to_ascii_lowercase().chars().filter(kept).collect()
}

/// `1234567` as `1 234 567`, with spaces that do not break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn string(value: &Value) -> String {
    one_line(value.as_str().unwrap_or_default())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_put_into_words() {
        for (schema, words) in [
            (
                json!({ "type": "string", "maxLength": 64 }),
                "string of 1 to 64 bytes",
            ),
            (json!({ "type": ["integer", "null"] }), "integer or null"),
            (
                json!({ "type": "array", "items": { "type": "integer" } }),
                "list of integer",
            ),
            (
                json!({ "$ref": "#/components/schemas/TaskView" }),
                "[TaskView](#taskview)",
            ),
            (
                json!({ "anyOf": [{ "$ref": "#/components/schemas/A" }, { "type": "null" }] }),
                "[A](#a) or null",
            ),
            (json!({}), "any JSON"),
        ] {
            assert_eq!(kind(&schema), words);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1\u{a0}234\u{a0}567");
    }

    #[test]
    fn anchors_drop_dots() {
        assert_eq!(anchor("task.submit_many"), "tasksubmit_many");
    }
}
