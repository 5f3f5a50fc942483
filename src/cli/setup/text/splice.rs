//! Changes of a text, collected against the text as it was.

use std::ops::Range;

/// A range that is replaced; an empty one is a place where text is inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

impl Splice {
    pub(super) fn insert(at: usize, text: impl Into<String>) -> Self {
        Self {
            range: at..at,
            text: text.into(),
        }
    }

    pub(super) fn remove(range: Range<usize>) -> Self {
        Self {
            range,
            text: String::new(),
        }
    }
}

/// The text with all of them made. Of two at one place the first stands first.
pub(super) fn apply(text: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|splice| splice.range.start);
    let mut result = String::with_capacity(text.len());
    let mut from = 0;
    for splice in &splices {
        result.push_str(&text[from..splice.range.start.max(from)]);
        result.push_str(&splice.text);
        from = splice.range.end.max(from);
    }
    result.push_str(&text[from..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splices_do_not_move_each_other() {
        let splices = vec![
            Splice::remove(3..4),
            Splice::insert(1, ","),
            Splice::insert(1, "x"),
        ];
        assert_eq!(apply("abcd", splices), "a,xbc");
    }
}
