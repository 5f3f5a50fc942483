//! Durations and ages, for sentences.

use std::fmt;

/// Units with their length in milliseconds, the longest first.
pub const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A length of time in milliseconds, shown in its largest unit alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS.iter().find(|(_, scale)| self.0 >= *scale);
        match fits {
            Some((name, scale)) => write!(f, "{}{name}", self.0 / scale),
            None => f.write_str("0s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_unit() {
        for (ms, text) in [(0, "0s"), (7, "7ms"), (1_999, "1s"), (5_400_000, "1h")] {
            assert_eq!(Span(ms).to_string(), text);
        }
    }
}
