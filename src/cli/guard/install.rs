//! Puts the guard into a clone, and takes it out again.
//!
//! | the clone | what is done |
//! |---|---|
//! | `core.hooksPath` is set | nothing: those hooks may be everybody's, so it is said what to add to them |
//! | git can have hooks in its configuration (2.54) | `hook.coord.*` in the clone's configuration; nothing is replaced |
//! | otherwise | `pre-commit` in the folder that all worktrees share; an existing one is kept beside it and runs first |

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::repository::Repository;
use crate::cli::shell::Shell;

/// The first version of git with hooks in its configuration.
const CONFIG_HOOKS_SINCE: (u32, u32) = (2, 54);
const HOOK: &str = "pre-commit";
/// Where an existing hook is kept.
const BEFORE: &str = "pre-commit.before-coord";
/// The line by which our file is known.
const MARK: &str =
    "# Written by `coord guard install`; `coord guard remove` puts back what was here before.";

pub(super) fn install(dry_run: bool, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let clone = GitClone::here()?;
    let command = clone.command();
    if let Some(folder) = clone.config("core.hooksPath") {
        let what = format!(
            "core.hooksPath is set to {folder}, whose hooks may be those of other repositories too; to be guarded, add \
             this line to {folder}/{HOOK}: {command}"
        );
        return Err(CliError::unmet(Exit::Conflict, what));
    }
    if clone.has_config_hooks() {
        if clone.config("hook.coord.command").as_deref() == Some(command.as_str()) {
            return said(shell, "the guard is installed already");
        }
        if dry_run {
            return said(
                shell,
                &format!("would set hook.coord in the clone's configuration: {command}"),
            );
        }
        clone.set("hook.coord.event", HOOK)?;
        clone.set("hook.coord.command", &command)?;
        return said(
            shell,
            "the guard is installed: hook.coord in the clone's configuration",
        );
    }
    let (hook, before) = (clone.hooks.join(HOOK), clone.hooks.join(BEFORE));
    let text = clone.text();
    let found = read(&hook)?;
    if found.as_deref() == Some(text.as_bytes()) {
        return said(shell, "the guard is installed already");
    }
    let is_foreign = found.as_deref().is_some_and(|found| !is_ours(found));
    if is_foreign && before.symlink_metadata().is_ok() {
        let what = format!(
            "{} exists already, so {} cannot be kept there",
            before.display(),
            hook.display()
        );
        return Err(CliError::unmet(Exit::Conflict, what));
    }
    let kept = if is_foreign {
        format!(
            "; the hook that was there runs first, from {}",
            before.display()
        )
    } else {
        String::new()
    };
    if dry_run {
        return said(
            shell,
            &format!("would write {}{kept}:\n{text}", hook.display()),
        );
    }
    let failed = |error| CliError::input("install the guard", error);
    if is_foreign {
        fs::rename(&hook, &before).map_err(failed)?;
    }
    write(&clone.hooks, &hook, &text).map_err(failed)?;
    said(
        shell,
        &format!("the guard is installed: {}{kept}", hook.display()),
    )
}

pub(super) fn remove(dry_run: bool, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let clone = GitClone::here()?;
    let (hook, before) = (clone.hooks.join(HOOK), clone.hooks.join(BEFORE));
    let has_config = clone.config("hook.coord.command").is_some();
    let has_file = read(&hook)?.as_deref().is_some_and(is_ours);
    if !has_config && !has_file {
        return said(shell, "the guard is not installed");
    }
    if dry_run {
        let what = if has_file {
            hook.display().to_string()
        } else {
            "hook.coord".to_owned()
        };
        return said(shell, &format!("would remove {what}"));
    }
    if has_config {
        clone.git(&["config", "--local", "--remove-section", "hook.coord"])?;
    }
    if has_file {
        let failed = |error| CliError::input("remove the guard", error);
        if before.symlink_metadata().is_ok() {
            fs::rename(&before, &hook).map_err(failed)?;
        } else {
            fs::remove_file(&hook).map_err(failed)?;
        }
    }
    said(shell, "the guard is removed")
}

fn said(shell: &mut Shell<'_>, sentence: &str) -> Result<Exit, CliError> {
    shell.out.done(sentence)?;
    Ok(Exit::Ok)
}

/// The clone that the command runs in.
struct GitClone {
    root: PathBuf,
    hooks: PathBuf,
    /// This program.
    program: PathBuf,
}

impl GitClone {
    fn here() -> Result<Self, CliError> {
        let folder = std::env::current_dir();
        let folder = folder.map_err(|error| CliError::input("tell the current folder", error))?;
        let repository = Repository::around(&folder).ok_or_else(|| {
            CliError::usage(
                "the current folder is in no repository of git",
                "run it in a clone",
            )
        })?;
        let program = std::env::current_exe();
        let program = program.map_err(|error| CliError::input("tell where coord is", error))?;
        let hooks = repository.hooks();
        // A link to a folder elsewhere is as shared as `core.hooksPath` is.
        if hooks.symlink_metadata().is_ok_and(|it| it.is_symlink()) {
            let what = format!(
                "{} is a symbolic link, so its hooks may be those of other repositories too",
                hooks.display()
            );
            return Err(CliError::unmet(Exit::Conflict, what));
        }
        Ok(Self {
            root: repository.root().to_owned(),
            hooks,
            program,
        })
    }

    /// What a shell runs as the guard. A program that is gone is no reason to refuse a commit.
    fn command(&self) -> String {
        let program = quoted(&self.program.to_string_lossy());
        format!("[ ! -x {program} ] || {program} guard")
    }

    fn text(&self) -> String {
        let command = self.command();
        format!(
            "#!/bin/sh\n{MARK}\nbefore=\"$(dirname \"$0\")/{BEFORE}\"\nif [ -x \"$before\" ]; then\n  \"$before\" \"$@\" || exit $?\nfi\n{command}\n"
        )
    }

    fn has_config_hooks(&self) -> bool {
        let version = self.git(&["version"]).unwrap_or_default();
        let numbers = version.split_whitespace().nth(2).unwrap_or_default();
        let mut numbers = numbers
            .split('.')
            .map_while(|part| part.parse::<u32>().ok());
        let (major, minor) = (numbers.next(), numbers.next());
        (major.unwrap_or_default(), minor.unwrap_or_default()) >= CONFIG_HOOKS_SINCE
    }

    fn config(&self, key: &str) -> Option<String> {
        self.git(&["config", "--get", key])
            .ok()
            .filter(|text| !text.is_empty())
    }

    fn set(&self, key: &str, value: &str) -> Result<(), CliError> {
        self.git(&["config", "--local", key, value]).map(drop)
    }

    fn git(&self, words: &[&str]) -> Result<String, CliError> {
        let done = Command::new("git")
            .arg("-C")
            .arg(&self.root)
            .args(words)
            // A hook's variables would point at another repository.
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .stdin(Stdio::null())
            .output()
            .map_err(|source| CliError::Run {
                program: "git".to_owned(),
                source,
            })?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(CliError::input("run git", io::Error::other(said)));
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn is_ours(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.nth(1) == Some(MARK.as_bytes())
}

/// The bytes of a file; `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, CliError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        // A link to a file that is gone is somebody's hook all the same.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(path.symlink_metadata().is_ok().then(Vec::new))
        }
        Err(error) => Err(CliError::input("read the hook", error)),
    }
}

fn write(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o755))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
