//! Identifiers and names: of bounded size, checked once at the boundary.
//!
//! Text names are stored inline (`heapless`), so the bound is part of the type and a name can never
//! grow past what the limits table promises. Numbers are newtypes, so a task can never be passed
//! where a lease is meant.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use super::agent_name::AgentName;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{what} must not be empty")]
    Empty { what: &'static str },
    #[error("{what} is {length} bytes long, at most {max} are allowed")]
    TooLong {
        what: &'static str,
        length: usize,
        max: usize,
    },
    #[error("{what} contains {found:?}; {allowed}")]
    BadCharacter {
        what: &'static str,
        found: char,
        allowed: &'static str,
    },
}

/// Letters, digits and `-_.`, starting with a letter, a digit or `_`: safe in paths, URLs and labels.
fn is_slug(index: usize, c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || (index > 0 && matches!(c, '-' | '.'))
}

/// A slug that may have parts: `/`, `:`, `@` and `+` join them.
fn is_path_like(index: usize, c: char) -> bool {
    is_slug(index, c) || (index > 0 && matches!(c, '/' | ':' | '@' | '+'))
}

/// Small letters, digits and `-_.`, starting with a letter, a digit or `_`: a seat differs from
/// others in what it says, not in how it is spelt.
fn is_seat(index: usize, c: char) -> bool {
    is_slug(index, c) && !c.is_ascii_uppercase()
}

/// Anything that can be printed on one line.
fn is_line(_index: usize, c: char) -> bool {
    !c.is_control()
}

/// Hexadecimal digits as programs print them.
fn is_hex(_index: usize, c: char) -> bool {
    c.is_ascii_digit() || ('a'..='f').contains(&c)
}

const HEX: &str = "hexadecimal digits in lower case are allowed";
const SLUG: &str = "letters, digits and '-_.' are allowed, the first one a letter, digit or '_'";
const SEAT: &str =
    "letters in lower case, digits and '-_.' are allowed, the first one a letter, digit or '_'";
const PATH_LIKE: &str =
    "letters, digits and '-_./:@+' are allowed, the first one a letter, digit or '_'";
const LINE: &str = "control characters are not allowed";

macro_rules! text_names {
    ($($(#[$doc:meta])* $name:ident[$max:literal] = $what:literal, $rule:ident, $allowed:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(heapless::String<$max, u16>);

        text_name!($name[$max] = $what, $rule, $allowed, |text| {
            let mut inner = heapless::String::new();
            inner.push_str(text).map(|()| Self(inner)).ok()
        });
    )*};
}

/// Long texts, which most objects do not have. Inline, they would make every object as large as the longest
/// text, and every move of a command would copy a thousand bytes.
macro_rules! long_texts {
    ($($(#[$doc:meta])* $name:ident[$max:literal] = $what:literal, $rule:ident, $allowed:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        text_name!($name[$max] = $what, $rule, $allowed, |text| {
            (text.len() <= $max).then(|| Self(text.into()))
        });
    )*};
}

/// The methods of all names; `$store` stores a valid text.
macro_rules! text_name {
    ($name:ident[$max:literal] = $what:literal, $rule:ident, $allowed:expr, |$text:ident| $store:expr) => {
        impl $name {
            /// The most bytes such a name may have.
            pub const BYTES_MAX: usize = $max;
            /// What the name is called in error texts.
            pub const WHAT: &'static str = $what;

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str($text: &str) -> Result<Self, NameError> {
                if $text.is_empty() {
                    return Err(NameError::Empty { what: $what });
                }
                let bad = $text.char_indices().find(|(i, c)| !$rule(*i, *c));
                if let Some((_, found)) = bad {
                    return Err(NameError::BadCharacter {
                        what: $what,
                        found,
                        allowed: $allowed,
                    });
                }
                let stored: Option<Self> = $store;
                stored.ok_or(NameError::TooLong {
                    what: $what,
                    length: $text.len(),
                    max: $max,
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(NameVisitor::new())
            }
        }
    };
}

/// Reads any of the names from a string without an intermediate allocation.
pub(super) struct NameVisitor<T>(std::marker::PhantomData<T>);

impl<T> NameVisitor<T> {
    pub(super) fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: FromStr<Err = NameError>> serde::de::Visitor<'_> for NameVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

text_names! {
    /// Names a project.
    ProjectName[64] = "a project name", is_slug, SLUG;
    /// Whose agents they are: what a token says, and the name of the agent without a seat.
    Principal[64] = "an agent name", is_slug, SLUG;
    /// One CLI session among several that use one token.
    SeatName[32] = "a seat name", is_seat, SEAT;
    /// What program an agent is: `claude-code`, `codex`, `shell`.
    AgentKind[32] = "an agent kind", is_slug, SLUG;
    /// One thing an agent can do, or a task needs.
    Capability[64] = "a capability", is_path_like, PATH_LIKE;
    /// Names a topic.
    Topic[128] = "a topic", is_path_like, PATH_LIKE;
    /// The name of a label.
    LabelKey[64] = "a label name", is_path_like, PATH_LIKE;
    /// The value of a label.
    LabelValue[128] = "a label value", is_line, LINE;
    /// The key of a context entry.
    ContextKey[256] = "a context key", is_path_like, PATH_LIKE;
    /// Requests with the same id have one effect.
    RequestId[64] = "a request_id", is_line, LINE;
    /// The title of a task or the subject of a message.
    Title[200] = "a title", is_line, LINE;
    /// Unique over all nodes: names one proposed command.
    CommandId[48] = "a command id", is_slug, SLUG;
    /// One run of one coordinator.
    NodeId[32] = "a node id", is_slug, SLUG;
    /// Names a token; not its secret.
    TokenId[32] = "a token id", is_slug, SLUG;
    /// The environment of a coordinator or a client.
    EnvironmentName[32] = "an environment", is_slug, SLUG;
    /// The fingerprint of a port configuration.
    PortFingerprint[16] = "a port fingerprint", is_hex, HEX;
}

long_texts! {
    /// The key under which tasks share a concurrency cap.
    ConcurrencyKey[128] = "a concurrency key", is_path_like, PATH_LIKE;
    /// Submissions with the same key are one task.
    IdempotencyKey[128] = "an idempotency key", is_line, LINE;
    /// The worktree that paths are leased in. The client makes it up; only equality matters.
    TreeName[512] = "the name of a tree", is_line, LINE;
    /// A short note for people and other agents.
    Note[1000] = "a note", is_note, NOTE;
}

const NOTE: &str = "control characters other than newline and tab are not allowed";

/// Several lines of text.
fn is_note(_index: usize, c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t')
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

numbers! {
    /// A task of a project; grows with every submission.
    TaskId;
    /// A lease of a project.
    LeaseId;
    /// A message of a project; grows with every message sent.
    MessageId;
    /// A session of a project.
    SessionId;
    /// Grows with every grant in a project; an operation that carries a stale one is refused.
    FencingToken;
    /// The position of a record in the journal of its project; it grows, gaps are allowed.
    Position;
    /// Grows whenever a shared journal continues on another server or on a restarted one; 0 for an embedded
    /// journal.
    Epoch;
    /// Counts changes of the shared context of a project.
    Revision;
    /// Milliseconds of journal time: it never goes backwards, and is unrelated to the wall clock.
    JournalTime;
}

impl CommandId {
    /// Of the command that is number `sequence` of a node.
    pub fn of(node: &NodeId, sequence: u64) -> Self {
        let mut text = heapless::String::new();
        write!(text, "{node}-{sequence}").expect("a node id and a number fit a command id");
        Self(text)
    }
}

impl JournalTime {
    /// This time and `milliseconds` more, capped at the end of time.
    #[must_use]
    pub fn after_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// How long ago `earlier` was; 0 when it lies ahead.
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where a subscriber, a mailbox reader or a resumed session stands: `epoch:position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cursor {
    pub epoch: Epoch,
    pub position: Position,
}

/// Why a text is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is written epoch:position, two numbers")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.position)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, position) = text.split_once(':').ok_or(CursorError)?;
        Ok(Self {
            epoch: epoch.parse().map_err(|_| CursorError)?,
            position: position.parse().map_err(|_| CursorError)?,
        })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
