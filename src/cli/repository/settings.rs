//! What a clone says about hooks and guard, in the section `coord` of its git configuration.
//!
//! | key | says | default |
//! |---|---|---|
//! | `coord.project` | the project of the coordinator that the repository's files are in | that of the connection |
//! | `coord.sameTree` | an edit of a file that another agent holds in the same worktree: `deny`, `warn`, `off` | `deny` |
//! | `coord.otherTree` | the same in another worktree | `warn` |
//! | `coord.strict` | refuses edits while the coordinator is out of reach | `false` |

use crate::engine::ids::ProjectName;

/// What becomes of an edit of a file that another agent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Rule {
    Deny,
    Warn,
    Off,
}

/// What a clone says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Settings {
    pub(in crate::cli) project: Option<ProjectName>,
    pub(in crate::cli) same_tree: Rule,
    pub(in crate::cli) other_tree: Rule,
    pub(in crate::cli) strict: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            project: None,
            same_tree: Rule::Deny,
            other_tree: Rule::Warn,
            strict: false,
        }
    }
}

impl Settings {
    /// Whether edits are looked at at all.
    pub(in crate::cli) fn is_off(&self) -> bool {
        self.same_tree == Rule::Off && self.other_tree == Rule::Off
    }

    /// Reads keys in lower case; of one that is there twice, the last counts.
    pub(super) fn of(section: &[(String, String)]) -> Result<Self, String> {
        let mut settings = Self::default();
        for (key, value) in section {
            match key.as_str() {
                "project" => {
                    let name = value.parse();
                    let wrong = |error| format!("coord.project in git's configuration: {error}");
                    settings.project = Some(name.map_err(wrong)?);
                }
                "sametree" => settings.same_tree = rule("coord.sameTree", value)?,
                "othertree" => settings.other_tree = rule("coord.otherTree", value)?,
                "strict" => settings.strict = yes_or_no("coord.strict", value)?,
                // A newer version may know it.
                _ => {}
            }
        }
        Ok(settings)
    }
}

fn rule(key: &str, value: &str) -> Result<Rule, String> {
    match value {
        "deny" => Ok(Rule::Deny),
        "warn" => Ok(Rule::Warn),
        "off" => Ok(Rule::Off),
        _ => Err(format!(
            "{key} in git's configuration must be deny, warn or off, and is {value:?}"
        )),
    }
}

fn yes_or_no(key: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" | "" => Ok(false),
        _ => Err(format!(
            "{key} in git's configuration must be true or false, and is {value:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_key_counts_and_mistakes_are_named() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Settings::of(&pairs.collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), Ok(Settings::default()));
        let read = of(&[
            ("sametree", "deny"),
            ("sametree", "off"),
            ("othertree", "off"),
        ]);
        assert!(read.is_ok_and(|it| it.is_off()));
        assert!(of(&[("strict", "Yes"), ("later", "x")]).is_ok_and(|it| it.strict));
        for (key, value) in [
            ("sametree", "dney"),
            ("strict", "maybe"),
            ("project", "A b"),
        ] {
            let problem = of(&[(key, value)]).expect_err(value);
            assert!(problem.to_lowercase().contains(key), "{problem}");
        }
    }
}
