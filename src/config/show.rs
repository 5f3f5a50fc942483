//! `config show`: each value, where it came from, secrets masked. Pure rendering.

use std::fmt::Write;

use serde_json::{Value, json};

use super::parsed::Config;
use super::settings::{self, Spec};

/// One line a setting: key, value, where it came from. Warnings follow.
pub fn text(config: &Config) -> String {
    let rows: Vec<(&str, String, String)> = settings::SERVER
        .iter()
        .map(|spec| {
            let value = config.origins.shown(spec);
            (spec.key, plain(value), source(config, spec))
        })
        .collect();
    let key_width = rows.iter().map(|row| row.0.len()).max().unwrap_or_default();
    let value_width = rows
        .iter()
        .map(|row| row.1.chars().count())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for (key, value, source) in rows {
        let line = format!("{key:key_width$}  {value:value_width$}  {source}");
        push_line(&mut text, line.trim_end());
    }
    for warning in &config.warnings {
        push_line(&mut text, &format!("warning: {warning}"));
    }
    text
}

/// For programs: an object a setting.
pub fn json(config: &Config) -> Value {
    let settings: serde_json::Map<String, Value> = settings::SERVER
        .iter()
        .map(|spec| {
            let shown = json!({
                "value": config.origins.shown(spec),
                "source": config.origins.source(spec),
            });
            (spec.key.to_owned(), shown)
        })
        .collect();
    json!({
        "file": config.file,
        "settings": settings,
        "warnings": config.warnings,
    })
}

/// An absent value came from nowhere.
fn source(config: &Config, spec: &Spec) -> String {
    if config.origins.shown(spec).is_null() {
        return String::new();
    }
    config.origins.source(spec).to_string()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().fold(String::new(), |mut text, item| {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{}", plain(item));
            text
        }),
        other => other.to_string(),
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
