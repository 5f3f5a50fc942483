//! Sets of characters, for the classes of a pattern.

use super::cursor::PatternCursor;
use super::error::GlobError;

/// A set of characters without `/`: sorted inclusive ranges that neither overlap nor touch.
///
/// The bounds are `char`, so a range never counts surrogates: two ranges share a character exactly
/// when the larger start is not beyond the smaller end.
#[derive(Debug)]
pub(super) struct CharSet {
    ranges: Box<[(char, char)]>,
    summary: CommonChars,
}

/// The intersection of two sets, as far as the search needs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CommonChars {
    pub(super) slash: bool,
    pub(super) dot: bool,
    /// Some character that is neither; a readable one if possible.
    pub(super) other: Option<char>,
}

impl CommonChars {
    pub(super) const NAME: Self = Self {
        slash: false,
        dot: true,
        other: Some('a'),
    };
    pub(super) const ALL: Self = Self {
        slash: true,
        ..Self::NAME
    };
    pub(super) const NOTHING: Self = Self {
        slash: false,
        dot: false,
        other: None,
    };

    pub(super) fn one(c: char) -> Self {
        match c {
            '/' => Self {
                slash: true,
                ..Self::NOTHING
            },
            '.' => Self {
                dot: true,
                ..Self::NOTHING
            },
            _ => Self {
                other: Some(c),
                ..Self::NOTHING
            },
        }
    }

    fn add(&mut self, first: char, last: char) {
        self.dot |= (first..=last).contains(&'.');
        let found = example(first, last);
        if found.is_some_and(|c| self.other.is_none_or(|best| rank(c) < rank(best))) {
            self.other = found;
        }
    }
}

/// Ranges to take examples from, best first. None holds `.` or `/`.
const EXAMPLES: [(char, char); 6] = [
    ('a', 'z'),
    ('0', '9'),
    ('A', 'Z'),
    ('!', '-'),
    (':', '~'),
    ('\u{a1}', char::MAX),
];

fn rank(c: char) -> usize {
    let known = EXAMPLES.iter().position(|(a, z)| (*a..=*z).contains(&c));
    known.unwrap_or(EXAMPLES.len())
}

/// A character of the range other than `.` and `/`, if it has one.
fn example(first: char, last: char) -> Option<char> {
    let pleasant = EXAMPLES
        .iter()
        .map(|(a, z)| (first.max(*a), last.min(*z)))
        .find(|(a, z)| a <= z);
    if let Some((c, _)) = pleasant {
        return Some(c);
    }
    // Only blanks and control characters are left. No pattern can name a control character, so NUL is never
    // the only choice, and an example can be a valid file name.
    let c = first.max('\u{1}');
    (c <= last && !matches!(c, '.' | '/')).then_some(c)
}

impl CharSet {
    fn new(members: Vec<(char, char)>, negated: bool) -> Self {
        let mut ranges = merged(members);
        if negated {
            ranges = complement(&ranges);
        }
        let ranges = without_slash(&ranges);
        let mut summary = CommonChars::NOTHING;
        for (first, last) in &ranges {
            summary.add(*first, *last);
        }
        Self {
            ranges: ranges.into(),
            summary,
        }
    }

    pub(super) fn contains(&self, c: char) -> bool {
        let at = self.ranges.partition_point(|(_, last)| *last < c);
        self.ranges.get(at).is_some_and(|(first, _)| *first <= c)
    }

    pub(super) fn summary(&self) -> CommonChars {
        self.summary
    }

    /// Linear in the number of ranges. All classes of a pattern have fewer ranges than the pattern has bytes,
    /// so a whole search stays within the bound on pairs of states.
    pub(super) fn common(&self, other: &Self) -> CommonChars {
        let (mut mine, mut theirs) = (self.ranges.iter(), other.ranges.iter());
        let (mut left, mut right) = (mine.next(), theirs.next());
        let mut common = CommonChars::NOTHING;
        while let (Some((a, z)), Some((b, y))) = (left, right) {
            if a.max(b) <= z.min(y) {
                common.add(*a.max(b), *z.min(y));
            }
            if z <= y {
                left = mine.next();
            } else {
                right = theirs.next();
            }
        }
        common
    }
}

fn before(c: char) -> Option<char> {
    ('\0'..c).next_back()
}

fn after(c: char) -> Option<char> {
    (c..=char::MAX).nth(1)
}

fn merged(mut members: Vec<(char, char)>) -> Vec<(char, char)> {
    members.sort_unstable();
    let mut ranges: Vec<(char, char)> = Vec::with_capacity(members.len());
    for (first, last) in members {
        match ranges.last_mut() {
            Some(open) if after(open.1).is_none_or(|next| first <= next) => {
                open.1 = open.1.max(last);
            }
            _ => ranges.push((first, last)),
        }
    }
    ranges
}

fn complement(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut gaps = Vec::with_capacity(ranges.len() + 1);
    let mut from = Some('\0');
    for (first, last) in ranges {
        if let (Some(from), Some(to)) = (from, before(*first))
            && from <= to
        {
            gaps.push((from, to));
        }
        from = after(*last);
    }
    gaps.extend(from.map(|from| (from, char::MAX)));
    gaps
}

fn without_slash(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let sides =
        |(first, last): &(char, char)| [(*first, (*last).min('.')), ((*first).max('0'), *last)];
    let parts = ranges.iter().flat_map(sides);
    parts.filter(|(first, last)| first <= last).collect()
}

/// Parses the rest of a class, after its `[` at byte `at`.
pub(super) fn parse(cursor: &mut PatternCursor<'_>, at: usize) -> Result<CharSet, GlobError> {
    let negated = cursor.eat('!') || cursor.eat('^');
    let mut members = Vec::new();
    loop {
        let Some((here, c)) = cursor.next() else {
            return Err(GlobError::UnclosedClass { at });
        };
        match c {
            ']' if !members.is_empty() => break,
            // A `]` right after the opening is a member, but only if there is another to close.
            ']' if !cursor.rest().contains(']') => return Err(GlobError::EmptyClass { at }),
            '[' if cursor.peek() == Some(':') => return Err(GlobError::NamedClass { at: here }),
            _ => {
                let first = member(cursor, here, c)?;
                members.push((first, range_end(cursor, at, here, first)?));
            }
        }
    }
    let set = CharSet::new(members, negated);
    if set.summary == CommonChars::NOTHING {
        return Err(GlobError::EmptyClass { at });
    }
    Ok(set)
}

/// The end of the range that `first` begins; `first` itself where no range is written.
fn range_end(
    cursor: &mut PatternCursor<'_>,
    class_at: usize,
    at: usize,
    first: char,
) -> Result<char, GlobError> {
    let is_range = cursor.peek() == Some('-') && !cursor.rest().starts_with("-]");
    if !is_range {
        return Ok(first);
    }
    cursor.next();
    let Some((here, c)) = cursor.next() else {
        return Err(GlobError::UnclosedClass { at: class_at });
    };
    let last = member(cursor, here, c)?;
    if last < first {
        return Err(GlobError::ReversedRange { at, first, last });
    }
    Ok(last)
}

fn member(cursor: &mut PatternCursor<'_>, at: usize, c: char) -> Result<char, GlobError> {
    let c = if c == '\\' { cursor.escaped(at)? } else { c };
    if c == '/' {
        return Err(GlobError::SlashInClass { at });
    }
    Ok(c)
}
