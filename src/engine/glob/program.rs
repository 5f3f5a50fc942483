//! The automaton of a compiled pattern.
//!
//! It is built from the end to the beginning: each part gets the state that follows it. So alternatives meet
//! without extra states, and the right side of a part is known when the part is built.
//!
//! Whether a pattern also covers everything below its paths depends on the last segment, and so on the chosen
//! alternatives: it does if they leave no wildcard in that segment. So each part of a segment is built for
//! two cases, with and without a wildcard before it in the segment, if both can happen ([`Next`]). A slash
//! starts a new segment, so the two cases meet there again.

use std::collections::BTreeMap;

use super::class::{CharSet, CommonChars};
use super::error::GlobError;
use super::left::Left;
use super::parse::{Part, Pattern};
use super::{Coverage, GLOB_STATES_MAX};
use crate::planted::{Bug, is_on};

/// Index of a state.
pub(super) type Id = u16;

const ACCEPT: Id = 0;
/// Everything below a slash that ends the pattern.
const BELOW: Id = 1;
/// The slash before what is below a path.
const SLASH: Id = 2;
/// The end of a path without wildcards in its last segment: the path itself, and all below it.
const COVER: Id = 3;

#[derive(Debug, Clone, Copy)]
pub(super) enum GlobState {
    /// The end: accepts, if the path ends within a name.
    Accept,
    /// Reads this character, also `/`.
    Literal(char, Id),
    /// Reads any character but `/`.
    AnyCharacter(Id),
    /// Reads a character of the class with this index.
    Class(u16, Id),
    /// Reads any number of characters but `/`.
    Star(Id),
    /// Reads anything. It is entered at the start of a segment. If it is left within a name, it goes
    /// on to `next`, which is a slash or the end; if it is left at the start of a segment, that slash
    /// is read already, or there were no segments and there is none to be read: on to `skip`.
    Segments { next: Id, skip: Id },
    /// Reads nothing; continues at both states.
    Split(Id, Id),
}

/// What a state can read next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reads<'a> {
    Everything,
    AllButSlash,
    One(char),
    Class(&'a CharSet),
}

impl Reads<'_> {
    pub(super) fn contains(self, c: char) -> bool {
        match self {
            Self::Everything => true,
            Self::AllButSlash => c != '/',
            Self::One(one) => c == one,
            Self::Class(set) => set.contains(c),
        }
    }

    pub(super) fn common(self, other: Self) -> CommonChars {
        match (self, other) {
            (Self::One(c), set) | (set, Self::One(c)) if set.contains(c) => CommonChars::one(c),
            (Self::One(_), _) | (_, Self::One(_)) => CommonChars::NOTHING,
            (Self::Class(mine), Self::Class(theirs)) => mine.common(theirs),
            (Self::Class(set), _) | (_, Self::Class(set)) => set.summary(),
            (Self::Everything, Self::Everything) => CommonChars::ALL,
            _ => CommonChars::NAME,
        }
    }
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct GlobProgram {
    states: Box<[GlobState]>,
    classes: Box<[CharSet]>,
    pub(super) start: Id,
    /// What every path that matches begins with.
    pub(super) prefix: Box<str>,
    /// What every path that matches ends with.
    pub(super) suffix: Box<str>,
    pub(super) shape: Shape,
}

/// The meaning of simple patterns, which need no walk through states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `prefix` is the only path that matches.
    Path,
    /// `prefix` matches, and all below it.
    Tree,
    Other,
}

impl GlobProgram {
    pub(super) fn compile(pattern: Pattern, coverage: Coverage) -> Result<Self, GlobError> {
        let coverage = if is_on(Bug::FolderNotCovered) {
            Coverage::Exact
        } else {
            coverage
        };
        let mut builder = Builder::new();
        let end = match coverage {
            Coverage::Exact => Next::both(ACCEPT),
            Coverage::Covering => Next {
                plain: COVER,
                wild: ACCEPT,
            },
        };
        let start = builder.sequence(&pattern.parts, end)?.plain;
        let states = builder.states.len();
        if states >= GLOB_STATES_MAX {
            let max = GLOB_STATES_MAX;
            return Err(GlobError::TooManyStates { states, max });
        }
        let covers = coverage == Coverage::Covering && pattern.end.may_be_plain();
        let (prefix, shape) = builder.prefix(start);
        Ok(Self {
            states: builder.states.into(),
            classes: pattern.classes.into(),
            start,
            prefix,
            suffix: if covers {
                Box::default()
            } else {
                suffix(&pattern.parts)
            },
            shape,
        })
    }

    /// A path and all below it.
    pub(super) fn tree(path: &str) -> Self {
        let mut builder = Builder::new();
        let start = path.chars().rev().fold(COVER, |next, c| {
            builder.push(GlobState::Literal(c, next), Heads::NAME)
        });
        Self {
            states: builder.states.into(),
            classes: Box::default(),
            start,
            prefix: path.into(),
            suffix: Box::default(),
            shape: Shape::Tree,
        }
    }

    /// The pattern `**`.
    pub(super) fn everything() -> Self {
        Self {
            states: Builder::new().states.into(),
            classes: Box::default(),
            start: BELOW,
            prefix: Box::default(),
            suffix: Box::default(),
            shape: Shape::Other,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    pub(super) fn state(&self, id: Id) -> GlobState {
        self.states[usize::from(id)]
    }

    /// What this state reads and where that leads.
    pub(super) fn reads(&self, id: Id) -> Option<(Reads<'_>, Id)> {
        match self.state(id) {
            GlobState::Accept | GlobState::Split(..) => None,
            GlobState::Literal(c, next) => Some((Reads::One(c), next)),
            GlobState::AnyCharacter(next) => Some((Reads::AllButSlash, next)),
            GlobState::Class(class, next) => {
                Some((Reads::Class(&self.classes[usize::from(class)]), next))
            }
            GlobState::Star(_) => Some((Reads::AllButSlash, id)),
            GlobState::Segments { .. } => Some((Reads::Everything, id)),
        }
    }
}

/// The literal characters that end a pattern, back to the last slash at most: `**/` before a name
/// can stand for no slash at all.
fn suffix(parts: &[Part]) -> Box<str> {
    let literal = |part: &Part| match part {
        Part::Literal { c, .. } => Some(*c),
        _ => None,
    };
    let reversed: Vec<char> = parts.iter().rev().map_while(literal).collect();
    reversed.into_iter().rev().collect::<String>().into()
}

/// What can come next at a state without reading: a set of these bits.
#[derive(Debug, Clone, Copy)]
struct Heads(u8);

impl Heads {
    const END: Self = Self(1);
    const SLASH: Self = Self(2);
    const NAME: Self = Self(4);

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The entry state of the next part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Next {
    /// When the segment has no wildcard so far.
    plain: Id,
    /// When it has one.
    wild: Id,
}

impl Next {
    /// Both cases are the same, or only one is possible.
    fn both(id: Id) -> Self {
        Self {
            plain: id,
            wild: id,
        }
    }
}

struct Builder {
    states: Vec<GlobState>,
    /// One for each state.
    heads: Vec<Heads>,
    /// For states that branch: the same with the next slash left out.
    skips: BTreeMap<Id, Id>,
}

impl Builder {
    fn new() -> Self {
        let below = GlobState::Segments {
            next: ACCEPT,
            skip: ACCEPT,
        };
        let slash = GlobState::Literal('/', BELOW);
        let cover = GlobState::Split(ACCEPT, SLASH);
        Self {
            states: vec![GlobState::Accept, below, slash, cover],
            // A covering end is an end like the other; its slash is not part of the pattern.
            heads: vec![Heads::END, Heads::NAME, Heads::SLASH, Heads::END],
            skips: BTreeMap::new(),
        }
    }

    fn push(&mut self, state: GlobState, heads: Heads) -> Id {
        let id = Id::try_from(self.states.len())
            .expect("a part makes few states, and a pattern has few parts: see GLOB_STATES_MAX");
        self.states.push(state);
        self.heads.push(heads);
        id
    }

    fn heads(&self, id: Id) -> Heads {
        self.heads[usize::from(id)]
    }

    fn split(&mut self, one: Id, other: Id) -> Id {
        let heads = Heads(self.heads(one).0 | self.heads(other).0);
        self.push(GlobState::Split(one, other), heads)
    }

    fn sequence(&mut self, parts: &[Part], next: Next) -> Result<Next, GlobError> {
        let mut parts = parts.iter().rev();
        parts.try_fold(next, |next, part| self.part(part, next))
    }

    fn part(&mut self, part: &Part, next: Next) -> Result<Next, GlobError> {
        let name = Heads::NAME;
        Ok(Next::both(match part {
            Part::Literal { c, left } => return Ok(self.literal(*c, *left, next)),
            Part::Alternatives(alternatives) => return self.alternatives(alternatives, next),
            Part::Slash => self.slash(next.plain),
            // With a wildcard, the segment has one.
            Part::AnyCharacter => self.push(GlobState::AnyCharacter(next.wild), name),
            Part::Class(class) => self.push(GlobState::Class(*class, next.wild), name),
            Part::Star => self.push(GlobState::Star(next.wild), name),
            Part::Stars { at, left } => self.stars(*at, *left, next.wild)?,
        }))
    }

    fn literal(&mut self, c: char, left: Left, next: Next) -> Next {
        let mut read = |next| self.push(GlobState::Literal(c, next), Heads::NAME);
        let (plain, wild) = (left.may_be_plain(), left.may_be(Left::WILD));
        if next.plain == next.wild || !wild {
            return Next::both(read(next.plain));
        }
        if !plain {
            return Next::both(read(next.wild));
        }
        Next {
            plain: read(next.plain),
            wild: read(next.wild),
        }
    }

    /// A slash that can be the last part leads to everything below.
    fn slash(&mut self, next: Id) -> Id {
        let next = match next {
            ACCEPT | COVER => BELOW,
            _ if self.heads(next).has(Heads::END) => self.split(next, BELOW),
            _ => next,
        };
        self.push(GlobState::Literal('/', next), Heads::SLASH)
    }

    fn stars(&mut self, at: usize, left: Left, next: Id) -> Result<Id, GlobError> {
        let heads = self.heads(next);
        let may_end_segment = heads.has(Heads::END) || heads.has(Heads::SLASH);
        let must_end_segment = !heads.has(Heads::NAME);
        if !left.may_start_segment() || !may_end_segment {
            return Ok(self.push(GlobState::Star(next), Heads::NAME));
        }
        if !left.must_start_segment() || !must_end_segment {
            return Err(GlobError::AmbiguousStars { at });
        }
        let skip = self.skip(next);
        Ok(self.push(GlobState::Segments { next, skip }, Heads::NAME))
    }

    /// What follows the slash that comes next at this state; the end stays the end.
    fn skip(&mut self, id: Id) -> Id {
        match self.states[usize::from(id)] {
            GlobState::Literal('/', next) => next,
            GlobState::Split(one, other) => {
                if let Some(known) = self.skips.get(&id) {
                    return *known;
                }
                let (one, other) = (self.skip(one), self.skip(other));
                let skip = self.split(one, other);
                self.skips.insert(id, skip);
                skip
            }
            _ => id,
        }
    }

    fn alternatives(&mut self, alternatives: &[Vec<Part>], next: Next) -> Result<Next, GlobError> {
        let mut entry: Option<Next> = None;
        for parts in alternatives.iter().rev() {
            let one = self.sequence(parts, next)?;
            entry = Some(match entry {
                None => one,
                Some(rest) => self.choice(one, rest),
            });
        }
        Ok(entry.unwrap_or(next))
    }

    fn choice(&mut self, one: Next, rest: Next) -> Next {
        let plain = self.split(one.plain, rest.plain);
        let same = one.plain == one.wild && rest.plain == rest.wild;
        let wild = if same {
            plain
        } else {
            self.split(one.wild, rest.wild)
        };
        Next { plain, wild }
    }

    /// The characters that come first for every choice of alternatives, and the rest.
    fn prefix(&self, start: Id) -> (Box<str>, Shape) {
        let (mut prefix, mut id) = (String::new(), start);
        while let GlobState::Literal(c, next) = self.states[usize::from(id)] {
            prefix.push(c);
            id = next;
        }
        let shape = match id {
            ACCEPT => Shape::Path,
            COVER => Shape::Tree,
            _ => Shape::Other,
        };
        (prefix.into(), shape)
    }
}
