//! How leases and attempts are kept: by a session, or for a time after the last renewal.

use serde::{Deserialize, Serialize};

use super::Engine;
use super::command::{Actor, HoldRequest};
use super::ids::{JournalTime, SessionId};
use super::outcome::Refusal;

/// What keeps a lease or an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    Session(SessionId),
    Ttl { ttl_ms: u64, until: JournalTime },
}

impl Hold {
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Session(session) => Some(*session),
            Self::Ttl { .. } => None,
        }
    }

    pub fn expires_at(&self) -> Option<JournalTime> {
        match self {
            Self::Session(_) => None,
            Self::Ttl { until, .. } => Some(*until),
        }
    }

    /// Renews it, for at least as long as is asked for; it never ends earlier than before.
    pub(super) fn prolong(&mut self, now: JournalTime, asked: Option<HoldRequest>) {
        if let Self::Ttl { ttl_ms, until } = self {
            if let Some(HoldRequest::TtlMs(asked_ms)) = asked {
                *ttl_ms = asked_ms.max(*ttl_ms);
            }
            *until = now.after_ms(*ttl_ms).max(*until);
        }
    }

    /// Whether half of its time, or of the time that is asked for, is over.
    pub(super) fn is_due(&self, now: JournalTime, asked: HoldRequest) -> bool {
        let Self::Ttl { ttl_ms, until } = *self else {
            return false;
        };
        let ttl_ms = match asked {
            HoldRequest::TtlMs(asked_ms) => asked_ms.max(ttl_ms),
            HoldRequest::Session => ttl_ms,
        };
        until.since_ms(now) <= ttl_ms / 2
    }

    pub(super) fn renew(&mut self, now: JournalTime, ttl_ms_new: Option<u64>) {
        if let Self::Ttl { ttl_ms, until } = self {
            *ttl_ms = ttl_ms_new.unwrap_or(*ttl_ms);
            *until = now.after_ms(*ttl_ms);
        }
    }
}

impl Engine {
    pub(super) fn check_hold(&self, by: &Actor, request: HoldRequest) -> Result<(), Refusal> {
        match request {
            HoldRequest::TtlMs(ttl_ms) => self.check_ttl(ttl_ms),
            HoldRequest::Session => {
                let session = by.session().and_then(|id| self.state.sessions.get(&id));
                match session {
                    Some(session) if Some(&session.agent) == by.agent() => Ok(()),
                    _ => Err(Refusal::Conflict(
                        "this connection has no session to hold it: call session.open first, or give ttl_ms"
                            .to_owned(),
                    )),
                }
            }
        }
    }

    pub(super) fn check_ttl(&self, ttl_ms: u64) -> Result<(), Refusal> {
        let (min, max) = (self.limits.lease_ttl_ms_min, self.limits.lease_ttl_ms_max);
        if (min..=max).contains(&ttl_ms) {
            return Ok(());
        }
        Err(Refusal::Invalid {
            path: "ttl_ms".to_owned(),
            problem: format!("{ttl_ms} is not between {min} and {max}"),
        })
    }

    /// The hold that `check_hold` allowed.
    pub(super) fn hold(&self, by: &Actor, request: HoldRequest) -> Hold {
        match (request, by.session()) {
            (HoldRequest::TtlMs(ttl_ms), _) => Hold::Ttl {
                ttl_ms,
                until: self.state.now.after_ms(ttl_ms),
            },
            (HoldRequest::Session, Some(session)) => Hold::Session(session),
            // `check_hold` refuses this. If it happens anyway, a hold that expires at once is safe.
            (HoldRequest::Session, None) => Hold::Ttl {
                ttl_ms: self.limits.lease_ttl_ms_min,
                until: self.state.now,
            },
        }
    }
}
