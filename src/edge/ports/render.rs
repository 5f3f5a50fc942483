//! The port table as text, Markdown and JSON. One source: the documentation is held to it.

use serde_json::{Value, json};

use super::{NEIGHBOURS, Profile, Service};

const COLUMNS: usize = 2 + Profile::ALL.len();

/// For a terminal: aligned columns, and the neighbours to know about.
pub fn table_text() -> String {
    let rows = rows(str::to_owned);
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].len())
            .max()
            .unwrap_or_default()
    });
    let mut text = String::new();
    for row in &rows {
        push_aligned(&mut text, row, &widths);
    }
    text.push_str("\nWell-known neighbours:\n");
    for neighbour in &NEIGHBOURS {
        push_line(
            &mut text,
            &format!("  {}  {}", neighbour.port, neighbour.note),
        );
    }
    text
}

/// For documentation: the table alone.
pub fn table_markdown() -> String {
    let rows = rows(|title| format!("**{title}**"));
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        push_line(&mut text, &format!("| {} |", row.join(" | ")));
        if index == 0 {
            push_line(&mut text, &format!("|{}", "---|".repeat(COLUMNS)));
        }
    }
    text
}

/// For programs: ports as numbers, ranges as `first` and `last`.
pub fn table_json() -> Value {
    let services: Vec<Value> = Service::ALL
        .into_iter()
        .map(|service| {
            let profiles: serde_json::Map<String, Value> = Profile::ALL
                .into_iter()
                .map(|profile| {
                    let ports = profile.ports(service);
                    let range = json!({ "first": ports.first(), "last": ports.last() });
                    (profile.name().to_owned(), range)
                })
                .collect();
            json!({
                "service": service.key(),
                "title": service.title(),
                "variable": service.variable(),
                "standard_port": service.standard_port(),
                "profiles": profiles,
            })
        })
        .collect();
    json!({ "services": services, "neighbours": NEIGHBOURS })
}

/// Head and one row a service, as cells.
fn rows(title: impl Fn(&str) -> String) -> Vec<[String; COLUMNS]> {
    let head = std::array::from_fn(|column| match column {
        0 => "Service".to_owned(),
        1 => "Standard Port".to_owned(),
        _ => capitalised(Profile::ALL[column - 2].name()),
    });
    let body = Service::ALL.map(|service| {
        std::array::from_fn(|column| match column {
            0 => title(service.title()),
            1 => service.standard_port().to_string(),
            _ => Profile::ALL[column - 2].ports(service).to_string(),
        })
    });
    std::iter::once(head).chain(body).collect()
}

fn push_aligned(text: &mut String, row: &[String; COLUMNS], widths: &[usize; COLUMNS]) {
    let cells: Vec<String> = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    push_line(text, cells.join("  ").trim_end());
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}
