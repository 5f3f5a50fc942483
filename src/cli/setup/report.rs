//! What setup does or did, for people and as JSON.

use std::fmt::Display;
use std::io;
use std::path::Path;

use serde_json::json;

use super::SetupArgs;
use super::access::{Access, TokenSource};
use super::change::Change;
use super::front::Front;
use super::site::Site;
use super::store::Store;
use crate::causes;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::client::ClientError;
use crate::difference;
use crate::engine::ids::ProjectName;

/// Lines around a change.
const CONTEXT_LINES: usize = 3;

pub(super) struct Report {
    pub(super) changes: Vec<Change>,
    dry_run: bool,
    is_removal: bool,
    store: Store,
    did: Vec<String>,
    /// What a person must do yet.
    left: Vec<String>,
    notes: Vec<String>,
    exit: Exit,
}

impl Report {
    pub(super) fn new(args: &SetupArgs, store: &Store) -> Self {
        Self {
            changes: Vec::new(),
            dry_run: args.dry_run,
            is_removal: args.remove,
            store: store.clone(),
            did: Vec::new(),
            left: Vec::new(),
            notes: Vec::new(),
            exit: Exit::Ok,
        }
    }

    pub(super) fn did(&mut self, verb: &str, what: impl Display) {
        self.did.push(format!("{verb} {what}"));
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(super) fn note_all(&mut self, texts: impl IntoIterator<Item = &'static str>) {
        self.notes.extend(texts.into_iter().map(str::to_owned));
    }

    /// Something that setup could not do; the first one decides how it ends.
    pub(super) fn left(&mut self, exit: Exit, what: impl Into<String>) {
        if self.exit == Exit::Ok {
            self.exit = exit;
        }
        self.left.push(what.into());
    }

    pub(super) fn unreachable(&mut self, access: &Access, error: &ClientError) {
        let why = causes::one_line(error);
        let next = if access.config.operator_token.is_some() {
            "`coord install --user --now` runs a coordinator for you"
        } else {
            "start it, or name another one with --url"
        };
        let what = format!("{why}; {next}, then run coord setup again for token and project");
        self.left(Exit::Unreachable, what);
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether a file loses everything of ours.
    pub(super) fn takes_out(&self, file: &Path) -> bool {
        let mut changes = self.changes.iter();
        changes.any(|change| change.target.path == file && change.changes())
    }

    /// What would be done besides changing files.
    pub(super) fn would(
        &mut self,
        access: &Access,
        site: &Site<'_>,
        fronts: &[Front],
        project: Option<&ProjectName>,
    ) {
        let agent = Access::agent(site);
        match access.token_source() {
            TokenSource::Operator => self.did("would create a token with seats for", agent),
            TokenSource::Variable => self.did("would write", Access::token_file(site).display()),
            TokenSource::None => {
                let command = Access::token_command(site);
                self.did(
                    "would need a token: the operator runs",
                    format!("`{command}`"),
                );
            }
            TokenSource::ClientFile | TokenSource::File(_) => {}
        }
        if let Some(project) = project {
            self.did("would create, unless it is there, project", project);
        }
        if fronts.contains(&Front::Git) {
            self.did("would run", "coord guard install");
        }
    }

    pub(super) fn carry_out(&self, root: Option<&Path>, store: &Store) -> Result<(), CliError> {
        let mut changes = self.changes.iter();
        changes.try_for_each(|change| change.carry_out(root, store))
    }

    pub(super) fn show(&self, out: &mut Output<'_>) -> io::Result<()> {
        if out.style().json {
            return out.json(&self.json());
        }
        if !out.style().quiet || self.dry_run {
            self.show_changes(out)?;
        }
        for did in &self.did {
            out.done(did)?;
        }
        for note in &self.notes {
            out.note(note);
        }
        for left in &self.left {
            out.note(format_args!("left to do: {left}"));
        }
        let idle = self.did.is_empty() && !self.changes.iter().any(Change::changes);
        match (self.dry_run, idle) {
            (true, _) => out.note("nothing was done: --dry-run"),
            (false, true) if self.is_removal => out.note("nothing of coord setup was there"),
            (false, true) if self.left.is_empty() => out.note("everything was set up already"),
            _ => {}
        }
        Ok(())
    }

    fn show_changes(&self, out: &mut Output<'_>) -> io::Result<()> {
        for change in &self.changes {
            if self.dry_run && change.changes() {
                out.page(&diff(change))?;
                continue;
            }
            out.line(format_args!(
                "{:<9} {}",
                change.word(),
                change.target.path.display()
            ))?;
        }
        for change in self.changes.iter().filter(|change| change.changes()) {
            if let Some(remark) = remark(change).filter(|_| !self.is_removal) {
                out.note(format_args!("{}: {remark}", change.target.path.display()));
            }
            let backup = self.store.backup(&change.real);
            if !self.dry_run && !self.is_removal && backup.exists() {
                out.note(format_args!("backup: {}", backup.display()));
            }
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        let files = self.changes.iter().map(|change| {
            let backup = self.store.backup(&change.real);
            json!({
                "path": change.target.path,
                "front": change.target.front.map(Front::name),
                "action": change.word(),
                "committed": is_tracked(change),
                "backup": backup.exists().then_some(backup),
                "diff": (self.dry_run && change.changes()).then(|| diff(change)),
            })
        });
        json!({
            "dry_run": self.dry_run,
            "files": files.collect::<Vec<_>>(),
            "done": self.did,
            "left": self.left,
            "notes": self.notes,
        })
    }
}

/// Whether git would commit the change of a file in a repository.
fn is_tracked(change: &Change) -> Option<bool> {
    let root = change.target.within.clone()?;
    let git = root.join(".git");
    let clone = super::site::Checkout { root, git };
    Some(clone.is_tracked(&change.target.path))
}

fn remark(change: &Change) -> Option<&'static str> {
    Some(if is_tracked(change)? {
        "git tracks it, so the change would be committed; --user writes to the user's own file"
    } else {
        "git does not commit it"
    })
}

/// As `diff -u` would show it.
fn diff(change: &Change) -> String {
    let text = |bytes: &Option<Vec<u8>>| {
        String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
    };
    let (before, after) = (text(&change.before), text(&change.after));
    let path = change.target.path.display().to_string();
    let name = |there: bool| {
        if there {
            path.clone()
        } else {
            "/dev/null".to_owned()
        }
    };
    let (from, to) = (name(change.before.is_some()), name(change.after.is_some()));
    difference::unified(&before, &after, (&from, &to), CONTEXT_LINES)
}
