//! Values as they were typed, before anybody judges them.

use super::secret::Secret;
use super::source::Source;

/// One value as it was typed.
#[derive(Debug, Clone)]
pub(super) enum GivenValue {
    /// From a flag or a variable: text that may mean anything.
    Word(String),
    /// From a file, where text, numbers and truth values look different.
    Text(String),
    /// A whole number; `None` when it is beyond all bounds.
    Integer(Option<i64>),
    Boolean(bool),
    List(Vec<String>),
    Secret(Secret),
    /// Something of a kind that no setting has.
    Unfit(&'static str),
}

/// One value and where it came from.
#[derive(Debug, Clone)]
pub(super) struct RawValue {
    pub(super) given: GivenValue,
    pub(super) source: Source,
}
