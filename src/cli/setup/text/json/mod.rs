//! JSON with comments and trailing commas.

mod items;
mod style;
mod tree;

use jsonc_parser::ast::{self, Value as Node};
use jsonc_parser::common::Ranged;
use serde_json::{Map, Value};

use super::splice::{Splice, apply};
use super::{Fault, decoded, line_end};
use items::{inserted, placed, removed};
use tree::{below, member, mistyped, of_array, of_object, tree, value_of};

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

#[cfg(test)]
mod tests;
