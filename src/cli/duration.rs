//! Durations as people write them: `90s`, `10m`, `1h30m`; and ages.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::engine::ids::JournalTime;
use crate::protocol::span::{Span, UNITS};

/// A length of time in milliseconds, written with units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("a duration needs a unit: write {0}s for seconds, or use ms, m, h, d")]
    NoUnit(u64),
    #[error("a duration is written like 90s, 10m or 1h30m")]
    Malformed,
    #[error("the duration is too long")]
    TooLong,
}

impl Millis {
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Millis {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let mut rest = text.trim();
        let mut total = 0_u64;
        if rest.is_empty() {
            return Err(DurationError::Malformed);
        }
        while !rest.is_empty() {
            let (number, after) = split(rest, |c| c.is_ascii_digit());
            let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
            let number = number.parse().map_err(|_| match number {
                "" => DurationError::Malformed,
                _ => DurationError::TooLong,
            })?;
            let scale = match UNITS.iter().find(|(name, _)| *name == unit) {
                Some((_, scale)) => *scale,
                // A lone 0 is as long in every unit.
                None if unit.is_empty() && text.trim() == "0" => 0,
                None if unit.is_empty() && after.is_empty() => {
                    return Err(DurationError::NoUnit(number));
                }
                None => return Err(DurationError::Malformed),
            };
            let part = number.checked_mul(scale).ok_or(DurationError::TooLong)?;
            total = total.checked_add(part).ok_or(DurationError::TooLong)?;
            rest = after;
        }
        Ok(Self(total))
    }
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// At most two units, as in `1h30m`; below a second in milliseconds.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = UNITS.iter().position(|(_, scale)| self.0 >= *scale) else {
            return f.write_str("0s");
        };
        let (name, scale) = UNITS[first];
        write!(f, "{}{name}", self.0 / scale)?;
        // Milliseconds are noise beside whole seconds.
        match UNITS.get(first + 1) {
            Some((name, smaller)) if *smaller > 1 && self.0 % scale >= *smaller => {
                write!(f, "{}{name}", self.0 % scale / smaller)
            }
            _ => Ok(()),
        }
    }
}

/// How long ago, as in `3m ago`.
pub(super) fn ago(now: JournalTime, then: JournalTime) -> String {
    match now.since_ms(then) {
        0..1_000 => "now".to_owned(),
        ms => format!("{} ago", Span(ms)),
    }
}

/// How far ahead, as in `in 3m`.
pub(super) fn ahead(now: JournalTime, then: JournalTime) -> String {
    match then.since_ms(now) {
        0 => "now".to_owned(),
        ms => format!("in {}", Span(ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "it is written in place")]
    fn check(text: &str, expected: Result<u64, DurationError>) {
        let parsed = text.parse::<Millis>().map(|ms| ms.0);
        assert_eq!(parsed, expected, "{text:?}");
    }

    #[test]
    fn durations_have_units() {
        check("90s", Ok(90_000));
        check("10m", Ok(600_000));
        check("2h", Ok(7_200_000));
        check("1h30m", Ok(5_400_000));
        check("250ms", Ok(250));
        check("1d", Ok(86_400_000));
        check("0", Ok(0));
        check(" 5s ", Ok(5_000));
    }

    #[test]
    fn other_texts_are_refused() {
        check("90", Err(DurationError::NoUnit(90)));
        check("", Err(DurationError::Malformed));
        check("s", Err(DurationError::Malformed));
        check("1.5h", Err(DurationError::Malformed));
        check("-5s", Err(DurationError::Malformed));
        check("5 s", Err(DurationError::Malformed));
        check("5y", Err(DurationError::Malformed));
        check("99999999999999999999s", Err(DurationError::TooLong));
        check("999999999999999999d", Err(DurationError::TooLong));
    }

    #[test]
    fn durations_read_well() {
        for (ms, text) in [
            (0, "0s"),
            (250, "250ms"),
            (1_500, "1s"),
            (90_000, "1m30s"),
            (5_400_000, "1h30m"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(Millis(ms).to_string(), text);
        }
    }

    #[test]
    fn ages_are_coarse() {
        let now = JournalTime(10_000_000);
        assert_eq!(ago(now, JournalTime(10_000_000 - 200_000)), "3m ago");
        assert_eq!(ago(now, now), "now");
        assert_eq!(ahead(now, now.after_ms(61_000)), "in 1m");
    }
}
