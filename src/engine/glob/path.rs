//! What a path is, told one character after the other.

/// What is known of the segment that is being read; with this, only paths are ever found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
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

impl Segment {
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

pub(super) fn is_path(path: &str) -> bool {
    let end = path.chars().try_fold(Segment::Start, Segment::then);
    end == Some(Segment::Name)
}
