//! `coord guard`: git's pre-commit hook, because writes of a shell command are seen by no other hook.
//!
//! It asks about the files that are about to be committed. The rules are those of hooks before an edit
//! ([`Settings`]). It does nothing in a clone that has no project of the coordinator, and lets a commit pass when it
//! cannot ask, unless the clone is strict.

mod install;

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::timeout;

use super::client::Client;
use super::error::CliError;
use super::exit::Exit;
use super::hook::edit::{Found, line};
use super::output::note;
use super::repository::{Repository, Rule, Settings, resource_of};
use super::shell::Shell;
use crate::engine::ids::{AgentName, JournalTime, TreeName};
use crate::protocol::agent::{AgentGetParams, AgentView};
use crate::protocol::error::Conflict;
use crate::protocol::lease::{LeaseCheckParams, LeaseCheckResult};
use crate::protocol::operations::Operation;
use crate::protocol::resource::ResourceParam;

/// How long a commit waits for the coordinator.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of names that git may list.
const NAMES_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Files asked about at once, and the bytes of their names: below what one request may have.
const FILES_AT_ONCE: usize = 500;
const BYTES_AT_ONCE: usize = 40_000;
/// Files that are named.
const NAMED_MAX: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct GuardArgs {
    #[command(subcommand)]
    command: Option<GuardCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum GuardCommand {
    /// Installs the guard in this clone, for all its worktrees; an existing hook still runs
    Install {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Removes the guard, and puts back the hook that was there before
    Remove {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) async fn run(args: GuardArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match args.command {
        None => check(shell).await,
        Some(GuardCommand::Install { dry_run }) => install::install(dry_run, shell),
        Some(GuardCommand::Remove { dry_run }) => install::remove(dry_run, shell),
    }
}

/// Judges the commit that is about to be made.
async fn check(shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let folder = std::env::current_dir().unwrap_or_default();
    let Some(repository) = Repository::around(&folder) else {
        return Ok(Exit::Ok);
    };
    let settings = match repository.settings() {
        Ok(settings) => settings,
        Err(problem) => {
            note(format_args!(
                "warning: the commit is not checked: {problem}"
            ));
            return Ok(Exit::Ok);
        }
    };
    let Some(project) = settings.project.as_ref().filter(|_| !settings.is_off()) else {
        return Ok(Exit::Ok);
    };
    shell.connection.project = Some(project.to_string());
    shell.tells_operator.set(false);
    let asked = timeout(TIMEOUT, found(shell, &repository, &settings)).await;
    let problem = match asked {
        Ok(Ok(found)) => return Ok(judge(&found, &settings)),
        Ok(Err(error)) => error.summary(),
        Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
    };
    if settings.strict {
        note(format_args!(
            "the commit is refused, because this clone is strict and it cannot be checked: {problem}; pass once with \
             `git commit --no-verify`"
        ));
        return Ok(Exit::Failed);
    }
    note(format_args!(
        "warning: the commit is not checked: {problem}"
    ));
    Ok(Exit::Ok)
}

fn judge(found: &Found, settings: &Settings) -> Exit {
    let tell = |conflicts: &[Conflict]| {
        for conflict in conflicts.iter().take(NAMED_MAX) {
            note(format_args!("  {}", line(conflict, found.now)));
        }
        let more = conflicts.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            note(format_args!("  and {more} more"));
        }
    };
    let refuses = found.refused(settings);
    let shown = |rule, conflicts: &[Conflict]| rule != Rule::Off && !conflicts.is_empty();
    if shown(settings.same_tree, &found.same) {
        note("files of this commit are held by other agents in this worktree:");
        tell(&found.same);
    }
    if shown(settings.other_tree, &found.other) {
        note("files of this commit are held by other agents in other worktrees:");
        tell(&found.other);
    }
    if !refuses {
        return Exit::Ok;
    }
    note(
        "the commit is refused; commit the other files, ask the holder (`coord message send --to AGENT TEXT`), or pass \
         once with `git commit --no-verify`",
    );
    Exit::Failed
}

/// Who holds files of the commit.
async fn found(
    shell: &Shell<'_>,
    repository: &Repository,
    settings: &Settings,
) -> Result<Found, CliError> {
    let names = staged()?;
    let names = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let files = names.filter_map(|name| resource_of(Path::new(OsStr::from_bytes(name))));
    let files: Vec<ResourceParam> = files.collect();
    let mut found = Found::default();
    if files.is_empty() {
        return Ok(found);
    }
    let tree = repository.tree(&shell.environment.hostname().unwrap_or_default());
    let mut client = shell.client().await?;
    let me: AgentView = client
        .call(Operation::AgentGet, &AgentGetParams::default())
        .await?
        .value;
    for files in portions(files) {
        let same = held(&mut client, files.clone(), Some(&tree), &mut found.now).await?;
        found.same.extend(others(&me.name, same));
        if settings.other_tree != Rule::Off {
            let mut all = held(&mut client, files, None, &mut found.now).await?;
            all.retain(|it| it.tree.as_ref().is_some_and(|its| *its != tree));
            found.other.extend(others(&me.name, all));
        }
    }
    client.close().await;
    Ok(found)
}

/// A person commits what the agents of their own token have edited: an agent without a seat is in the way of none
/// of its seats.
fn others(me: &AgentName, mut conflicts: Vec<Conflict>) -> Vec<Conflict> {
    let is_own =
        |it: &Conflict| it.holder == *me || !me.is_seat() && it.holder.has_same_principal(me);
    conflicts.retain(|it| !is_own(it));
    conflicts
}

/// Every lease on these files. An answer names only some of many, and all of those may be the agent's own: then each
/// half is asked about by itself.
async fn held(
    client: &mut Client,
    files: Vec<ResourceParam>,
    tree: Option<&TreeName>,
    now: &mut JournalTime,
) -> Result<Vec<Conflict>, CliError> {
    let mut conflicts = Vec::new();
    let mut left = vec![files];
    while let Some(mut resources) = left.pop() {
        let params = LeaseCheckParams {
            resources: resources.clone(),
            tree: tree.cloned(),
            ..LeaseCheckParams::default()
        };
        let check: LeaseCheckResult = client.call(Operation::LeaseCheck, &params).await?.value;
        *now = check.now_ms;
        if check.conflicts_more.is_some() && resources.len() > 1 {
            left.push(resources.split_off(resources.len() / 2));
            left.push(resources);
        } else {
            conflicts.extend(check.conflicts);
        }
    }
    Ok(conflicts)
}

/// The files in portions that a request may have.
fn portions(files: Vec<ResourceParam>) -> Vec<Vec<ResourceParam>> {
    let mut portions: Vec<Vec<ResourceParam>> = Vec::new();
    let mut bytes = 0;
    for file in files {
        let length = file.0.to_string().len();
        let is_full =
            |it: &Vec<ResourceParam>| it.len() >= FILES_AT_ONCE || bytes + length > BYTES_AT_ONCE;
        if let Some(portion) = portions.last_mut().filter(|it| !is_full(it)) {
            portion.push(file);
            bytes += length;
        } else {
            portions.push(vec![file]);
            bytes = length;
        }
    }
    portions
}

/// The names of the files that are about to be committed, each before a NUL byte. Git sets `GIT_INDEX_FILE` for a
/// commit of some files, so its variables are passed on.
fn staged() -> Result<Vec<u8>, CliError> {
    let failed = |source| CliError::Run {
        program: "git".to_owned(),
        source,
    };
    let mut git = Command::new("git")
        .args([
            "diff",
            "--cached",
            "--name-only",
            "-z",
            "--no-renames",
            "--no-ext-diff",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut names = Vec::new();
    if let Some(stdout) = git.stdout.take() {
        stdout
            .take(NAMES_BYTES_MAX)
            .read_to_end(&mut names)
            .map_err(failed)?;
    }
    let status = git.wait().map_err(failed)?;
    if !status.success() {
        let source = std::io::Error::other(status.to_string());
        return Err(CliError::input("list the files of the commit", source));
    }
    Ok(names)
}
