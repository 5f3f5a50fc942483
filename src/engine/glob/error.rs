//! Why a text is not a glob.

/// Why a text is not a glob; `at` is the byte offset of what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    #[error("a glob must not be empty")]
    Empty,
    #[error("the glob is {length} bytes long, at most {max} are allowed")]
    TooLong { length: usize, max: usize },
    #[error("control character {found:?} at byte {at} of the glob")]
    ControlCharacter { at: usize, found: char },
    #[error(
        "'!' at byte {at} of the glob: a glob cannot be negated, write '\\!' for the character"
    )]
    Negation { at: usize },
    #[error(
        "'/' at byte {at} begins the glob: paths must be relative to the root of the repository"
    )]
    LeadingSlash { at: usize },
    #[error(
        "'/' at byte {at} of the glob follows another '/' for some alternatives: move the slash into the \
         alternatives that need it"
    )]
    EmptySegment { at: usize },
    #[error("segment '.' ends at byte {at} of the glob: write '**' for everything")]
    DotSegment { at: usize },
    #[error("segment '..' ends at byte {at} of the glob: paths must not leave the repository")]
    ParentSegment { at: usize },
    #[error(
        "'**' at byte {at} of the glob is a whole segment for some alternatives only: move it into these alternatives"
    )]
    AmbiguousStars { at: usize },
    #[error("nothing follows the '\\' at byte {at} of the glob")]
    TrailingEscape { at: usize },
    #[error(
        "'\\' at byte {at} of the glob escapes {found:?}, which needs no escape: separate segments with '/'"
    )]
    NeedlessEscape { at: usize, found: char },
    #[error("the class that '[' begins at byte {at} of the glob is not closed")]
    UnclosedClass { at: usize },
    #[error("the class at byte {at} of the glob is empty")]
    EmptyClass { at: usize },
    #[error("the range {first:?} to {last:?} at byte {at} of the glob runs backwards")]
    ReversedRange { at: usize, first: char, last: char },
    #[error("'/' at byte {at} of the glob is in a class, but a class never matches '/'")]
    SlashInClass { at: usize },
    #[error("'[:' at byte {at} of the glob: named classes are not supported, write the ranges")]
    NamedClass { at: usize },
    #[error("the braces that begin at byte {at} of the glob are not closed")]
    UnclosedBraces { at: usize },
    #[error("'}}' at byte {at} of the glob closes nothing")]
    UnopenedBraces { at: usize },
    #[error("the braces at byte {at} of the glob are empty")]
    EmptyBraces { at: usize },
    #[error("more than {max} alternatives at byte {at} of the glob")]
    TooManyAlternatives { at: usize, max: usize },
    #[error("braces nest more than {max} deep at byte {at} of the glob")]
    TooDeep { at: usize, max: usize },
    #[error(
        "the glob needs {states} states, at most {max} are allowed: split it into several globs"
    )]
    TooManyStates { states: usize, max: usize },
    #[error("no path can match bytes 0 to {length} of the glob")]
    MatchesNothing { length: usize },
}
