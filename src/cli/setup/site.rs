//! Where setup works: the user's folders, and the clone that it was started in.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::program;
use crate::cli::error::CliError;
use crate::config::Environment;

/// The folders and choices of one run.
pub(in crate::cli) struct Site<'a> {
    pub(in crate::cli) environment: &'a dyn Environment,
    pub(in crate::cli) home: PathBuf,
    /// The clone around the current folder.
    pub(in crate::cli) clone: Option<Checkout>,
    /// Whether the user's own files are meant, for all repositories.
    pub(in crate::cli) of_user: bool,
    pub(in crate::cli) strict: bool,
    /// The absolute path of this program.
    pub(in crate::cli) program: String,
}

/// One worktree of a clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Checkout {
    /// The root of the worktree, links followed.
    pub(in crate::cli) root: PathBuf,
    /// The folder of git that all worktrees of the clone share.
    pub(in crate::cli) git: PathBuf,
}

impl<'a> Site<'a> {
    pub(in crate::cli) fn find(
        environment: &'a dyn Environment,
        of_user: bool,
        strict: bool,
    ) -> Result<Self, CliError> {
        let folder = std::env::current_dir();
        let folder = folder.map_err(|error| CliError::input("tell the current folder", error))?;
        let clone = Checkout::around(&folder)?;
        let home = folder_of(environment, "HOME");
        let home = home.ok_or_else(|| {
            let next = "set it to the user's folder, which has the files of the CLIs";
            CliError::usage("HOME is not set to an absolute path", next)
        })?;
        Ok(Self {
            environment,
            home,
            clone,
            of_user,
            strict,
            program: program::own(environment)?,
        })
    }

    /// The clone whose files are meant; `None` for those of the user.
    pub(in crate::cli) fn project(&self) -> Result<Option<&Checkout>, CliError> {
        if self.of_user {
            return Ok(None);
        }
        let clone = self.clone.as_ref().ok_or_else(|| {
            let what = "the current folder is in no git repository";
            let next =
                "run it in the repository that the agents work in, or with --user for all of them";
            CliError::usage(what, next)
        })?;
        Ok(Some(clone))
    }

    /// A folder that a variable names.
    pub(in crate::cli) fn variable(&self, name: &str) -> Option<PathBuf> {
        folder_of(self.environment, name)
    }

    pub(in crate::cli) fn config_home(&self) -> PathBuf {
        let named = self.variable("XDG_CONFIG_HOME");
        named.unwrap_or_else(|| self.home.join(".config"))
    }

    /// Where setup keeps what files were like before.
    pub(in crate::cli) fn backups(&self) -> PathBuf {
        let named = self.variable("XDG_STATE_HOME");
        let state = named.unwrap_or_else(|| self.home.join(".local/state"));
        state.join("coord/setup")
    }
}

impl Checkout {
    /// Git says what it is, because it refuses repositories of other users.
    fn around(folder: &Path) -> Result<Option<Self>, CliError> {
        let is_git = |folder: &Path| folder.join(".git").symlink_metadata().is_ok();
        if !folder.ancestors().any(is_git) {
            return Ok(None);
        }
        let words = [
            "rev-parse",
            "--path-format=absolute",
            "--show-toplevel",
            "--git-common-dir",
        ];
        let said = run_git(folder, &words)?;
        let mut lines = said.lines().map(|line| Path::new(line).canonicalize());
        if let (Some(Ok(root)), Some(Ok(git)), None) = (lines.next(), lines.next(), lines.next()) {
            return Ok(Some(Self { root, git }));
        }
        let shown = folder.display();
        Err(CliError::usage(
            format!("git does not say where the repository around {shown} is"),
            "run it in a worktree whose path has no line break",
        ))
    }

    /// The root of the main worktree, by which Claude Code knows all worktrees of the clone.
    pub(in crate::cli) fn main_root(&self) -> Result<String, CliError> {
        let is_plain = self.git.file_name().is_some_and(|name| name == ".git");
        let main = self.git.parent().filter(|_| is_plain).unwrap_or(&self.root);
        let text = main.to_str().map(str::to_owned);
        text.ok_or_else(|| {
            let what = format!(
                "the path of the repository is not UTF-8: {}",
                main.display()
            );
            CliError::usage(what, "use --user, or give the folder another name")
        })
    }

    /// What git answers, or nothing where it says no.
    pub(in crate::cli) fn git(&self, words: &[&str]) -> Option<String> {
        run_git(&self.root, words).ok()
    }

    /// What the clone's own configuration says, which nobody can commit.
    pub(in crate::cli) fn config(&self, key: &str) -> Option<String> {
        let text = self.git(&["config", "--local", "--get", key])?;
        Some(text.trim_end_matches('\n').to_owned())
    }

    pub(in crate::cli) fn is_tracked(&self, path: &Path) -> bool {
        let text = path.to_str();
        text.is_some_and(|text| {
            self.git(&["ls-files", "--error-unmatch", "--", text])
                .is_some()
        })
    }
}

fn folder_of(environment: &dyn Environment, name: &str) -> Option<PathBuf> {
    let text = environment.variable(name).ok()??;
    Some(PathBuf::from(text)).filter(|path| path.is_absolute())
}

fn run_git(folder: &Path, words: &[&str]) -> Result<String, CliError> {
    let mut command = Command::new("git");
    command.current_dir(folder).args(words);
    // Within a hook of git these name another repository.
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
    ] {
        command.env_remove(name);
    }
    let output = command.output().map_err(|source| CliError::Run {
        program: "git".to_owned(),
        source,
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let what = format!("git {} failed: {}", words[0], said.trim());
        return Err(CliError::usage(
            what,
            "run `git status` there and follow what it says",
        ));
    }
    let text = String::from_utf8(output.stdout);
    text.map_err(|error| CliError::input("read what git says", error))
}
