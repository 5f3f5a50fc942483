//! Recognises paths, one character at a time.

/// The state of the current segment; it ensures that only valid paths are found.
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
    /// The segment after one more character; none if no path continues like this.
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
