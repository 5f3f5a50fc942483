//! Before an edit: the agent gets a lease on each file, or the edit is refused with the reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::repository::{Repository, Rule, Settings};
use crate::cli::resources::of_root;
use crate::client::{Client, ClientError};
use crate::engine::ids::{JournalTime, Note, TreeName};
use crate::mcp::words;
use crate::protocol::error::{Conflict, ErrorKind};
use crate::protocol::lease::{LeaseEnsureParams, LeaseEnsureResult, ModeParam};
use crate::protocol::operations::Operation;
use crate::protocol::resource::ResourceParam;
use crate::protocol::span::Span;

/// How long a file stays with an agent of which nothing is heard any more.
const TTL_MS: u64 = 30 * 60_000;
/// Conflicts that a reason names.
const NAMED_MAX: usize = 5;
/// What the note of every lease of a hook begins with.
pub(super) const NOTE_BEGINS: &str = "edited by ";

/// The files of one edit in one worktree.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) tree: TreeName,
    pub(super) resources: Vec<ResourceParam>,
}

/// What the coordinator said about an edit.
#[derive(Debug, Default)]
pub(in crate::cli) struct Found {
    /// Leases of others on these files, in the same worktree or in all.
    pub(in crate::cli) same: Vec<Conflict>,
    /// The same in other worktrees.
    pub(in crate::cli) other: Vec<Conflict>,
    pub(in crate::cli) now: JournalTime,
}

/// The files of an edit by worktree, each once. Files outside of the repository are left out.
pub(super) fn batches(
    repository: &Repository,
    host: &str,
    folder: &Path,
    paths: &[PathBuf],
) -> Vec<Batch> {
    let mut by_root: BTreeMap<PathBuf, Vec<ResourceParam>> = BTreeMap::new();
    for path in paths {
        let path = folder.join(path);
        // A relative path in a folder that nobody knows could be anything.
        let Some(file) = path.is_absolute().then(|| repository.file(&path)).flatten() else {
            continue;
        };
        let resources = by_root.entry(file.root).or_default();
        if !resources.contains(&file.resource) {
            resources.push(file.resource);
        }
    }
    by_root
        .into_iter()
        .map(|(root, resources)| Batch {
            tree: of_root(host, &root),
            resources,
        })
        .collect()
}

/// Takes the files for the agent, all or, if some are in the way and only worth a warning, the others.
pub(super) async fn ensure(
    client: &mut Client,
    batch: Batch,
    settings: &Settings,
    note: &str,
) -> Result<Found, ClientError> {
    // What must not be edited in two worktrees at once is held in all of them.
    let tree = (settings.other_tree != Rule::Deny).then(|| batch.tree.clone());
    let mut params = LeaseEnsureParams {
        resources: batch.resources,
        mode: ModeParam::Exclusive,
        ttl_ms: Some(TTL_MS),
        note: note.parse::<Note>().ok(),
        tree,
        request_id: None,
    };
    let mut found = match call(client, &params).await? {
        Ok(ensured) => {
            return Ok(Found {
                same: Vec::new(),
                other: ensured.elsewhere,
                now: ensured.now_ms,
            });
        }
        Err(found) => found.sorted(&batch.tree),
    };
    if found.refused(settings) {
        return Ok(found);
    }
    let in_the_way = |resource: &ResourceParam| {
        let text = resource.0.to_string();
        found
            .same
            .iter()
            .chain(&found.other)
            .any(|it| it.wanted == text)
    };
    params.resources.retain(|resource| !in_the_way(resource));
    if !params.resources.is_empty()
        && let Ok(ensured) = call(client, &params).await?
    {
        found.other.extend(ensured.elsewhere);
    }
    Ok(found)
}

async fn call(
    client: &mut Client,
    params: &LeaseEnsureParams,
) -> Result<Result<LeaseEnsureResult, Found>, ClientError> {
    match client.call(Operation::LeaseEnsure, params).await {
        Ok(reply) => Ok(Ok(reply.value)),
        Err(ClientError::Refused(error))
            if error.kind == ErrorKind::Conflict && !error.detail.conflicts.is_empty() =>
        {
            Ok(Err(Found {
                same: error.detail.conflicts,
                other: Vec::new(),
                now: error.detail.now_ms.unwrap_or_default(),
            }))
        }
        Err(error) => Err(error),
    }
}

impl Found {
    /// Tells the worktrees apart: `same` holds all conflicts before.
    pub(in crate::cli) fn sorted(self, tree: &TreeName) -> Self {
        let is_same = |it: &Conflict| it.tree.as_ref().is_none_or(|its| its == tree);
        let (same, other) = self.same.into_iter().partition(is_same);
        Self {
            same,
            other,
            ..self
        }
    }

    /// Whether the rules of the clone refuse the edit.
    pub(in crate::cli) fn refused(&self, settings: &Settings) -> bool {
        let refuses = |rule, found: &[Conflict]| rule == Rule::Deny && !found.is_empty();
        refuses(settings.same_tree, &self.same) || refuses(settings.other_tree, &self.other)
    }

    /// Why the edit is refused, and what to do.
    pub(super) fn reason(&self, settings: &Settings) -> String {
        let all: Vec<&Conflict> = self.same.iter().chain(&self.other).collect();
        let mut text =
            "coord: this edit is refused, because another agent holds the file.".to_owned();
        self.list(&mut text, &all);
        let holder = all.first().map(|it| it.holder.to_string());
        let holder = holder.unwrap_or_default();
        let file = all.first().and_then(|it| file_word(&it.wanted));
        let file = file.unwrap_or_else(|| "file:FILE".to_owned());
        let project = settings.project.as_ref();
        let coord =
            project.map_or_else(|| "coord".to_owned(), |it| format!("coord --project {it}"));
        let next = format!(
            "\nNext: work on something else, or ask for it: `{coord} message send --to {holder} TEXT`, and edit again when it \
             is free; `{coord} wait --for lease --tree auto {file} --timeout 10m` waits for that. Do not write the file by \
             other means."
        );
        text.push_str(&next);
        text
    }

    /// What is worth a warning, by the rules of the clone.
    pub(super) fn warning(&self, settings: &Settings) -> Option<String> {
        let warned = |rule, found: &[Conflict]| {
            if rule == Rule::Warn {
                found.to_vec()
            } else {
                Vec::new()
            }
        };
        let same = warned(settings.same_tree, &self.same);
        let other = warned(settings.other_tree, &self.other);
        let mut text = String::new();
        if !same.is_empty() {
            text.push_str("coord: another agent works on this file here; the edit is allowed.");
            self.list(&mut text, &same.iter().collect::<Vec<_>>());
        }
        if !other.is_empty() {
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(gap);
            text.push_str("coord: another agent changes the same file in another worktree; both changes meet when \
                they are merged, so keep yours small, or agree on who does it.");
            self.list(&mut text, &other.iter().collect::<Vec<_>>());
        }
        (!text.is_empty()).then_some(text)
    }

    fn list(&self, text: &mut String, conflicts: &[&Conflict]) {
        for conflict in conflicts.iter().take(NAMED_MAX) {
            text.push_str("\n- ");
            text.push_str(&line(conflict, self.now));
        }
        let more = conflicts.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            write!(text, "\n- and {more} more").expect("a string takes all that is written to it");
        }
    }
}

/// The file, its holder, since when, until when, and what it says of it.
pub(in crate::cli) fn line(conflict: &Conflict, now: JournalTime) -> String {
    let wanted = plain(&conflict.wanted);
    let mut text = format!("{wanted} is held by {}", conflict.holder);
    if let Some(since) = conflict.since_ms {
        let age = match now.since_ms(since) {
            0..1_000 => "just now".to_owned(),
            ms => format!("{} ago", Span(ms)),
        };
        write!(text, " since {age}").expect("a string takes all that is written to it");
    }
    text.push_str(", ");
    text.push_str(&conflict.until(now));
    if conflict.held != conflict.wanted {
        text.push_str(", as part of ");
        text.push_str(&words::line(&conflict.held));
    }
    if let Some(tree) = &conflict.tree {
        text.push_str(", in ");
        text.push_str(&words::line(tree.as_str()));
    }
    if let Some(note) = &conflict.note {
        // On a line of its own and marked as mail is, so that it cannot pretend to be ours.
        text.push_str("; its note, in the words of that agent:\n  > ");
        text.push_str(&words::line(note.as_str()));
    }
    text
}

/// A file as a word of a shell, from the root of the worktree; `None` where it would need quotes.
fn file_word(resource: &str) -> Option<String> {
    let path = resource.strip_prefix("file:")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    path.chars().all(is_plain).then(|| format!("file::/{path}"))
}

fn plain(resource: &str) -> String {
    words::line(resource.strip_prefix("file:").unwrap_or(resource))
}
