//! What is wrong with a configuration: each bad value with its source and what would be right.

use std::fmt;

use serde::Serialize;

use super::source::Source;

/// How much of a bad value an error repeats.
const QUOTED_CHARS_MAX: usize = 60;

/// One bad value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{origin}: {what}; {right}", origin = self.source_text())]
pub struct Problem {
    /// The setting's key, or the unknown key that was found.
    pub key: String,
    /// Where the value came from.
    #[serde(rename = "source")]
    pub origin: Source,
    /// What is wrong, as a lower-case fragment.
    pub what: String,
    /// What would be right, as an instruction.
    pub right: String,
}

/// Something that works, but that somebody should know about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    #[serde(rename = "source")]
    pub origin: Source,
    pub text: String,
}

/// Everything that is wrong, in the order of the table of settings; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct ConfigErrors(Vec<Problem>);

/// Why a value does not fit its setting; becomes a [`Problem`] where its source is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {right}")]
pub struct Misfit {
    /// What is wrong, as a lower-case fragment.
    pub what: String,
    /// What would be right, as an instruction.
    pub right: String,
}

impl ConfigErrors {
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }

    /// `Ok` when there is nothing to report.
    pub(super) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self(problems))
    }
}

impl Problem {
    /// A value nobody gave is a combination of others, so the setting itself is named.
    fn source_text(&self) -> String {
        match &self.origin {
            Source::Default | Source::Profile(_) | Source::Baked => {
                format!("{} ({})", self.key, self.origin)
            }
            given => given.to_string(),
        }
    }
}

impl Misfit {
    pub(super) fn new(what: impl Into<String>, right: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            right: right.into(),
        }
    }
}

/// A bad value as an error may repeat it: on one line, cut short, and without what stands before an
/// `@`, which in a URL is a password.
pub(super) fn quoted(value: &str) -> String {
    let shown = value
        .rsplit_once('@')
        .map_or_else(|| value.to_owned(), |(_, rest)| format!("…@{rest}"));
    if shown.chars().count() <= QUOTED_CHARS_MAX {
        return format!("{shown:?}");
    }
    let start: String = shown.chars().take(QUOTED_CHARS_MAX).collect();
    format!("{start:?}…")
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.0.as_slice() {
            return fmt::Display::fmt(problem, f);
        }
        write!(f, "{} values are invalid:", self.0.len())?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.text)
    }
}
