//! The automaton a pattern is compiled to.
//!
//! It is built from the end to the beginning: each part is given the state that comes after it.
//! So alternatives meet again without joining states, and what stands to the right of a part is
//! known when the part is built.

use std::collections::BTreeMap;

use super::GLOB_STATES_MAX;
use super::class::{CharSet, Common};
use super::error::GlobError;
use super::left::Left;
use super::parse::{Part, Pattern};

/// Index of a state.
pub(super) type Id = u16;

const ACCEPT: Id = 0;
/// Everything below a slash that ends the pattern.
const BELOW: Id = 1;

#[derive(Debug, Clone, Copy)]
pub(super) enum State {
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
    /// Reads nothing, goes both ways.
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

    pub(super) fn common(self, other: Self) -> Common {
        match (self, other) {
            (Self::One(c), set) | (set, Self::One(c)) if set.contains(c) => Common::one(c),
            (Self::One(_), _) | (_, Self::One(_)) => Common::NOTHING,
            (Self::Class(mine), Self::Class(theirs)) => mine.common(theirs),
            (Self::Class(set), _) | (_, Self::Class(set)) => set.summary(),
            (Self::Everything, Self::Everything) => Common::ALL,
            _ => Common::NAME,
        }
    }
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Program {
    states: Box<[State]>,
    classes: Box<[CharSet]>,
    pub(super) start: Id,
    /// What every path that matches begins with.
    pub(super) prefix: Box<str>,
    /// What every path that matches ends with.
    pub(super) suffix: Box<str>,
    /// Whether `prefix` is the only path that matches.
    pub(super) is_literal: bool,
}

impl Program {
    pub(super) fn compile(pattern: Pattern) -> Result<Self, GlobError> {
        let mut builder = Builder::new();
        let start = builder.sequence(&pattern.parts, ACCEPT)?;
        let (prefix, is_literal) = builder.prefix(start);
        Ok(Self {
            states: builder.states.into(),
            classes: pattern.classes.into(),
            start,
            prefix,
            suffix: suffix(&pattern.parts),
            is_literal,
        })
    }

    /// The pattern `**`.
    pub(super) fn everything() -> Self {
        Self {
            states: Builder::new().states.into(),
            classes: Box::default(),
            start: BELOW,
            prefix: Box::default(),
            suffix: Box::default(),
            is_literal: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    pub(super) fn state(&self, id: Id) -> State {
        self.states[usize::from(id)]
    }

    /// What this state reads and where that leads.
    pub(super) fn reads(&self, id: Id) -> Option<(Reads<'_>, Id)> {
        match self.state(id) {
            State::Accept | State::Split(..) => None,
            State::Literal(c, next) => Some((Reads::One(c), next)),
            State::AnyCharacter(next) => Some((Reads::AllButSlash, next)),
            State::Class(class, next) => {
                Some((Reads::Class(&self.classes[usize::from(class)]), next))
            }
            State::Star(_) => Some((Reads::AllButSlash, id)),
            State::Segments { .. } => Some((Reads::Everything, id)),
        }
    }
}

/// The literal characters that end a pattern, back to the last slash at most: `**/` before a name
/// can stand for no slash at all.
fn suffix(parts: &[Part]) -> Box<str> {
    let literal = |part: &Part| match part {
        Part::Literal(c) => Some(*c),
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

struct Builder {
    states: Vec<State>,
    /// One for each state.
    heads: Vec<Heads>,
    /// For states that branch: the same with the next slash left out.
    skips: BTreeMap<Id, Id>,
}

impl Builder {
    fn new() -> Self {
        let below = State::Segments {
            next: ACCEPT,
            skip: ACCEPT,
        };
        Self {
            states: vec![State::Accept, below],
            heads: vec![Heads::END, Heads::NAME],
            skips: BTreeMap::new(),
        }
    }

    fn push(&mut self, state: State, heads: Heads) -> Id {
        debug_assert!(self.states.len() < GLOB_STATES_MAX, "see GLOB_STATES_MAX");
        let id = Id::try_from(self.states.len()).expect("fewer states than GLOB_STATES_MAX");
        self.states.push(state);
        self.heads.push(heads);
        id
    }

    fn heads(&self, id: Id) -> Heads {
        self.heads[usize::from(id)]
    }

    fn split(&mut self, one: Id, other: Id) -> Id {
        let heads = Heads(self.heads(one).0 | self.heads(other).0);
        self.push(State::Split(one, other), heads)
    }

    fn sequence(&mut self, parts: &[Part], next: Id) -> Result<Id, GlobError> {
        let mut parts = parts.iter().rev();
        parts.try_fold(next, |next, part| self.part(part, next))
    }

    fn part(&mut self, part: &Part, next: Id) -> Result<Id, GlobError> {
        Ok(match part {
            Part::Literal(c) => self.push(State::Literal(*c, next), Heads::NAME),
            Part::Slash => self.slash(next),
            Part::AnyCharacter => self.push(State::AnyCharacter(next), Heads::NAME),
            Part::Class(class) => self.push(State::Class(*class, next), Heads::NAME),
            Part::Star => self.push(State::Star(next), Heads::NAME),
            Part::Stars { at, left } => self.stars(*at, *left, next)?,
            Part::Alternatives(alternatives) => self.alternatives(alternatives, next)?,
        })
    }

    /// A slash that can be the last part leads to everything below.
    fn slash(&mut self, next: Id) -> Id {
        let next = match next {
            ACCEPT => BELOW,
            _ if self.heads(next).has(Heads::END) => self.split(next, BELOW),
            _ => next,
        };
        self.push(State::Literal('/', next), Heads::SLASH)
    }

    fn stars(&mut self, at: usize, left: Left, next: Id) -> Result<Id, GlobError> {
        let heads = self.heads(next);
        let may_end_segment = heads.has(Heads::END) || heads.has(Heads::SLASH);
        let must_end_segment = !heads.has(Heads::NAME);
        if !left.may_start_segment() || !may_end_segment {
            return Ok(self.push(State::Star(next), Heads::NAME));
        }
        if !left.must_start_segment() || !must_end_segment {
            return Err(GlobError::AmbiguousStars { at });
        }
        let skip = self.skip(next);
        Ok(self.push(State::Segments { next, skip }, Heads::NAME))
    }

    /// What follows the slash that comes next at this state; the end stays the end.
    fn skip(&mut self, id: Id) -> Id {
        match self.states[usize::from(id)] {
            State::Literal('/', next) => next,
            State::Split(one, other) => {
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

    fn alternatives(&mut self, alternatives: &[Vec<Part>], next: Id) -> Result<Id, GlobError> {
        let mut entry = None;
        for parts in alternatives.iter().rev() {
            let one = self.sequence(parts, next)?;
            entry = Some(match entry {
                None => one,
                Some(rest) => self.split(one, rest),
            });
        }
        Ok(entry.unwrap_or(next))
    }

    /// The characters that come first whatever is chosen, and whether that is all there is.
    fn prefix(&self, start: Id) -> (Box<str>, bool) {
        let (mut prefix, mut id) = (String::new(), start);
        while let State::Literal(c, next) = self.states[usize::from(id)] {
            prefix.push(c);
            id = next;
        }
        (prefix.into(), id == ACCEPT)
    }
}
