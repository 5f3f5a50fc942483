//! What an answer means for the record that was sent.

/// An answer of the receiver, or of something before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answer {
    pub status: u16,
    /// The time that it names.
    pub date_ms: Option<u64>,
    /// How long it asks us to wait.
    pub retry_after_ms: Option<u64>,
    /// Whether it counts the samples that it stored, as receivers of 2.0 do.
    pub counts_samples: bool,
}

/// What to do after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    /// This record will never be taken.
    Rejected,
    /// It does not know this version of the protocol.
    Unknown,
    /// It takes nothing from us until somebody changes something.
    Suspended,
    /// It may take the same later.
    Later,
}

/// Why a request brought nothing, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No connection, no TLS, or no answer in time.
    Unreachable,
    /// Wrong credentials, rights, address or method.
    Unauthorised,
    /// Refused, for now or for good.
    Refused,
}

impl Answer {
    pub(super) fn verdict(&self) -> Verdict {
        match self.status {
            200..=299 => Verdict::Taken,
            // Redirects are not followed: the credentials would go to somebody else.
            300..=399 | 401 | 403 | 404 | 405 | 407 => Verdict::Suspended,
            415 => Verdict::Unknown,
            408 | 425 | 429 => Verdict::Later,
            400..=499 => Verdict::Rejected,
            _ => Verdict::Later,
        }
    }

    pub fn trouble(&self) -> Option<Trouble> {
        match self.verdict() {
            Verdict::Taken => None,
            Verdict::Suspended => Some(Trouble::Unauthorised),
            Verdict::Rejected | Verdict::Unknown | Verdict::Later => Some(Trouble::Refused),
        }
    }
}

impl Trouble {
    pub const ALL: [Self; 3] = [Self::Unreachable, Self::Unauthorised, Self::Refused];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unauthorised => "unauthorised",
            Self::Refused => "refused",
        }
    }
}
