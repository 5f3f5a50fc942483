//! A lease that conflicts with a request, and its text.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;
use crate::engine::ids::{AgentName, JournalTime, LeaseId, Note, SessionId, TreeName};
use crate::engine::outcome::LeaseConflict;

/// One conflicting lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conflict {
    pub lease: LeaseId,
    pub holder: AgentName,
    /// The resource that is held.
    pub held: String,
    /// The requested resource.
    pub wanted: String,
    /// An example path that both match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    /// When the holder got the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<JournalTime>,
    /// When the lease expires unless its holder renews it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<JournalTime>,
    /// The session that holds the lease until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The holder's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Present if the holder is lost: the resource becomes free at this journal time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at_ms: Option<JournalTime>,
    /// The worktree that the holder's paths are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
}

impl From<LeaseConflict> for Conflict {
    fn from(conflict: LeaseConflict) -> Self {
        Self {
            lease: conflict.lease,
            holder: conflict.holder,
            held: conflict.held.to_string(),
            wanted: conflict.wanted,
            example: conflict.example,
            since_ms: Some(conflict.since),
            expires_at_ms: conflict.hold.expires_at(),
            session: conflict.hold.session(),
            note: conflict.note,
            opens_at_ms: conflict.opens_at,
            tree: conflict.tree,
        }
    }
}

impl Conflict {
    /// The resource, its holder, since when and until when, as a part of a sentence.
    pub fn sentence(&self, now: JournalTime) -> String {
        fmt::from_fn(|f| self.write(f, now)).to_string()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, now: JournalTime) -> fmt::Result {
        let (held, wanted) = (&self.held, &self.wanted);
        write!(f, "{held} is held by {}", self.holder)?;
        if let Some(tree) = &self.tree {
            write!(f, " in the tree {:?}", tree.as_str())?;
        }
        write!(f, " (lease {}", self.lease)?;
        match self.since_ms.map(|since| now.since_ms(since)) {
            None => {}
            Some(0..1_000) => f.write_str(", since just now")?,
            Some(ms) => write!(f, ", since {} ago", Span(ms))?,
        }
        write!(f, ", {})", self.until(now))?;
        if let Some(note) = &self.note {
            write!(f, ", for {:?}", note.as_str())?;
        }
        if held != wanted {
            write!(f, ", and overlaps {wanted}")?;
        }
        // A literal name is its own example.
        let names = |example: &str| [held, wanted].iter().any(|it| it.get(5..) == Some(example));
        match self.example.as_deref().filter(|example| !names(example)) {
            Some(example) => write!(f, " (both match {example})"),
            None => Ok(()),
        }
    }

    /// Until when it is held.
    pub fn until(&self, now: JournalTime) -> String {
        let ahead = |at: JournalTime| Span(at.since_ms(now));
        match (self.opens_at_ms, self.expires_at_ms, self.session) {
            (Some(at), _, _) => format!("its holder is lost, free in {}", ahead(at)),
            (None, Some(at), _) => format!("for {} unless renewed", ahead(at)),
            (None, None, Some(session)) => format!("until session {session} ends"),
            (None, None, None) => "until it is released".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict() -> Conflict {
        Conflict {
            lease: LeaseId(4),
            holder: "bob".parse().expect("an agent"),
            held: "path:src/**".to_owned(),
            wanted: "path:src/p*/mod.rs".to_owned(),
            example: Some("src/p/mod.rs".to_owned()),
            since_ms: Some(JournalTime(1_000)),
            expires_at_ms: Some(JournalTime(700_000)),
            session: None,
            note: "moving it".parse().ok(),
            opens_at_ms: None,
            tree: None,
        }
    }

    #[track_caller]
    fn check(conflict: &Conflict, expected: &str) {
        assert_eq!(conflict.sentence(JournalTime(100_000)), expected);
    }

    #[test]
    fn a_sentence_names_what_is_held_and_until_when() {
        let mut it = conflict();
        check(
            &it,
            "path:src/** is held by bob (lease 4, since 1m ago, for 10m unless renewed), for \"moving it\", \
             and overlaps path:src/p*/mod.rs (both match src/p/mod.rs)",
        );
        it.opens_at_ms = Some(JournalTime(104_000));
        it.note = None;
        it.wanted.clone_from(&it.held);
        it.example = None;
        check(
            &it,
            "path:src/** is held by bob (lease 4, since 1m ago, its holder is lost, free in 4s)",
        );
        it.opens_at_ms = None;
        it.expires_at_ms = None;
        it.session = Some(SessionId(7));
        it.since_ms = Some(JournalTime(99_500));
        check(
            &it,
            "path:src/** is held by bob (lease 4, since just now, until session 7 ends)",
        );
        it.tree = "box:/w/a".parse().ok();
        check(
            &it,
            "path:src/** is held by bob in the tree \"box:/w/a\" (lease 4, since just now, until session 7 ends)",
        );
        it.tree = None;
        // The name of a file needs no example.
        it.wanted = "file:src/a.rs".to_owned();
        it.example = Some("src/a.rs".to_owned());
        it.session = None;
        it.since_ms = None;
        check(
            &it,
            "path:src/** is held by bob (lease 4, until it is released), and overlaps file:src/a.rs",
        );
    }
}
