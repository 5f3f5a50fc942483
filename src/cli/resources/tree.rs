//! `--tree`: which worktree paths are in.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::worktree::Place;
use crate::cli::error::CliError;
use crate::cli::shell::Shell;
use crate::config::Environment;
use crate::engine::ids::{NameError, TreeName};

/// Stands for the worktree that the current folder is in.
const AUTO: &str = "auto";

/// Where Claude Code tells the programs that it starts which folder its session works in.
const FOLDER_VARIABLE: &str = "CLAUDE_PROJECT_DIR";

/// The worktree that a CLI session works in, as a program that it started sees it. The current folder comes
/// first: a CLI that another one started inherits the variable, and may work elsewhere.
pub(in crate::cli) fn tree_of_session(
    environment: &dyn Environment,
) -> Result<Option<TreeName>, CliError> {
    let mut root = Place::here()?.root()?;
    let folder = environment.variable(FOLDER_VARIABLE).ok().flatten();
    if let (None, Some(folder)) = (&root, folder) {
        root = Place::of(Path::new(&folder))?.root()?;
    }
    let host = environment.hostname().unwrap_or_default();
    Ok(root.map(|root| of_root(&host, &root)))
}

/// The name of a tree, or that it is to be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TreeWord {
    Auto,
    Named(TreeName),
}

/// The worktree that paths are in.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct TreeArgs {
    /// The worktree that the paths are in: a name, or `auto` for that of the current folder
    ///
    /// Paths of different trees do not conflict. Paths without a tree conflict with those of every tree.
    #[arg(long, value_name = "NAME")]
    tree: Option<TreeWord>,
}

impl TreeArgs {
    pub(in crate::cli) fn named(&self, shell: &Shell<'_>) -> Result<Option<TreeName>, CliError> {
        let tree = self.tree.as_ref().map(|tree| tree.named(shell));
        tree.transpose()
    }
}

impl FromStr for TreeWord {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == AUTO {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Named)
    }
}

impl TreeWord {
    fn named(&self, shell: &Shell<'_>) -> Result<TreeName, CliError> {
        let found = match self {
            Self::Named(tree) => return Ok(tree.clone()),
            Self::Auto => Place::here()?.root()?,
        };
        let root = found.ok_or_else(|| {
            let what = "--tree auto: the current folder is in no worktree of git";
            CliError::usage(what, "give the tree a name: --tree NAME")
        })?;
        let host = shell.environment.hostname().unwrap_or_default();
        Ok(of_root(&host, &root))
    }
}

/// Host and path: so an agent on another host, or in another worktree, is in another tree.
pub(in crate::cli) fn of_root(host: &str, root: &Path) -> TreeName {
    let path = root.to_str().unwrap_or_default();
    let plain = format!("{host}:{path}").parse();
    // A name that is too long, or that cannot be shown, is told by a digest.
    plain.unwrap_or_else(|_| {
        let mut digest = Sha256::new();
        digest.update(host.as_bytes());
        digest.update(b":");
        digest.update(root.as_os_str().as_bytes());
        let halves = digest
            .finalize()
            .into_iter()
            .flat_map(|byte| [byte >> 4, byte & 15]);
        let digits = halves.filter_map(|half| char::from_digit(half.into(), 16));
        let digest: String = digits.collect();
        digest.parse().expect("64 digits are a name")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_a_host_and_a_path() {
        let name = |host: &str, path: &str| of_root(host, Path::new(path)).as_str().to_owned();
        assert_eq!(name("box", "/w/a"), "box:/w/a");
        let long = "/w".repeat(400);
        let digest = name("box", &long);
        assert_eq!(digest.len(), 64);
        assert_ne!(digest, name("box", &format!("{long}/b")));
        assert_ne!(digest, name("other", &long));
    }

    #[test]
    fn auto_is_no_name() {
        assert_eq!("auto".parse(), Ok(TreeWord::Auto));
        assert!(matches!("a b".parse(), Ok(TreeWord::Named(_))));
        assert!("".parse::<TreeWord>().is_err());
    }
}
