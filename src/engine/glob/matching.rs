//! A walk through one automaton, along a path.

use super::GLOB_STATES_MAX;
use super::path::{PathSegment, is_path, is_within};
use super::program::{GlobProgram, GlobState, Id, Shape};

pub(super) fn matches(program: &GlobProgram, path: &str) -> bool {
    match program.shape {
        Shape::Path => return *program.prefix == *path && is_path(path),
        Shape::Tree => return is_within(path, &program.prefix) && is_path(path),
        Shape::Other => {}
    }
    let framed = begins_with(path.as_bytes(), program.prefix.as_bytes())
        && ends_with(path.as_bytes(), program.suffix.as_bytes());
    framed && is_path(path) && run(program, path).found
}

/// How a walk ended, and how many states or pairs it looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GlobWalk {
    pub(super) found: bool,
    pub(super) steps: usize,
}

/// The states a path can have led to, each once.
struct Reached {
    seen: [u64; GLOB_STATES_MAX / 64],
    ids: Vec<Id>,
}

impl Reached {
    fn new() -> Self {
        Self {
            seen: [0; GLOB_STATES_MAX / 64],
            ids: Vec::new(),
        }
    }

    fn add(&mut self, id: Id) {
        let (word, bit) = (usize::from(id) / 64, id % 64);
        if self.seen[word] >> bit & 1 == 0 {
            self.seen[word] |= 1 << bit;
            self.ids.push(id);
        }
    }

    /// Adds all that can be reached without reading.
    fn close(&mut self, program: &GlobProgram, segment: PathSegment) {
        let mut next = 0;
        while let Some(id) = self.ids.get(next) {
            let moves = free_moves(program.state(*id), segment);
            moves.into_iter().flatten().for_each(|id| self.add(id));
            next += 1;
        }
    }

    fn clear(&mut self) {
        self.seen.fill(0);
        self.ids.clear();
    }
}

/// Walks along a path, in all ways at once.
pub(super) fn run(program: &GlobProgram, path: &str) -> GlobWalk {
    let (mut now, mut then) = (Reached::new(), Reached::new());
    let mut segment = PathSegment::Start;
    let mut steps = 0;
    now.add(program.start);
    now.close(program, segment);
    for c in path.chars() {
        let Some(after) = segment.then(c) else {
            return GlobWalk {
                found: false,
                steps,
            };
        };
        segment = after;
        steps += now.ids.len();
        then.clear();
        for (reads, next) in now.ids.iter().filter_map(|id| program.reads(*id)) {
            if reads.contains(c) {
                then.add(next);
            }
        }
        then.close(program, segment);
        std::mem::swap(&mut now, &mut then);
    }
    let accepts = |id: &Id| matches!(program.state(*id), GlobState::Accept);
    GlobWalk {
        found: segment == PathSegment::Name && now.ids.iter().any(accepts),
        steps,
    }
}

/// Where a state leads without reading.
pub(super) fn free_moves(state: GlobState, segment: PathSegment) -> [Option<Id>; 2] {
    match state {
        GlobState::Split(one, other) => [Some(one), Some(other)],
        GlobState::Segments { skip, .. } if segment == PathSegment::Start => [Some(skip), None],
        GlobState::Star(next) | GlobState::Segments { next, .. } => [Some(next), None],
        _ => [None, None],
    }
}

/// An empty text has no address that can be read, and on processors with masked vector loads a
/// `memcmp` of no bytes there takes as long as a whole search: so empty ones are not compared.
pub(super) fn begins_with(text: &[u8], start: &[u8]) -> bool {
    start.is_empty() || text.starts_with(start)
}

/// See [`begins_with`].
pub(super) fn ends_with(text: &[u8], end: &[u8]) -> bool {
    end.is_empty() || text.ends_with(end)
}
