//! Checks the state directory before it is used: everybody who may write there could become the operator.
//!
//! | who may write | what happens |
//! |---|---|
//! | everybody | refused |
//! | our group, and the directory is ours, so that we can close it | refused if the group has other members, else told |
//! | our group, and the directory is somebody else's | told: a volume of a container has no other way to let us in |
//! | another user, because the directory is that user's | told: so it is with a folder mounted into a container |
//!
//! A link to it must belong to this user or root; otherwise its owner could redirect it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group, User, geteuid};

use crate::journal::disk::RealDisk;

const MODE_EVERYBODY_WRITES: u32 = 0o002;
const MODE_GROUP_WRITES: u32 = 0o020;

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    #[error("cannot open the state directory {path}")]
    Open {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "the state directory {path} is writable by {who}, who could become the operator by writing there"
    )]
    Writable { path: String, who: String },
    #[error("the state directory {path} is a link of user {owner}, who could change its target")]
    Link { path: String, owner: String },
}

/// Who else may write to a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Writers {
    Us,
    Refused(String),
    Told(String),
}

/// The owner and mode of a folder, and the user of this process.
#[derive(Debug, Clone, Copy)]
struct DirFacts {
    mode: u32,
    owner: u32,
    us: u32,
    /// Whether the folder's group is known to have members beside us.
    group_has_others: bool,
}

impl StateDirError {
    /// What to do about it.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Open { .. } => None,
            Self::Writable { path, .. } => Some(format!(
                "check that all files in it are yours, then run `chmod go-w {path}`"
            )),
            Self::Link { .. } => Some("set the directory itself, not the link".to_owned()),
        }
    }
}

/// Opens the state directory; creates it, accessible only to its owner, if it does not exist.
pub fn open_state_dir(path: &Path) -> Result<RealDisk, StateDirError> {
    check_link(path)?;
    let opened = RealDisk::create(path);
    let disk = opened.map_err(|source| StateDirError::Open {
        path: path.display().to_string(),
        source,
    })?;
    check(path)?;
    Ok(disk)
}

fn check_link(path: &Path) -> Result<(), StateDirError> {
    let found = path.symlink_metadata();
    let link = found.ok().filter(std::fs::Metadata::is_symlink);
    let stranger = |owner: &u32| *owner != 0 && *owner != geteuid().as_raw();
    match link.map(|link| link.uid()).filter(stranger) {
        Some(owner) => Err(StateDirError::Link {
            path: path.display().to_string(),
            owner: user(owner),
        }),
        None => Ok(()),
    }
}

fn check(path: &Path) -> Result<(), StateDirError> {
    let shown = path.display().to_string();
    let folder = std::fs::metadata(path).map_err(|source| StateDirError::Open {
        path: shown.clone(),
        source,
    })?;
    let group = Gid::from_raw(folder.gid());
    let group = Group::from_gid(group).ok().flatten();
    let us = geteuid();
    let own_name = User::from_uid(us).ok().flatten().map(|user| user.name);
    let others = group.as_ref().is_some_and(|group| {
        let mut members = group.mem.iter();
        members.any(|member| Some(member) != own_name.as_ref())
    });
    let facts = DirFacts {
        mode: folder.mode(),
        owner: folder.uid(),
        us: us.as_raw(),
        group_has_others: others,
    };
    let group = group.map_or_else(|| folder.gid().to_string(), |group| group.name);
    match facts.writers(&group) {
        Writers::Us => {}
        Writers::Told(who) => tracing::warn!(
            "the state directory {shown} is writable by {who}, who could become the operator by writing there"
        ),
        Writers::Refused(who) => return Err(StateDirError::Writable { path: shown, who }),
    }
    Ok(())
}

impl DirFacts {
    fn writers(self, group: &str) -> Writers {
        let Self {
            mode,
            owner,
            us,
            group_has_others,
        } = self;
        if mode & MODE_EVERYBODY_WRITES != 0 {
            return Writers::Refused(format!("everybody (mode {:04o})", mode & 0o7777));
        }
        if mode & MODE_GROUP_WRITES != 0 {
            let who = format!("group {group} (mode {:04o})", mode & 0o7777);
            return if owner == us && group_has_others {
                Writers::Refused(who)
            } else {
                Writers::Told(who)
            };
        }
        if owner != us && owner != 0 {
            return Writers::Told(format!("its owner, user {}", user(owner)));
        }
        Writers::Us
    }
}

/// A user by name, or by number where there is no name.
fn user(id: u32) -> String {
    let found = User::from_uid(id.into()).ok().flatten();
    found.map_or_else(|| id.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u32 = 61_001;
    const OTHER: u32 = 61_002;

    fn check(mode: u32, owner: u32, group_has_others: bool, refused: Option<bool>) {
        let facts = DirFacts {
            mode,
            owner,
            us: US,
            group_has_others,
        };
        let found = match facts.writers("staff") {
            Writers::Us => None,
            Writers::Told(_) => Some(false),
            Writers::Refused(_) => Some(true),
        };
        assert_eq!(found, refused, "{mode:04o} of {owner}");
    }

    #[test]
    fn what_others_may_write_is_refused_or_told() {
        for mode in [0o700, 0o750, 0o755, 0o2755] {
            check(mode, US, true, None);
            // systemd makes it ours; root's, read by our group, is a mount that only root writes.
            check(mode, 0, true, None);
            check(mode, OTHER, true, Some(false));
        }
        for mode in [0o777, 0o1777, 0o702, 0o773] {
            check(mode, US, false, Some(true));
            check(mode, 0, false, Some(true));
        }
        check(0o770, US, true, Some(true));
        // A umask of 002, with a group of one's own.
        check(0o775, US, false, Some(false));
        // OpenShift: any user id, group 0, a volume of root's or of whoever built the image.
        check(0o770, 0, true, Some(false));
        check(0o2775, OTHER, true, Some(false));
    }
}
