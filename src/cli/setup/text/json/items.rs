//! Puts items into objects and lists, and takes them out, with their commas, lines and comments.

use std::ops::Range;

use jsonc_parser::ast::Value as Node;
use jsonc_parser::common::Ranged;
use serde_json::{Map, Value};

use super::style::{Style, indent_at, line_indent};
use super::tree::{Container, member, mistyped, of_object};
use super::{Fault, Splice};

/// How a value is put at the end of a path that begins at a node.
pub(super) fn placed(
    text: &str,
    node: &Node<'_>,
    path: &[&str],
    value: &Value,
) -> Result<Vec<Splice>, Fault> {
    let mut node = node.clone();
    for (depth, key) in path.iter().enumerate() {
        let Node::Object(object) = &node else {
            return Err(mistyped(text, &node, path, depth, "an object"));
        };
        let rest = &path[depth + 1..];
        let nested = || {
            let wrap =
                |inner, key: &&str| Value::Object(Map::from_iter([((*key).to_owned(), inner)]));
            rest.iter().rev().fold(value.clone(), wrap)
        };
        let Some(found) = member(text, object, key)? else {
            return Ok(inserted(text, &of_object(object), Some(key), &nested()));
        };
        let is_null = matches!(found.value, Node::NullKeyword(_));
        if rest.is_empty() || is_null {
            let holder = of_object(object);
            let style = Style::of(text, &holder);
            let range = found.value.start()..found.value.end();
            let text = style.rendered(&nested());
            return Ok(vec![Splice { range, text }]);
        }
        node = found.value.clone();
    }
    Ok(Vec::new())
}

/// How a new last item is put in.
pub(super) fn inserted(
    text: &str,
    holder: &Container,
    key: Option<&str>,
    value: &Value,
) -> Vec<Splice> {
    let style = Style::of(text, holder);
    let key = key
        .map(|key| format!("{}: ", Value::from(key)))
        .unwrap_or_default();
    let item = key + &style.rendered(value);
    let Some(last) = holder.items.last() else {
        let indent = style.indent.as_deref().unwrap_or_default();
        let inside = &text[holder.open..holder.close];
        let at = holder.open + inside.trim_end().len();
        let mut put = format!("{}{indent}{item}", style.line_end);
        if !text[at..holder.close].contains('\n') {
            put.push_str(style.line_end);
            put.push_str(indent_at(text, holder.open));
        }
        return vec![Splice::insert(at, put)];
    };
    let comma = comma(text, last.end..holder.close);
    let (between, behind) = match &style.indent {
        Some(indent) => (
            format!("{}{indent}", style.line_end),
            rest_of_line(text, comma.map_or(last.end, |at| at + 1), holder.close),
        ),
        None => (" ".to_owned(), comma.map_or(last.end, |at| at + 1)),
    };
    match comma {
        Some(_) => vec![Splice::insert(behind, format!("{between}{item},"))],
        None => vec![
            Splice::insert(last.end, ","),
            Splice::insert(behind, between + &item),
        ],
    }
}

/// How an item is taken out, with its line and its comma.
pub(super) fn removed(text: &str, holder: &Container, index: usize) -> Vec<Splice> {
    let item = holder.items[index].clone();
    let next = holder.items.get(index + 1);
    let own_comma = comma(text, item.end..next.map_or(holder.close, |next| next.start));
    let alone = holder.items.len() == 1;
    let after = own_comma.map_or(item.end, |at| at + 1);
    let is_bare = |range: Range<usize>| text[range].trim().is_empty();
    if alone && is_bare(holder.open..item.start) && is_bare(after..holder.close) {
        return vec![Splice::remove(holder.open..holder.close)];
    }
    let mut splices = Vec::new();
    let indent = line_indent(text, item.start);
    let start = match indent {
        Some(indent) => before_line_end(text, item.start - indent.len()),
        None if own_comma.is_some() => item.start,
        None => text[..item.start].trim_end_matches([' ', '\t']).len(),
    };
    match own_comma {
        Some(at) if is_bare(item.end..at) => {
            let blanks =
                text[at + 1..].len() - text[at + 1..].trim_start_matches([' ', '\t']).len();
            let blanks = if indent.is_none() { blanks } else { 0 };
            splices.push(Splice::remove(start..at + 1 + blanks));
        }
        Some(at) => splices.extend([Splice::remove(start..item.end), Splice::remove(at..at + 1)]),
        None => {
            let before = index.checked_sub(1).map(|index| holder.items[index].end);
            let previous = before.and_then(|end| comma(text, end..item.start));
            splices.extend(previous.map(|at| Splice::remove(at..at + 1)));
            // The comma of the one before may be what the range would begin with.
            let start = previous.map_or(start, |at| start.max(at + 1));
            splices.push(Splice::remove(start..item.end));
        }
    }
    splices
}

/// Where the line break before a line begins.
fn before_line_end(text: &str, line_start: usize) -> usize {
    let before = &text[..line_start];
    let before = before.strip_suffix('\n').unwrap_or(before);
    before.strip_suffix('\r').unwrap_or(before).len()
}

/// The comma in a range between two items, which else holds blanks and comments.
fn comma(text: &str, range: Range<usize>) -> Option<usize> {
    let mut at = range.start;
    while at < range.end {
        let rest = &text[at..range.end];
        if rest.starts_with(',') {
            return Some(at);
        }
        at += trivia(rest);
    }
    None
}

/// The bytes of the comment or the character that a text begins with.
fn trivia(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    rest.chars().next().map_or(1, char::len_utf8)
}

/// Behind the last comment that belongs to the line of what ends at `from`.
fn rest_of_line(text: &str, from: usize, end: usize) -> usize {
    let (mut at, mut last) = (from, from);
    while at < end {
        let rest = &text[at..end];
        let bytes = trivia(rest);
        let is_comment = rest.starts_with("//") || rest.starts_with("/*");
        if !is_comment && !rest.starts_with([' ', '\t']) || rest[..bytes].contains('\n') {
            break;
        }
        at += bytes;
        if is_comment {
            // The line break of a comment may begin with a carriage return.
            last = from.max(from + text[from..at].trim_end_matches('\r').len());
        }
    }
    last
}
