//! The repository that an agent works in, as hooks and the guard see it: where its worktrees are, which file is
//! which resource, and what its clone says in git's configuration.
//!
//! A hook runs for every edit, so git is not run here: a worktree has `.git` in its root, a folder or a file that
//! names one. Nothing that is committed is read, because a repository must not choose the coordinator, the
//! project or the policy; git refuses to commit anything called `.git`.

mod git_config;
mod settings;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::engine::ids::TreeName;
use crate::protocol::resource::{self, ResourceParam};

use super::resources;
pub(super) use settings::{Rule, Settings};

/// The most bytes of `.git`, where it is a file, and of `commondir`: a path each.
const POINTER_BYTES_MAX: u64 = 8 * 1024;

/// A repository, seen from one of its worktrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    root: PathBuf,
    /// The folder that all its worktrees share; it tells repositories apart.
    common: PathBuf,
}

/// A file in a worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorktreeFile {
    pub(super) root: PathBuf,
    pub(super) resource: ResourceParam,
}

impl Repository {
    /// The one that a folder is in; the folder itself may have been deleted.
    pub(super) fn around(folder: &Path) -> Option<Self> {
        let folder = resolved(folder)?;
        let found = |root: &Path| {
            Some(Self {
                root: root.to_owned(),
                common: common_of(root)?,
            })
        };
        folder.ancestors().find_map(found)
    }

    /// The root of the worktree.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where git looks for hooks, unless it is told otherwise.
    pub(super) fn hooks(&self) -> PathBuf {
        self.common.join("hooks")
    }

    pub(super) fn tree(&self, host: &str) -> TreeName {
        resources::of_root(host, &self.root)
    }

    /// What its clone says in git's own configuration.
    pub(super) fn settings(&self) -> Result<Settings, String> {
        let path = self.common.join("config");
        let text = git_config::read(&path);
        let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Settings::of(&git_config::section(&text, "coord"))
    }

    /// A file that is to be written; `None` if it is in no worktree of this repository, or belongs to git.
    ///
    /// The nearest worktree above it counts, whatever symbolic links the path goes through. Other repositories in
    /// between, such as submodules, are part of the worktree that they are in.
    pub(super) fn file(&self, path: &Path) -> Option<WorktreeFile> {
        let path = resolved(path)?;
        let is_own = |root: &&Path| common_of(root).is_some_and(|common| common == self.common);
        let root = path.ancestors().skip(1).find(is_own)?;
        let inside = path.strip_prefix(root).ok()?;
        if inside.components().any(|part| part.as_os_str() == ".git") {
            return None;
        }
        Some(WorktreeFile {
            root: root.to_owned(),
            resource: resource_of(inside)?,
        })
    }
}

/// The resource of a file, by its name relative to the root of the worktree.
pub(super) fn resource_of(name: &Path) -> Option<ResourceParam> {
    let is_odd = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    let text = name.to_string_lossy();
    if !text.contains(is_odd) {
        return resource::literal(&text).ok().map(ResourceParam);
    }
    // No resource names such a character, so it is covered by a wildcard. Two agents write the same wildcard.
    let parts: Vec<String> = text.split(is_odd).map(resource::escaped).collect();
    format!("path:{}", parts.join("?")).parse().ok()
}

/// The git folder that the worktree at `root` shares with others, if there is a worktree.
fn common_of(root: &Path) -> Option<PathBuf> {
    let entry = root.join(".git");
    let kind = entry.symlink_metadata().ok()?;
    let folder = if kind.is_file() {
        let text = pointer(&entry)?;
        root.join(text.strip_prefix("gitdir:")?.trim())
    } else {
        entry
    };
    // Not every folder of that name is one.
    folder.join("HEAD").symlink_metadata().ok()?;
    let common = pointer(&folder.join("commondir"));
    let common = common.map_or_else(|| folder.clone(), |text| folder.join(text.trim()));
    common.canonicalize().ok()
}

fn pointer(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(POINTER_BYTES_MAX)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

/// Where a path leads, as far as it exists; what does not exist is followed by its names.
fn resolved(path: &Path) -> Option<PathBuf> {
    let (there, real) = path
        .ancestors()
        .find_map(|there| Some((there, fs::canonicalize(there).ok()?)))?;
    let rest = path.strip_prefix(there).ok()?;
    rest.components().try_fold(real, |mut at, part| match part {
        Component::Normal(name) => {
            at.push(name);
            Some(at)
        }
        Component::ParentDir => at.pop().then_some(at),
        Component::CurDir => Some(at),
        Component::RootDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests;
