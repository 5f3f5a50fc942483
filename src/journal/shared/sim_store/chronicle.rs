//! The chronicle: everything that was ever written to a simulated store, and what was lost of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::ids::{Cursor, JournalTime, ProjectName};
use crate::journal::shared::{Candidate, StreamRecord};

/// One command as it was written.
#[derive(Debug, Clone)]
pub struct Written {
    pub at: Cursor,
    pub at_ms: JournalTime,
    pub body: Arc<[u8]>,
    /// The command before it.
    pub before: Option<Cursor>,
    pub at_us: u64,
    /// The run of the server that wrote it.
    pub run: u64,
}

/// An empty store was filled.
#[derive(Debug, Clone)]
pub struct Seeding {
    pub project: ProjectName,
    pub from: u64,
    /// What the snapshot of the filling covers.
    pub covers: Option<Cursor>,
    /// The candidates, when the coordinator that filled it last asked.
    pub standing: Vec<Candidate>,
    /// What had been written and the snapshot does not cover.
    pub lost: Vec<Cursor>,
    /// It was filled with records that had been lost before, while other coordinators had continued without them.
    pub revives: bool,
}

/// The history of all servers. A line of a project is what stands behind one of its records.
#[derive(Debug, Clone, Default)]
pub struct Chronicle {
    records: BTreeMap<ProjectName, BTreeMap<Cursor, Written>>,
    lost: BTreeMap<ProjectName, BTreeSet<Cursor>>,
    /// Where the line of a store ended that was emptied.
    emptied: BTreeMap<ProjectName, Cursor>,
    pub seedings: Vec<Seeding>,
    /// Cursors that were given to two records.
    pub given_twice: Vec<(ProjectName, Cursor)>,
    pub(super) asked: BTreeMap<(u64, ProjectName), Vec<Candidate>>,
    pub(super) now_us: u64,
    pub(super) run: u64,
    pub(super) is_master: bool,
}

impl Chronicle {
    pub fn written(&self, project: &ProjectName, at: Cursor) -> Option<&Written> {
        self.records.get(project)?.get(&at)
    }

    /// Every record of a project, of all lines.
    pub fn all<'a>(&'a self, project: &ProjectName) -> impl Iterator<Item = &'a Written> + use<'a> {
        self.records
            .get(project)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// The cursors from the first to `end`.
    pub fn line(&self, project: &ProjectName, end: Option<Cursor>) -> Vec<Cursor> {
        let mut line = Vec::new();
        let mut next = end;
        while let Some(at) = next {
            let Some(written) = self.written(project, at) else {
                break;
            };
            line.push(at);
            next = written.before;
        }
        line.reverse();
        line
    }

    /// The ends of all lines that there ever were.
    pub fn ends(&self, project: &ProjectName) -> Vec<Cursor> {
        let before: BTreeSet<Cursor> = self.all(project).filter_map(|w| w.before).collect();
        let ends = self.all(project).map(|written| written.at);
        ends.filter(|at| !before.contains(at)).collect()
    }

    /// Whether a server lost this record, so that it belongs to no line any more.
    pub fn is_lost(&self, project: &ProjectName, at: Cursor) -> bool {
        let emptied = self.emptied.get(project).copied();
        let lost = self.lost.get(project);
        lost.is_some_and(|lost| lost.contains(&at)) || self.line(project, emptied).contains(&at)
    }

    /// Whether a server ever lost anything of a project.
    pub fn lost_any(&self, project: &ProjectName) -> bool {
        let lost = self.lost.get(project);
        lost.is_some_and(|lost| !lost.is_empty()) || self.emptied.contains_key(project)
    }

    pub(super) fn note(
        &mut self,
        project: &ProjectName,
        record: &StreamRecord,
        mut before: Option<Cursor>,
    ) {
        for command in record.commands() {
            let at = command.at;
            let written = Written {
                at,
                at_ms: command.at_ms,
                body: command.body.into(),
                before: before.replace(at),
                at_us: self.now_us,
                run: self.run,
            };
            let records = self.records.entry(project.clone()).or_default();
            if records.insert(at, written).is_some() {
                self.given_twice.push((project.clone(), at));
            }
            if !self.is_master {
                let lost = self.lost.entry(project.clone()).or_default();
                lost.insert(at);
            }
        }
    }

    /// Another server takes over, which has a line up to `after`.
    pub(super) fn replaced(
        &mut self,
        project: &ProjectName,
        end: Option<Cursor>,
        after: Option<Cursor>,
    ) {
        match (end, after) {
            (Some(end), None) => {
                self.emptied.entry(project.clone()).or_insert(end);
            }
            (end, after) => {
                self.lose(project, end, after);
            }
        }
    }

    pub(super) fn seeded(&mut self, from: u64, project: &ProjectName, covers: Option<Cursor>) {
        let end = self.emptied.remove(project);
        let line = self.line(project, covers);
        let earlier = self.lost.get(project);
        let revives = earlier.is_some_and(|lost| line.iter().any(|at| lost.contains(at)));
        let lost = self.lose(project, end, covers);
        let asked = self.asked.get(&(from, project.clone()));
        self.seedings.push(Seeding {
            project: project.clone(),
            from,
            covers,
            standing: asked.cloned().unwrap_or_default(),
            lost,
            revives,
        });
    }

    fn lose(
        &mut self,
        project: &ProjectName,
        end: Option<Cursor>,
        after: Option<Cursor>,
    ) -> Vec<Cursor> {
        let kept: BTreeSet<Cursor> = self.line(project, after).into_iter().collect();
        let line = self.line(project, end).into_iter();
        let gone: Vec<Cursor> = line.filter(|at| !kept.contains(at)).collect();
        if !gone.is_empty() {
            let lost = self.lost.entry(project.clone()).or_default();
            lost.extend(gone.iter().copied());
        }
        gone
    }
}
