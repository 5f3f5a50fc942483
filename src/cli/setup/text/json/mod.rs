//! JSON with comments and trailing commas.

use std::ops::Range;

use jsonc_parser::ast::{self, Value as Node};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::Serialize;
use serde_json::{Map, Value};

use super::splice::{Splice, apply};
use super::{Fault, decoded, line_end};

/// One step from a value to a value in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// What the reader of a file takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Dialect {
    Strict,
    /// Comments, and commas behind last items.
    Comments,
}

/// A file of JSON; an empty one counts as an empty object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct JsonText {
    mark: &'static str,
    text: String,
    dialect: Dialect,
}

/// An object or a list: its brackets, and what it holds.
struct Container {
    /// The first byte behind the opening bracket.
    open: usize,
    /// The closing bracket.
    close: usize,
    items: Vec<Range<usize>>,
}

impl JsonText {
    pub(in crate::cli) fn read(bytes: &[u8], dialect: Dialect) -> Result<Self, Fault> {
        let (mark, text) = decoded(bytes)?;
        let this = Self {
            mark,
            text: text.to_owned(),
            dialect,
        };
        match tree(&this.text, dialect)? {
            None | Some(Node::Object(_)) => Ok(this),
            Some(other) => Err(Fault::at(text, other.start(), "it is not an object")),
        }
    }

    pub(in crate::cli) fn into_bytes(self) -> Vec<u8> {
        [self.mark.as_bytes(), self.text.as_bytes()].concat()
    }

    /// Whether it says nothing: there is neither a key nor a comment.
    pub(in crate::cli) fn is_blank(&self) -> bool {
        let rest: String = self.text.split_whitespace().collect();
        rest.is_empty() || rest == "{}"
    }

    /// Everything it says. It was readable before, so it still is.
    pub(in crate::cli) fn value(&self) -> Value {
        match tree(&self.text, self.dialect) {
            Ok(Some(root)) => value_of(&root),
            _ => Value::Object(Map::new()),
        }
    }

    /// Puts a value at the end of a path of keys. What is missing on the way is made, and `null` counts as
    /// missing.
    pub(in crate::cli) fn set(&mut self, path: &[&str], value: &Value) -> Result<(), Fault> {
        self.edit(|text, root| placed(text, &Node::Object(root.clone()), path, value))
    }

    /// Puts a value at the end of the list that a path leads to.
    pub(in crate::cli) fn push(&mut self, path: &[&str], value: &Value) -> Result<(), Fault> {
        self.edit(|text, root| {
            let mut node = Node::Object(root.clone());
            for (depth, key) in path.iter().enumerate() {
                let below = match &node {
                    Node::Object(object) => member(text, object, key)?,
                    other => return Err(mistyped(text, other, path, depth, "an object")),
                };
                match below.map(|below| below.value.clone()) {
                    None | Some(Node::NullKeyword(_)) => {
                        let list = Value::Array(vec![value.clone()]);
                        return placed(text, &node, &path[depth..], &list);
                    }
                    Some(below) => node = below,
                }
            }
            match &node {
                Node::Array(array) => Ok(inserted(text, &of_array(array), None, value)),
                other => Err(mistyped(text, other, path, path.len(), "a list")),
            }
        })
    }

    /// Takes out what a path leads to; nothing if it leads to nothing.
    pub(in crate::cli) fn remove(&mut self, path: &[Step<'_>]) -> Result<(), Fault> {
        let Some((last, way)) = path.split_last() else {
            return Ok(());
        };
        self.edit(|text, root| {
            let mut node = Node::Object(root.clone());
            for step in way {
                match below(text, &node, *step)? {
                    Some(next) => node = next,
                    None => return Ok(Vec::new()),
                }
            }
            let found = match (&node, *last) {
                (Node::Object(object), Step::Key(key)) => {
                    let index = object.properties.iter();
                    let index = index.clone().position(|it| it.name.as_str() == key);
                    index.map(|index| (of_object(object), index))
                }
                (Node::Array(array), Step::Index(index)) => {
                    (index < array.elements.len()).then(|| (of_array(array), index))
                }
                _ => None,
            };
            Ok(found.map_or_else(Vec::new, |(holder, index)| removed(text, &holder, index)))
        })
    }

    fn edit(
        &mut self,
        splices: impl FnOnce(&str, &ast::Object<'_>) -> Result<Vec<Splice>, Fault>,
    ) -> Result<(), Fault> {
        if tree(&self.text, self.dialect)?.is_none() {
            self.text.push_str("{}");
            self.text.push_str(line_end(&self.text));
        }
        let Some(Node::Object(root)) = tree(&self.text, self.dialect)? else {
            return Err(Fault::Whole("it is not an object"));
        };
        let splices = splices(&self.text, &root)?;
        let text = apply(&self.text, splices);
        // A slip of ours must not reach the file.
        tree(&text, self.dialect)?;
        self.text = text;
        Ok(())
    }
}

fn tree(text: &str, dialect: Dialect) -> Result<Option<Node<'_>>, Fault> {
    let lenient = dialect == Dialect::Comments;
    let options = ParseOptions {
        allow_comments: lenient,
        allow_trailing_commas: lenient,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options);
    let parsed = parsed.map_err(|error| {
        let what = format!("it is not valid JSON: {}", error.kind());
        Fault::at(text, error.range().start, what)
    })?;
    Ok(parsed.value)
}

fn value_of(node: &Node<'_>) -> Value {
    match node {
        Node::NullKeyword(_) => Value::Null,
        Node::BooleanLit(it) => Value::Bool(it.value),
        Node::StringLit(it) => Value::String(it.value.clone().into_owned()),
        // A number too large for us is compared by its digits.
        Node::NumberLit(it) => {
            serde_json::from_str(it.value).unwrap_or_else(|_| Value::String(it.value.to_owned()))
        }
        Node::Array(it) => it.elements.iter().map(value_of).collect(),
        Node::Object(it) => {
            let members = it.properties.iter();
            let members = members.map(|it| (it.name.as_str().to_owned(), value_of(&it.value)));
            Value::Object(members.collect())
        }
    }
}

/// The member of that name. Which of two counts differs from reader to reader, so that is a fault.
fn member<'a, 'b>(
    text: &str,
    object: &'b ast::Object<'a>,
    key: &str,
) -> Result<Option<&'b ast::ObjectProp<'a>>, Fault> {
    let mut found = object
        .properties
        .iter()
        .filter(|it| it.name.as_str() == key);
    let first = found.next();
    match found.next() {
        Some(second) => Err(Fault::at(
            text,
            second.start(),
            format!("{key} is there twice"),
        )),
        None => Ok(first),
    }
}

fn below<'a>(text: &str, node: &Node<'a>, step: Step<'_>) -> Result<Option<Node<'a>>, Fault> {
    Ok(match (node, step) {
        (Node::Object(object), Step::Key(key)) => {
            member(text, object, key)?.map(|it| it.value.clone())
        }
        (Node::Array(array), Step::Index(index)) => array.elements.get(index).cloned(),
        _ => None,
    })
}

fn mistyped(text: &str, node: &Node<'_>, path: &[&str], depth: usize, wanted: &str) -> Fault {
    let name = match path[..depth].join(".") {
        name if name.is_empty() => "the file".to_owned(),
        name => name,
    };
    Fault::at(text, node.start(), format!("{name} is not {wanted}"))
}

/// How a value is put at the end of a path that begins at a node.
fn placed(text: &str, node: &Node<'_>, path: &[&str], value: &Value) -> Result<Vec<Splice>, Fault> {
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

fn of_object(object: &ast::Object<'_>) -> Container {
    let items = object.properties.iter().map(|it| it.start()..it.end());
    Container {
        open: object.range.start + 1,
        close: object.range.end - 1,
        items: items.collect(),
    }
}

fn of_array(array: &ast::Array<'_>) -> Container {
    let items = array.elements.iter().map(|it| it.start()..it.end());
    Container {
        open: array.range.start + 1,
        close: array.range.end - 1,
        items: items.collect(),
    }
}

/// How items of a container are written.
struct Style {
    line_end: &'static str,
    /// One level of indentation.
    unit: String,
    /// That of the items; `None` when all stand on one line.
    indent: Option<String>,
}

impl Style {
    fn of(text: &str, holder: &Container) -> Self {
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

    fn rendered(&self, value: &Value) -> String {
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
fn indent_at(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |it| it + 1);
    let line = &text[start..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// The same if the line begins with that byte.
fn line_indent(text: &str, at: usize) -> Option<&str> {
    let before = &text[..at];
    let indent = &before[before.rfind('\n')? + 1..];
    indent
        .trim_matches([' ', '\t'])
        .is_empty()
        .then_some(indent)
}

/// How a new last item is put in.
fn inserted(text: &str, holder: &Container, key: Option<&str>, value: &Value) -> Vec<Splice> {
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
fn removed(text: &str, holder: &Container, index: usize) -> Vec<Splice> {
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

#[cfg(test)]
mod tests;
