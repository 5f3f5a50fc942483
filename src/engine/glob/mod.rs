//! Path patterns, and whether two of them can match the same file.
//!
//! A lease on `path:<glob>` conflicts with another one exactly when some path is matched by both globs. The
//! decision is exact: see [`Glob::overlaps`].
//!
//! # Paths
//!
//! A path is relative to the root of the repository: one or more names joined by single `/`. A name is not
//! empty, not `.` and not `..`; any other text is a name, compared character by character (Unicode scalar
//! values; case matters, nothing is normalised). No glob matches anything else.
//!
//! # Patterns
//!
//! | pattern | matches |
//! |---|---|
//! | `?` | one character, not `/` |
//! | `*` | any run of characters without `/`, also an empty one, also a leading dot |
//! | `**` as a whole segment | any number of segments, see below |
//! | `[a-z_]` | one of these characters; a `]` at the very start and a `-` at either end are literal |
//! | `[!a-z]`, `[^a-z]` | one character that is none of these, and not `/` |
//! | `{a,b/c,}` | any of the alternatives; they may be empty, hold `/`, and nest |
//! | `\*` | the character itself; letters and digits are not escaped, so `src\main.rs` is refused |
//! | anything else | itself; `,` and `]` have no meaning outside of braces and classes |
//!
//! A whole pattern is matched against a whole path.
//!
//! ## Folders A glob whose last segment has no wildcard (`*`, `?`, a class) also covers what is below: `src`
//! matches `src` and `src/a/b.rs`, `**/src` matches every `src` and all in it, and `src/*` matches what is in
//! `src` and not what is deeper. A path is never both a file and a folder, so the name of a file covers
//! nothing else. If braces give several last segments, each is decided separately: `{a,b*}` covers what is
//! below `a`, and not what is below `b`. In journals of format 1 and 2 globs cover nothing
//! ([`Coverage::Exact`]), so that old records keep their meaning.
//!
//! ## `**` As in gitignore and globset. Followed by `/`, it stands for zero or more segments: `src/**/*.rs`
//! matches `src/a.rs` and `src/x/y/a.rs`. At the end it stands for one or more: `src/**` matches everything
//! below `src` and not `src` itself; `**` alone matches every path. Longer runs mean the same. Beside
//! anything else in its segment, `**` is `*`: `a**b` is `a*b`. The asterisks must be written together:
//! `{*}{*}` is no `**`. If `**` is a whole segment only for some alternatives, as in `{a,b/}**`, the pattern
//! is refused.
//!
//! ## Slashes and dots
//! - A trailing `/`, also that of an alternative, means everything below: `src/` is `src/**`.
//! - Repeated slashes count as one, and `./` at the start of a segment is dropped.
//! - A leading `/` is refused: an absolute path would be a lease on nothing. So is a slash that
//!   leads, or follows another, only for some alternatives: write `{a/,}b` and not `{a,}/b`.
//! - A choice of alternatives that leaves nothing at all, as in `{,a}`, matches nothing.
//! - Segments `..` are refused, and so is `.` where it is not followed by `/`.
//! - A class never matches `/`, and naming it there is refused.
//!
//! ## Refused too
//! Control characters; a leading `!`, which would be a negation in gitignore (write `\!`); `{}`,
//! `[]` and named classes (`[:alpha:]`); patterns that no path can match, such as `[.]`.
//!
//! # Bounds
//! A pattern has at most [`GLOB_BYTES_MAX`] bytes, [`GLOB_ALTERNATIVES_MAX`] alternatives and
//! [`GLOB_DEPTH_MAX`] nested braces. It is compiled once, to an automaton of fewer than
//! [`GLOB_STATES_MAX`] states in which braces are branches, so nothing is ever expanded. Matching
//! visits a state at most once a character; overlap visits a pair of states at most once for each of
//! the four things that can be known about the segment so far.

mod class;
mod cursor;
mod error;
mod left;
mod matching;
mod overlap;
mod parse;
mod path;
mod program;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use error::GlobError;
pub(in crate::engine) use path::is_path;
use program::GlobProgram;

/// The most bytes a pattern may have.
pub const GLOB_BYTES_MAX: usize = 512;
/// The most alternatives a pattern may have, all its braces together.
pub const GLOB_ALTERNATIVES_MAX: usize = 128;
/// How deeply braces may nest.
pub const GLOB_DEPTH_MAX: usize = 8;
/// The most states a compiled pattern can have.
///
/// No exact pattern reaches this limit. A byte makes at most one state that reads. The comma or brace before
/// an alternative makes none; the alternative makes at most four that branch: its own, the one that `**`
/// skips to, and for slashes that can end the pattern one before its braces and one at its own end. In a
/// covering pattern, what stands behind both kinds of alternatives in a segment counts twice, so there it is
/// checked; patterns of that many states are not known.
pub const GLOB_STATES_MAX: usize = 1024;

const _: () = assert!(GLOB_BYTES_MAX + 3 * GLOB_ALTERNATIVES_MAX + 8 <= GLOB_STATES_MAX);

/// Whether a pattern also covers everything below the paths that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coverage {
    /// It never does, as in records of format 1 and 2.
    Exact,
    /// It does if its last segment has no wildcard.
    Covering,
}

/// A pattern for paths, checked and compiled; cheap to clone.
///
/// Globs are equal when their texts and their coverage are, so `a//b` and `a/b` differ although they
/// match the same.
#[derive(Clone)]
pub struct Glob(Arc<CompiledGlob>);

struct CompiledGlob {
    text: Box<str>,
    coverage: Coverage,
    program: GlobProgram,
}

impl Glob {
    pub fn new(text: &str, coverage: Coverage) -> Result<Self, GlobError> {
        let program = GlobProgram::compile(parse::parse(text)?, coverage)?;
        // A lease on nothing would look like protection. So every glob overlaps itself, which `overlaps`
        // relies on.
        if !overlap::overlap(&program, &GlobProgram::everything()) {
            return Err(GlobError::MatchesNothing { length: text.len() });
        }
        Ok(Self(Arc::new(CompiledGlob {
            text: text.into(),
            coverage,
            program,
        })))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    pub fn coverage(&self) -> Coverage {
        self.0.coverage
    }

    /// Whether the pattern matches this path.
    pub fn matches(&self, path: &str) -> bool {
        matching::matches(&self.0.program, path)
    }

    /// The names that every path begins with which the pattern matches, and whether they are the whole pattern.
    pub(in crate::engine) fn beginning(&self) -> (String, bool) {
        const SPECIAL: [char; 6] = ['*', '?', '[', '{', '}', '\\'];
        let text = self.as_str();
        let end = text.split('/').take_while(|name| !name.contains(SPECIAL));
        let names: Vec<&str> = end.collect();
        let is_whole = names.len() == text.split('/').count();
        // As in the pattern, empty names and dots mean nothing.
        let names = names.into_iter().filter(|name| !matches!(*name, "" | "."));
        (names.collect::<Vec<_>>().join("/"), is_whole)
    }

    /// How the last name of every path ends that the pattern matches, from its last dot on; `None` if the text
    /// does not tell. A pattern whose last segment has a wildcard covers nothing below.
    pub(in crate::engine) fn ending(&self) -> Option<&str> {
        let text = self.as_str();
        if text.contains(['{', '[', '\\']) {
            return None;
        }
        let name = text.rsplit('/').next().unwrap_or(text);
        let literal = &name[name.rfind(['*', '?'])? + 1..];
        literal.rfind('.').map(|dot| &literal[dot..])
    }

    /// Whether there is a path that both patterns match.
    ///
    /// Exact and symmetric. Patterns that differ in the text before their first special character,
    /// or after their last, are told apart by that alone.
    pub fn overlaps(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || overlap::overlap(&self.0.program, &other.0.program)
    }

    /// Whether the pattern matches this path or one below it.
    pub fn overlaps_tree(&self, path: &str) -> bool {
        overlap::may_reach(&self.0.program, path)
            && overlap::overlap(&self.0.program, &GlobProgram::tree(path))
    }

    /// A path that the pattern matches and that is this one or below it, if there is one.
    pub fn tree_witness(&self, path: &str) -> Option<String> {
        overlap::witness(&self.0.program, &GlobProgram::tree(path))
    }

    /// A path that both patterns match, if there is one: an example for people.
    ///
    /// There is one exactly when [`Glob::overlaps`] says so. It is short, and the same each time,
    /// whichever of the two is asked.
    pub fn overlap_witness(&self, other: &Self) -> Option<String> {
        let (one, other) = (self.min(other), self.max(other));
        overlap::witness(&one.0.program, &other.0.program)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Glob {}

impl PartialOrd for Glob {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Glob {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let texts = self.as_str().cmp(other.as_str());
        texts.then(self.coverage().cmp(&other.coverage()))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
