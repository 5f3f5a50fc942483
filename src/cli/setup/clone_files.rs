//! What is written into a clone's own folder of git, where nothing is committed: the project, the policy, and
//! which files of this machine git should not offer to commit.

use std::path::Path;

use super::site::{Checkout, Site};
use super::slug::{of_remote, slug};
use super::target::{Content, Target};
use super::text::{Block, Fault, Place};
use crate::cli::error::CliError;
use crate::engine::ids::ProjectName;

const PROJECT: &str = "coord.project";
const NAMELESS: &str = "project";

/// The project of a clone: the one that its configuration names, or else one that is called like it.
pub(in crate::cli) fn project(
    clone: &Checkout,
    wanted: Option<&str>,
) -> Result<ProjectName, CliError> {
    let kept = clone.config(PROJECT);
    let text = match wanted.map(str::to_owned).or(kept) {
        Some(text) => text,
        None => derived(clone),
    };
    text.parse().map_err(|error| {
        let what = format!("{text:?} cannot be the project of this repository: {error}");
        CliError::usage(what, "name another one: `git config coord.project NAME`")
    })
}

fn derived(clone: &Checkout) -> String {
    let remote = clone.git(&["config", "--get", "remote.origin.url"]);
    let of_remote = remote.map(|url| of_remote(url.trim()));
    let name = of_remote
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| {
            let folder = clone.git.parent().filter(|_| clone.git.ends_with(".git"));
            let folder = folder
                .unwrap_or(&clone.root)
                .file_name()
                .unwrap_or_default();
            slug(&folder.to_string_lossy())
        });
    if name.is_empty() {
        NAMELESS.to_owned()
    } else {
        name
    }
}

/// Git's configuration with the project and, if wanted, strictness. `None` if it says all that by itself.
pub(in crate::cli) fn config_target(
    site: &Site<'_>,
    clone: &Checkout,
    project: &ProjectName,
) -> Option<Target> {
    let path = clone.git.join("config");
    let mut lines = vec!["[coord]".to_owned()];
    let ours = ours(&path);
    let is_ours = |key: &str| {
        ours.iter()
            .any(|line| line.trim().starts_with(&format!("{key} =")))
    };
    if is_ours("project") || clone.config(PROJECT).as_deref() != Some(project.as_str()) {
        lines.push(format!("\tproject = {project}"));
    }
    if site.strict && (is_ours("strict") || !is_strict(clone)) {
        lines.push("\tstrict = true".to_owned());
    }
    (lines.len() > 1 || !ours.is_empty()).then(|| config_with(clone, lines))
}

/// Git's configuration with other lines of ours.
pub(in crate::cli) fn config_with(clone: &Checkout, lines: Vec<String>) -> Target {
    Target {
        front: None,
        path: clone.git.join("config"),
        within: None,
        content: Content::Block {
            lines,
            place: Place::End,
            check: |_: &str| Ok::<(), Fault>(()),
        },
    }
}

/// Whether edits of this clone are refused while the coordinator is away.
pub(in crate::cli) fn is_strict(clone: &Checkout) -> bool {
    let said = clone.git(&["config", "--local", "--type=bool", "--get", "coord.strict"]);
    said.is_some_and(|said| said.trim() == "true")
}

fn ours(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let block = Block::read(&bytes).ok();
    let lines = block.as_ref().and_then(Block::lines).unwrap_or_default();
    lines.into_iter().map(str::to_owned).collect()
}

/// Keeps files of a worktree out of commits. They name programs of this machine.
pub(in crate::cli) fn exclude_target(clone: &Checkout, files: &[&Path]) -> Option<Target> {
    let files = files.iter().filter(|file| !clone.is_tracked(file));
    let lines = files.filter_map(|file| {
        Some(format!(
            "/{}",
            file.strip_prefix(&clone.root).ok()?.display()
        ))
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| Target {
        front: None,
        path: clone.git.join("info/exclude"),
        within: None,
        content: Content::Shared(lines),
    })
}
