//! Walks through two automata in step, to find whether some path leads both to their end.

use super::class::CommonChars;
use super::matching::{GlobWalk, begins_with, ends_with, free_moves};
use super::path::{PathSegment, SEGMENTS, is_within};
use super::program::{GlobProgram, GlobState, Id, Shape};

pub(super) fn overlap(left: &GlobProgram, right: &GlobProgram) -> bool {
    match (left.shape, right.shape) {
        (Shape::Path, Shape::Path) => left.prefix == right.prefix,
        (Shape::Path, Shape::Tree) => is_within(&left.prefix, &right.prefix),
        (Shape::Tree, Shape::Path) => is_within(&right.prefix, &left.prefix),
        (Shape::Tree, Shape::Tree) => {
            is_within(&left.prefix, &right.prefix) || is_within(&right.prefix, &left.prefix)
        }
        _ => walk(left, right).found,
    }
}

/// Whether the program can match this path or something below it, as far as its literal beginning tells.
pub(super) fn may_reach(program: &GlobProgram, path: &str) -> bool {
    let (prefix, path) = (program.prefix.as_bytes(), path.as_bytes());
    begins_with(path, prefix) || begins_with(prefix, path)
}

/// Looks for a pair that accepts, each pair once, in depth first.
pub(super) fn walk(left: &GlobProgram, right: &GlobProgram) -> GlobWalk {
    let mut walk = GlobWalk::default();
    let Some(pair) = shared_prefix(left, right).and_then(|shared| start(left, right, shared))
    else {
        return walk;
    };
    let mut product = Product::new(left, right);
    let mut open = Vec::with_capacity(32);
    open.push(pair);
    while let Some(at) = open.pop() {
        walk.steps += 1;
        if product.accepts(at) {
            walk.found = true;
            break;
        }
        product.follow(at, |pair, _| open.push(pair));
    }
    walk
}

/// The same walk, breadth first, remembering the path.
pub(super) fn witness(left: &GlobProgram, right: &GlobProgram) -> Option<String> {
    let prefix = shared_prefix(left, right)?;
    let mut product = Product::new(left, right);
    let mut visits = vec![Visit {
        pair: start(left, right, prefix)?,
        from: 0,
        read: None,
    }];
    for from in 0.. {
        let pair = visits.get(index(from))?.pair;
        if product.accepts(pair) {
            return Some(format!("{prefix}{}", retrace(&visits, from)));
        }
        product.follow(pair, |pair, read| visits.push(Visit { pair, from, read }));
    }
    None
}

/// Both automata after the same characters.
#[derive(Debug, Clone, Copy)]
struct Pair {
    left: Id,
    right: Id,
    segment: PathSegment,
}

/// Pairs that were seen, a bit each.
struct Seen(Vec<u64>);

impl Seen {
    fn new(pairs: usize) -> Self {
        Self(vec![0; (pairs * SEGMENTS).div_ceil(64)])
    }

    /// Whether this is the first time.
    fn insert(&mut self, index: usize) -> bool {
        let (word, bit) = (&mut self.0[index / 64], 1 << (index % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// Two automata in step.
struct Product<'a> {
    left: &'a GlobProgram,
    right: &'a GlobProgram,
    seen: Seen,
}

impl<'a> Product<'a> {
    fn new(left: &'a GlobProgram, right: &'a GlobProgram) -> Self {
        let seen = Seen::new(left.len() * right.len());
        Self { left, right, seen }
    }

    fn accepts(&self, at: Pair) -> bool {
        at.segment == PathSegment::Name
            && matches!(self.left.state(at.left), GlobState::Accept)
            && matches!(self.right.state(at.right), GlobState::Accept)
    }

    /// Calls `found` for each new pair that follows, with the character that was read.
    fn follow(&mut self, at: Pair, mut found: impl FnMut(Pair, Option<char>)) {
        let mut new = |pair: Pair, c: Option<char>| {
            let states = usize::from(pair.left) * self.right.len() + usize::from(pair.right);
            if self.seen.insert(states * SEGMENTS + pair.segment as usize) {
                found(pair, c);
            }
        };
        let (left, right) = (self.left.state(at.left), self.right.state(at.right));
        for left in free_moves(left, at.segment).into_iter().flatten() {
            new(Pair { left, ..at }, None);
        }
        // A state that only branches reads nothing; what the right one can do freely, it can do
        // after the branch as well.
        if matches!(left, GlobState::Split(..)) {
            return;
        }
        for right in free_moves(right, at.segment).into_iter().flatten() {
            new(Pair { right, ..at }, None);
        }
        let reads = (self.left.reads(at.left), self.right.reads(at.right));
        let (Some((mine, left)), Some((theirs, right))) = reads else {
            return;
        };
        for c in to_try(mine.common(theirs)).into_iter().flatten() {
            if let Some(segment) = at.segment.then(c) {
                let pair = Pair {
                    left,
                    right,
                    segment,
                };
                new(pair, Some(c));
            }
        }
    }
}

/// One character of each kind that makes a difference.
///
/// Whatever can follow a dot can follow any other character too, for a name that holds one never is
/// `.` or `..`. So the dot is only tried where there is no other.
fn to_try(common: CommonChars) -> [Option<char>; 2] {
    let dot = common.dot.then_some('.');
    [common.slash.then_some('/'), common.other.or(dot)]
}

/// The shorter of the literal texts that paths begin with; none if the texts around what is special
/// differ already, so that no path can match both.
fn shared_prefix<'a>(left: &'a GlobProgram, right: &'a GlobProgram) -> Option<&'a str> {
    let (mut short, mut long) = (&left.prefix, &right.prefix);
    if long.len() < short.len() {
        std::mem::swap(&mut short, &mut long);
    }
    let (one, other) = (left.suffix.as_bytes(), right.suffix.as_bytes());
    let agree = begins_with(long.as_bytes(), short.as_bytes())
        && (ends_with(one, other) || ends_with(other, one));
    agree.then_some(short)
}

/// Both automata after the prefix they share.
fn start(left: &GlobProgram, right: &GlobProgram, prefix: &str) -> Option<Pair> {
    let mut characters = prefix.chars();
    Some(Pair {
        left: skip_literals(left, prefix),
        right: skip_literals(right, prefix),
        segment: characters.try_fold(PathSegment::Start, PathSegment::then)?,
    })
}

/// The state after the characters of `text`, with which the program begins.
fn skip_literals(program: &GlobProgram, text: &str) -> Id {
    text.chars()
        .fold(program.start, |id, _| match program.state(id) {
            GlobState::Literal(_, next) => next,
            _ => id,
        })
}

/// A pair, and how it was reached.
struct Visit {
    pair: Pair,
    /// Index of the visit before; the first one is its own.
    from: u32,
    read: Option<char>,
}

fn index(visit: u32) -> usize {
    usize::try_from(visit).expect("visits are fewer than pairs, and those than 2^22")
}

/// The characters read on the way to a visit.
fn retrace(visits: &[Visit], last: u32) -> String {
    let before = |at: &u32| Some(visits[index(*at)].from).filter(|from| from < at);
    let way = std::iter::successors(Some(last), before);
    let read: Vec<char> = way.filter_map(|at| visits[index(at)].read).collect();
    read.into_iter().rev().collect()
}
