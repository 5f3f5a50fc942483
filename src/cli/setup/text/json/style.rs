//! How a text of JSON is written, so that what is added looks like the rest.

use serde::Serialize;
use serde_json::Value;

use super::line_end;
use super::tree::Container;

/// How items of a container are written.
pub(super) struct Style {
    pub(super) line_end: &'static str,
    /// One level of indentation.
    unit: String,
    /// That of the items; `None` when all stand on one line.
    pub(super) indent: Option<String>,
}

impl Style {
    pub(super) fn of(text: &str, holder: &Container) -> Self {
        let outer = indent_at(text, holder.open);
        let unit = unit(text);
        let one_line = !holder.items.is_empty() && !text[holder.open..holder.close].contains('\n');
        let own = holder
            .items
            .iter()
            .rev()
            .find_map(|item| line_indent(text, item.start));
        let indent = own.map_or_else(|| outer.to_owned() + &unit, str::to_owned);
        Self {
            line_end: line_end(text),
            indent: (!one_line).then_some(indent),
            unit,
        }
    }

    pub(super) fn rendered(&self, value: &Value) -> String {
        let Some(indent) = &self.indent else {
            return value.to_string();
        };
        let mut bytes = Vec::new();
        let pretty = serde_json::ser::PrettyFormatter::with_indent(self.unit.as_bytes());
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, pretty);
        let written = value.serialize(&mut serializer);
        written.expect("memory takes all that is written, and keys are text");
        let text = String::from_utf8_lossy(&bytes);
        // Line breaks within strings are escaped, so each one here separates two lines.
        text.replace('\n', &format!("{}{indent}", self.line_end))
    }
}

/// One level of indentation: that of the first indented line.
fn unit(text: &str) -> String {
    let indents = text.lines().map(|line| {
        let rest = line.trim_start_matches([' ', '\t']);
        (&line[..line.len() - rest.len()], rest)
    });
    let mut indents = indents.filter(|(indent, rest)| !indent.is_empty() && rest.starts_with('"'));
    match indents.next() {
        Some((indent, _)) if indent.starts_with('\t') => "\t".to_owned(),
        Some((indent, _)) => indent.to_owned(),
        None => "  ".to_owned(),
    }
}

/// The indentation of the line that has a byte.
pub(super) fn indent_at(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |it| it + 1);
    let line = &text[start..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// The same if the line begins with that byte.
pub(super) fn line_indent(text: &str, at: usize) -> Option<&str> {
    let before = &text[..at];
    let indent = &before[before.rfind('\n')? + 1..];
    indent
        .trim_matches([' ', '\t'])
        .is_empty()
        .then_some(indent)
}
