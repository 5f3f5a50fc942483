//! What a text of JSON says, and where each part of it stands.

use std::ops::Range;

use jsonc_parser::ast::{self, Value as Node};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::Value;

use super::{Dialect, Fault, Step};

/// An object or a list: its brackets, and what it holds.
pub(super) struct Container {
    /// The first byte behind the opening bracket.
    pub(super) open: usize,
    /// The closing bracket.
    pub(super) close: usize,
    pub(super) items: Vec<Range<usize>>,
}

pub(super) fn tree(text: &str, dialect: Dialect) -> Result<Option<Node<'_>>, Fault> {
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

pub(super) fn value_of(node: &Node<'_>) -> Value {
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
pub(super) fn member<'a, 'b>(
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

pub(super) fn below<'a>(
    text: &str,
    node: &Node<'a>,
    step: Step<'_>,
) -> Result<Option<Node<'a>>, Fault> {
    Ok(match (node, step) {
        (Node::Object(object), Step::Key(key)) => {
            member(text, object, key)?.map(|it| it.value.clone())
        }
        (Node::Array(array), Step::Index(index)) => array.elements.get(index).cloned(),
        _ => None,
    })
}

pub(super) fn mistyped(
    text: &str,
    node: &Node<'_>,
    path: &[&str],
    depth: usize,
    wanted: &str,
) -> Fault {
    let name = match path[..depth].join(".") {
        name if name.is_empty() => "the file".to_owned(),
        name => name,
    };
    Fault::at(text, node.start(), format!("{name} is not {wanted}"))
}

pub(super) fn of_object(object: &ast::Object<'_>) -> Container {
    let items = object.properties.iter().map(|it| it.start()..it.end());
    Container {
        open: object.range.start + 1,
        close: object.range.end - 1,
        items: items.collect(),
    }
}

pub(super) fn of_array(array: &ast::Array<'_>) -> Container {
    let items = array.elements.iter().map(|it| it.start()..it.end());
    Container {
        open: array.range.start + 1,
        close: array.range.end - 1,
        items: items.collect(),
    }
}
