//! What a path is, told one character after the other.

/// What is known of the segment that is being read; with this, only paths are ever found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathSegment {
    /// Nothing read yet.
    Start,
    /// It is `.` so far.
    Dot,
    /// It is `..` so far.
    Dots,
    /// It is a name.
    Name,
}

pub(super) const SEGMENTS: usize = 4;

impl PathSegment {
    /// The segment after one more character; none if no path goes on like this.
    pub(super) fn then(self, c: char) -> Option<Self> {
        match (c, self) {
            ('/', Self::Name) => Some(Self::Start),
            ('/', _) => None,
            ('.', Self::Start) => Some(Self::Dot),
            ('.', Self::Dot) => Some(Self::Dots),
            _ => Some(Self::Name),
        }
    }
}

pub(in crate::engine) fn is_path(path: &str) -> bool {
    let end = path.chars().try_fold(PathSegment::Start, PathSegment::then);
    end == Some(PathSegment::Name)
}

/// Whether one path is another one, or below it.
pub(super) fn is_within(path: &str, tree: &str) -> bool {
    let below = path.strip_prefix(tree);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
