//! The name of an agent: the principal that a token stands for, and perhaps one of its seats.
//!
//! ```text
//!  ana                 the principal, as the token says
//!  ana/claude-3f2a     one seat of hers
//! ```
//!
//! The part before the slash comes from a token and from nothing else. A seat only tells apart the
//! windows of one principal. No other name of the project has such a slash.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{NameError, NameVisitor, Principal, SeatName};
use super::nodes::SEAT_FORMAT;

const SLASH: char = '/';
const BYTES_MAX: usize = Principal::BYTES_MAX + 1 + SeatName::BYTES_MAX;

/// Names an agent: `principal`, or `principal/seat`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AgentName {
    text: heapless::String<BYTES_MAX, u16>,
    /// Bytes of the principal; as many as the text has when there is no seat.
    principal_bytes: u8,
}

impl AgentName {
    /// The most bytes such a name may have.
    pub const BYTES_MAX: usize = BYTES_MAX;

    /// One seat of a principal.
    pub fn at_seat(principal: &Principal, seat: &SeatName) -> Self {
        let mut name = Self::from(principal);
        let parts = [SLASH.to_string(), seat.to_string()];
        for part in &parts {
            name.text
                .push_str(part)
                .expect("a principal, a slash and a seat fit a name");
        }
        name
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whose agent it is: all that a token says.
    pub fn principal(&self) -> Principal {
        let text = self.principal_text();
        text.parse().expect("it was read as a principal")
    }

    /// The principal without a seat, as the agent that it is then.
    #[must_use]
    pub fn without_seat(&self) -> Self {
        Self::from(&self.principal())
    }

    pub fn is_seat(&self) -> bool {
        usize::from(self.principal_bytes) < self.text.len()
    }

    pub fn has_same_principal(&self, other: &Self) -> bool {
        self.principal_text() == other.principal_text()
    }

    pub(super) fn has_same_seat(&self, other: &Self) -> bool {
        self.is_seat() && self.seat_text() == other.seat_text()
    }

    /// Whether `other` is meant where this name is given: a principal stands for all its seats.
    pub fn covers(&self, other: &Self) -> bool {
        self == other || (!self.is_seat() && self.has_same_principal(other))
    }

    /// The first format of commands whose names are such.
    pub(super) fn format(&self) -> u32 {
        if self.is_seat() { SEAT_FORMAT } else { 1 }
    }

    fn principal_text(&self) -> &str {
        let bytes = usize::from(self.principal_bytes);
        self.text.get(..bytes).unwrap_or(&self.text)
    }

    fn seat_text(&self) -> &str {
        let bytes = usize::from(self.principal_bytes);
        self.text.get(bytes..).unwrap_or_default()
    }
}

impl From<&Principal> for AgentName {
    fn from(principal: &Principal) -> Self {
        let mut text = heapless::String::new();
        text.push_str(principal.as_str())
            .expect("a principal is shorter than a name");
        let principal_bytes = u8::try_from(text.len()).expect("a principal has at most 64 bytes");
        Self {
            text,
            principal_bytes,
        }
    }
}

impl FromStr for AgentName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once(SLASH) {
            Some((principal, seat)) => Ok(Self::at_seat(&principal.parse()?, &seat.parse()?)),
            None => Ok(Self::from(&text.parse::<Principal>()?)),
        }
    }
}

/// A principal stands before its seats, and they stand together: a range of names is one principal's.
impl Ord for AgentName {
    fn cmp(&self, other: &Self) -> Ordering {
        let principals = self.principal_text().cmp(other.principal_text());
        principals.then_with(|| self.seat_text().cmp(other.seat_text()))
    }
}

impl PartialOrd for AgentName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for AgentName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for AgentName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AgentName {
        text.parse().expect("an agent name")
    }

    #[test]
    fn a_name_has_a_principal_and_perhaps_a_seat() {
        let (ana, seat) = (name("ana"), name("ana/claude-3f2a"));
        assert!(!ana.is_seat() && seat.is_seat());
        assert_eq!(seat.principal().as_str(), "ana");
        assert_eq!(
            (seat.without_seat(), ana.without_seat()),
            (ana.clone(), ana.clone())
        );
        assert!(ana.covers(&seat) && !seat.covers(&ana) && seat.covers(&seat));
        assert!(!name("an").covers(&seat) && !name("ana/claude").covers(&seat));
        let longest = format!("{}/{}", "p".repeat(64), "s".repeat(32));
        assert_eq!(name(&longest).as_str(), longest);
        let json = serde_json::to_string(&seat).expect("names encode");
        assert_eq!(
            serde_json::from_str::<AgentName>(&json).expect("it loads"),
            seat
        );
    }

    #[test]
    fn a_malformed_name_says_which_part_is_wrong() {
        let told = |text: &str| text.parse::<AgentName>().map_err(|error| error.to_string());
        for (text, problem) in [
            ("", "an agent name must not be empty"),
            ("/x", "an agent name must not be empty"),
            ("ana/", "a seat name must not be empty"),
            ("ana/X", "a seat name contains 'X'"),
            ("ana/a/b", "a seat name contains '/'"),
            ("ana/-a", "a seat name contains '-'"),
            ("ana/a b", "a seat name contains ' '"),
            ("a:b/c", "an agent name contains ':'"),
        ] {
            let error = told(text).expect_err(text);
            assert!(error.starts_with(problem), "{text}: {error}");
        }
        let long = told(&format!("ana/{}", "s".repeat(33))).expect_err("too long");
        assert_eq!(long, "a seat name is 33 bytes long, at most 32 are allowed");
    }

    #[test]
    fn the_names_of_one_principal_stand_together() {
        let mut names = ["ana/b", "ana.x", "ana", "ana-b", "anb", "ana/a"].map(name);
        names.sort();
        assert_eq!(
            names.map(|name| name.to_string()),
            ["ana", "ana/a", "ana/b", "ana-b", "ana.x", "anb"]
        );
    }
}
