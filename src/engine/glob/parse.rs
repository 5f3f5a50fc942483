//! Parses the text of a pattern into its parts, and refuses invalid patterns.

use super::class::{self, CharSet};
use super::cursor::PatternCursor;
use super::error::GlobError;
use super::left::Left;
use super::{GLOB_ALTERNATIVES_MAX, GLOB_BYTES_MAX, GLOB_DEPTH_MAX};

/// The parts of a pattern, in order.
pub(super) type Sequence = Vec<Part>;

#[derive(Debug)]
pub(super) enum Part {
    /// One literal character, not `/`.
    Literal {
        c: char,
        left: Left,
    },
    Slash,
    AnyCharacter,
    /// Index into [`Pattern::classes`].
    Class(u16),
    Star,
    /// Two or more asterisks: what they mean depends on both sides.
    Stars {
        at: usize,
        left: Left,
    },
    Alternatives(Vec<Sequence>),
}

#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) parts: Sequence,
    pub(super) classes: Vec<CharSet>,
    /// What its end follows.
    pub(super) end: Left,
}

pub(super) fn parse(text: &str) -> Result<Pattern, GlobError> {
    if text.is_empty() {
        return Err(GlobError::Empty);
    }
    if text.len() > GLOB_BYTES_MAX {
        return Err(GlobError::TooLong {
            length: text.len(),
            max: GLOB_BYTES_MAX,
        });
    }
    if let Some((at, found)) = text.char_indices().find(|(_, c)| c.is_control()) {
        return Err(GlobError::ControlCharacter { at, found });
    }
    if text.starts_with('!') {
        return Err(GlobError::Negation { at: 0 });
    }
    let mut parser = Parser {
        cursor: PatternCursor::new(text),
        left: Left::BEGINNING,
        classes: Vec::new(),
        alternatives: 0,
    };
    let parts = parser.sequence(0)?;
    parser.check_dots(text.len())?;
    Ok(Pattern {
        parts,
        classes: parser.classes,
        end: parser.left,
    })
}

struct Parser<'a> {
    cursor: PatternCursor<'a>,
    left: Left,
    classes: Vec<CharSet>,
    alternatives: usize,
}

impl Parser<'_> {
    /// Parses up to the end, or within braces up to what ends the alternative.
    fn sequence(&mut self, depth: usize) -> Result<Sequence, GlobError> {
        let mut parts = Vec::new();
        while let Some(c) = self.cursor.peek() {
            if depth > 0 && matches!(c, ',' | '}') {
                break;
            }
            parts.extend(self.part(depth)?);
        }
        Ok(parts)
    }

    /// Parses one part, or drops one without meaning.
    fn part(&mut self, depth: usize) -> Result<Option<Part>, GlobError> {
        let Some((at, c)) = self.cursor.next() else {
            return Ok(None);
        };
        match c {
            '/' => self.slash(at),
            '.' if self.left.must_start_segment() && self.cursor.peek() == Some('/') => {
                while self.cursor.eat('/') {}
                Ok(None)
            }
            '?' => Ok(Some(self.wild(Part::AnyCharacter))),
            '*' => Ok(Some(self.stars(at))),
            '[' => self.class(at).map(Some),
            '{' => self.braces(at, depth + 1).map(Some),
            '}' => Err(GlobError::UnopenedBraces { at }),
            '\\' => match self.cursor.escaped(at)? {
                '/' => self.slash(at),
                c => Ok(Some(self.literal(c))),
            },
            c => Ok(Some(self.literal(c))),
        }
    }

    fn slash(&mut self, at: usize) -> Result<Option<Part>, GlobError> {
        if self.left == Left::SLASH {
            return Ok(None);
        }
        if self.left.may_be(Left::BEGINNING) {
            return Err(GlobError::LeadingSlash { at });
        }
        if self.left.may_be(Left::SLASH) {
            return Err(GlobError::EmptySegment { at });
        }
        self.check_dots(at)?;
        self.left = Left::SLASH;
        Ok(Some(Part::Slash))
    }

    /// Refuses a segment that ends at byte `at` and is, for some alternatives, `.` or `..`.
    ///
    /// It could match no path, and would silently leave out a part of the pattern.
    fn check_dots(&self, at: usize) -> Result<(), GlobError> {
        if self.left.may_be(Left::DOT) {
            return Err(GlobError::DotSegment { at });
        }
        if self.left.may_be(Left::DOTS) {
            return Err(GlobError::ParentSegment { at });
        }
        Ok(())
    }

    fn literal(&mut self, c: char) -> Part {
        let left = self.left;
        self.left = match c {
            '.' => left.then_dot(),
            _ => left.then_name(),
        };
        Part::Literal { c, left }
    }

    fn wild(&mut self, part: Part) -> Part {
        self.left = Left::WILD;
        part
    }

    fn stars(&mut self, at: usize) -> Part {
        let mut count = 1;
        while self.cursor.eat('*') {
            count += 1;
        }
        let left = self.left;
        self.wild(match count {
            1 => Part::Star,
            _ => Part::Stars { at, left },
        })
    }

    fn class(&mut self, at: usize) -> Result<Part, GlobError> {
        let set = class::parse(&mut self.cursor, at)?;
        let index = u16::try_from(self.classes.len())
            .expect("a class takes three bytes, and a pattern has at most GLOB_BYTES_MAX");
        self.classes.push(set);
        Ok(self.wild(Part::Class(index)))
    }

    fn braces(&mut self, at: usize, depth: usize) -> Result<Part, GlobError> {
        if depth > GLOB_DEPTH_MAX {
            return Err(GlobError::TooDeep {
                at,
                max: GLOB_DEPTH_MAX,
            });
        }
        if self.cursor.peek() == Some('}') {
            return Err(GlobError::EmptyBraces { at });
        }
        let (before, mut after) = (self.left, Left::NONE);
        let mut alternatives = Vec::new();
        loop {
            self.count_alternative()?;
            self.left = before;
            alternatives.push(self.sequence(depth)?);
            after = after.or(self.left);
            match self.cursor.next() {
                Some((_, ',')) => {}
                Some(_) => break,
                None => return Err(GlobError::UnclosedBraces { at }),
            }
        }
        self.left = after;
        Ok(Part::Alternatives(alternatives))
    }

    fn count_alternative(&mut self) -> Result<(), GlobError> {
        self.alternatives += 1;
        if self.alternatives > GLOB_ALTERNATIVES_MAX {
            return Err(GlobError::TooManyAlternatives {
                at: self.cursor.at(),
                max: GLOB_ALTERNATIVES_MAX,
            });
        }
        Ok(())
    }
}
