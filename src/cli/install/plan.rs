//! What an installation comes to: files to write or remove, commands to run.

use std::path::PathBuf;

use super::system::{changed_at, running_since};

/// Everything to do, in this order: `before`, the files, `after`.
#[derive(Debug, Default)]
pub(super) struct InstallPlan {
    pub(super) before: Vec<Vec<String>>,
    pub(super) files: Vec<FilePlan>,
    pub(super) after: Vec<Vec<String>>,
}

/// One file.
#[derive(Debug)]
pub(super) struct FilePlan {
    pub(super) path: PathBuf,
    pub(super) action: FileAction,
    pub(super) content: Vec<u8>,
    pub(super) mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileAction {
    Create,
    Replace,
    Same,
    /// It is somebody's own, whatever is in it.
    Keep,
    Remove,
    Absent,
}

impl FileAction {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Same => "unchanged",
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Absent => "absent",
        }
    }
}

impl InstallPlan {
    pub(super) fn commands(&self) -> impl Iterator<Item = &Vec<String>> {
        self.before.iter().chain(&self.after)
    }

    pub(super) fn restarts(&self) -> bool {
        let mut commands = self.commands();
        commands.any(|command| command.iter().any(|word| word == "restart"))
    }

    /// Whether a unit runs with other files than there will be: this run changes some, or they were
    /// changed after it was started.
    pub(super) fn outdates(&self, unit: &str, part: &str) -> bool {
        let changed_later = |since: i64| {
            let mut files = self.files.iter();
            files.any(|file| {
                let names = file.path.to_string_lossy().contains(part);
                names && changed_at(&file.path).is_some_and(|at| at >= since)
            })
        };
        self.changes(part) || running_since(unit).is_some_and(changed_later)
    }

    pub(super) fn changes(&self, part: &str) -> bool {
        let changed =
            |file: &&FilePlan| matches!(file.action, FileAction::Create | FileAction::Replace);
        let mut files = self.files.iter().filter(changed);
        files.any(|file| file.path.to_string_lossy().contains(part))
    }
}
