//! Reading a pattern one character after the other.

use super::error::GlobError;

/// Where in the text the parser stands.
pub(super) struct PatternCursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> PatternCursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte offset of what comes next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The next character and its offset.
    pub(super) fn next(&mut self) -> Option<(usize, char)> {
        let (at, c) = (self.at, self.peek()?);
        self.at += c.len_utf8();
        Some((at, c))
    }

    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// The character after the backslash at byte `at`.
    pub(super) fn escaped(&mut self, at: usize) -> Result<char, GlobError> {
        match self.next() {
            None => Err(GlobError::TrailingEscape { at }),
            Some((_, found)) if found.is_alphanumeric() => {
                Err(GlobError::NeedlessEscape { at, found })
            }
            Some((_, c)) => Ok(c),
        }
    }
}
