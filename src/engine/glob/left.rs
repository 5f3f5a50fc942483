//! What can precede a part of a pattern, over all choices of alternatives.

/// What can precede a part: a set of these bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left(u8);

impl Left {
    /// No alternative was checked yet.
    pub(super) const NONE: Self = Self(0);
    pub(super) const BEGINNING: Self = Self(1);
    pub(super) const SLASH: Self = Self(2);
    /// The segment so far is `.`.
    pub(super) const DOT: Self = Self(4);
    /// The segment so far is `..`.
    pub(super) const DOTS: Self = Self(8);
    /// A segment that is neither, without wildcards so far.
    pub(super) const NAME: Self = Self(16);
    /// A segment with a wildcard in it.
    pub(super) const WILD: Self = Self(32);
    pub(super) const SEGMENT_START: Self = Self(Self::BEGINNING.0 | Self::SLASH.0);

    pub(super) fn may_be(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_only(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn may_start_segment(self) -> bool {
        self.may_be(Self::SEGMENT_START)
    }

    pub(super) fn must_start_segment(self) -> bool {
        self.is_only(Self::SEGMENT_START)
    }

    /// Whether the segment so far may have no wildcard, whatever is read next.
    pub(super) fn may_be_plain(self) -> bool {
        !self.is_only(Self::WILD)
    }

    /// After a literal character other than a dot.
    pub(super) fn then_name(self) -> Self {
        let plain = if self.may_be_plain() {
            Self::NAME
        } else {
            Self::NONE
        };
        Self(plain.0 | self.0 & Self::WILD.0)
    }

    pub(super) fn then_dot(self) -> Self {
        let steps = [
            (Self::SEGMENT_START, Self::DOT),
            (Self::DOT, Self::DOTS),
            (Self::DOTS, Self::NAME),
            (Self::NAME, Self::NAME),
            (Self::WILD, Self::WILD),
        ];
        let taken = steps.into_iter().filter(|(from, _)| self.may_be(*from));
        taken.fold(Self::NONE, |set, (_, to)| set.or(to))
    }
}
