//! Compares the wall clock and the certificate. A machine without a clock battery starts in 1970. The
//! coordinator does not use the time of day, but clients check the certificate's dates.

use std::fmt;

use time::OffsetDateTime;

use crate::clock;
use crate::http::Validity;

/// The beginning of 2026: the program is younger, so an earlier time is wrong.
const WRITTEN_AFTER_S: u64 = 1_767_225_600;

/// A problem with the time, as a text for people. It contains no secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The clock is before the program was built.
    Behind { now_s: u64 },
    /// The certificate is not valid yet: the clock is behind, or the certificate was made too early.
    NotYetValid { now_s: u64, not_before_s: u64 },
    /// The certificate expired, or the clock is ahead.
    Expired { now_s: u64, not_after_s: u64 },
}

/// The state of clock and certificate for the health page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) trouble: Option<Trouble>,
    /// `none`, `valid`, `not_yet_valid`, `expired` or `unreadable`.
    pub(super) certificate: &'static str,
}

/// What is known of the served certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CertificateState {
    /// There is no TLS.
    None,
    /// Its dates cannot be read.
    Unreadable,
    Valid(Validity),
}

/// The reading at this moment.
pub(super) fn read(certificate: CertificateState) -> Reading {
    judge(clock::wall_ms() / 1_000, certificate)
}

/// If the certificate is not valid yet, the clock is probably behind: certificates are hardly ever made for
/// later, but clocks without a battery restart at every boot.
fn judge(now_s: u64, certificate: CertificateState) -> Reading {
    let behind = (now_s < WRITTEN_AFTER_S).then_some(Trouble::Behind { now_s });
    let (certificate, of_certificate) = match certificate {
        CertificateState::None => ("none", None),
        CertificateState::Unreadable => ("unreadable", None),
        CertificateState::Valid(validity) => by_date(now_s, validity),
    };
    Reading {
        trouble: of_certificate.or(behind),
        certificate,
    }
}

fn by_date(now_s: u64, validity: Validity) -> (&'static str, Option<Trouble>) {
    let Validity {
        not_before_s,
        not_after_s,
    } = validity;
    if now_s < not_before_s {
        let trouble = Trouble::NotYetValid {
            now_s,
            not_before_s,
        };
        ("not_yet_valid", Some(trouble))
    } else if now_s > not_after_s {
        ("expired", Some(Trouble::Expired { now_s, not_after_s }))
    } else {
        ("valid", None)
    }
}

impl Reading {
    /// `right`, as far as can be told, `behind`, or `ahead_or_certificate_expired`.
    pub(super) fn clock(&self) -> &'static str {
        match self.trouble {
            None => "right",
            Some(Trouble::Behind { .. } | Trouble::NotYetValid { .. }) => "behind",
            Some(Trouble::Expired { .. }) => "ahead_or_certificate_expired",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Behind { now_s } => write!(
                f,
                "the clock of this machine is wrong: it reads {}, before this program was built; set it \
                 (timedatectl), or use NTP",
                date(now_s)
            ),
            Self::NotYetValid {
                now_s,
                not_before_s,
            } => write!(
                f,
                "the clock of this machine seems to be behind: it reads {}, and the certificate is \
                 valid from {}; set the clock (timedatectl), or, if it is right, wait or replace \
                 the certificate",
                date(now_s),
                date(not_before_s)
            ),
            Self::Expired { now_s, not_after_s } => write!(
                f,
                "the certificate expired on {}, and the clock of this machine reads {}; replace the certificate \
                 and reload, or correct the clock",
                date(not_after_s),
                date(now_s)
            ),
        }
    }
}

fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.map_or_else(
        || format!("{seconds} s after 1970"),
        |time| {
            let (hour, minute, second) = time.to_hms();
            format!("{} {hour:02}:{minute:02}:{second:02} UTC", time.date())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: u64 = 1_795_000_000;
    const DAY: u64 = 86_400;

    #[track_caller]
    fn check(now_s: u64, certificate: CertificateState, expected: (&str, &str)) {
        let reading = judge(now_s, certificate);
        assert_eq!((reading.clock(), reading.certificate), expected);
        assert_eq!(reading.trouble.is_none(), reading.clock() == "right");
    }

    #[test]
    fn each_reading_has_one_meaning() {
        let valid = |not_before_s, not_after_s| {
            CertificateState::Valid(Validity {
                not_before_s,
                not_after_s,
            })
        };
        let good = valid(TODAY - DAY, TODAY + DAY);
        let since_1970 = valid(0, 67_090_118_400);
        check(TODAY, CertificateState::None, ("right", "none"));
        check(TODAY, good, ("right", "valid"));
        check(TODAY, since_1970, ("right", "valid"));
        check(TODAY, CertificateState::Unreadable, ("right", "unreadable"));
        // A box that has just woken up.
        check(10, CertificateState::None, ("behind", "none"));
        check(10, since_1970, ("behind", "valid"));
        check(10, good, ("behind", "not_yet_valid"));
        check(TODAY - 2 * DAY, good, ("behind", "not_yet_valid"));
        let expired = ("ahead_or_certificate_expired", "expired");
        check(TODAY + 2 * DAY, good, expired);
        check(u64::MAX / 2, good, expired);
        // Both ends are included.
        check(TODAY - DAY, good, ("right", "valid"));
        check(TODAY + DAY, good, ("right", "valid"));
    }

    #[test]
    fn a_certificate_of_the_future_is_told_as_a_matter_of_the_clock() {
        let trouble = Trouble::NotYetValid {
            now_s: 10,
            not_before_s: TODAY,
        };
        let text = trouble.to_string();
        for part in [
            "the clock",
            "1970-01-01 00:00:10 UTC",
            "2026-11-18",
            "timedatectl",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert_eq!(date(u64::MAX), format!("{} s after 1970", u64::MAX));
    }
}
