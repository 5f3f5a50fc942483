//! What can be set up: four CLIs and git.

use std::path::PathBuf;

use super::program;
use super::site::Site;
use super::target::Target;
use super::{claude, codex, gemini, opencode};
use crate::cli::error::CliError;
use crate::config::Environment;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(in crate::cli) enum Front {
    /// Claude Code
    Claude,
    /// Codex CLI
    Codex,
    /// Gemini CLI
    Gemini,
    /// opencode
    Opencode,
    /// A guard before commits, for what shells wrote
    Git,
}

impl Front {
    pub(in crate::cli) const ALL: [Self; 5] = [
        Self::Claude,
        Self::Codex,
        Self::Gemini,
        Self::Opencode,
        Self::Git,
    ];

    /// As it is typed, and as its program is called.
    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Git => "git",
        }
    }

    pub(in crate::cli) fn installed(self, environment: &dyn Environment) -> Option<PathBuf> {
        program::on_path(self.name(), environment)
    }

    /// What it wants of its user before it uses files of a repository.
    pub(super) fn trusts(self) -> Option<&'static str> {
        match self {
            Self::Claude => Some(
                "Claude Code ignores permissions of a repository until its user trusts the folder: start `claude` here \
                 once",
            ),
            Self::Codex => {
                Some("Codex reads the files of a repository only if it trusts that repository")
            }
            Self::Gemini => Some(
                "Gemini CLI uses hooks and servers only in folders that its user trusts; its shell switches hooks of git off, so \
                coord guard does not see what it commits",
            ),
            Self::Opencode | Self::Git => None,
        }
    }

    /// The files of it that get something of ours.
    pub(in crate::cli) fn targets(self, site: &Site) -> Result<Vec<Target>, CliError> {
        match self {
            Self::Claude => claude::targets(site),
            Self::Codex => codex::targets(site),
            Self::Gemini => gemini::targets(site),
            Self::Opencode => opencode::targets(site),
            Self::Git => Ok(Vec::new()),
        }
    }
}

impl std::fmt::Display for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
