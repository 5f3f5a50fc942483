//! What a line that is not up waits for, and what that means for the coordinator. A transitional state, which
//! ends by itself, must not be reported as a failure.

use super::Line;
use crate::driver::core::{Core, Moment};
use crate::engine::ids::ProjectName;
use crate::journal::shared::Stage;
use crate::protocol::error::{ErrorKind, RpcError};

/// How far a line that is not up has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineProgress {
    step: LineStep,
    since: Moment,
    /// It was up before.
    was_up: bool,
    /// The project was added while the coordinator was already serving others, which do not wait for it.
    late: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineStep {
    At(Stage),
    Lost(Loss),
}

/// Why a line has no usable store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The store has just started and is loading its data.
    Loading,
    /// The store cannot be reached, or does not serve this coordinator.
    OutOfReach,
}

/// Whether the coordinator takes work, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Ready,
    /// It has not served since its start and is still starting.
    Starting,
    /// It served, lost its journal, and is reconnecting to it.
    Recovering,
    JournalUnreachable,
    StorageFull,
    Draining,
}

/// The condition of the coordinator, and what it waits for. It names no project, because it is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    pub condition: Condition,
    /// In a transitional state: its stage, and the same as a text.
    pub waiting_for: Option<(&'static str, String)>,
    /// When to ask again, if that is known.
    pub retry_after_ms: Option<u64>,
}

impl LineProgress {
    pub(super) fn new(now: Moment, late: bool) -> Self {
        Self {
            step: LineStep::At(Stage::Connecting),
            since: now,
            was_up: false,
            late,
        }
    }

    fn is_lost(self) -> bool {
        self.step == LineStep::Lost(Loss::OutOfReach)
    }

    /// Whether the coordinator as a whole waits for this line.
    fn holds_up(self) -> bool {
        !self.late || self.was_up || self.is_lost()
    }

    fn left_ms(self, now: Moment) -> Option<u64> {
        let LineStep::At(
            Stage::AwaitingOthers { milliseconds } | Stage::AwaitingSeeder { milliseconds },
        ) = self.step
        else {
            return None;
        };
        Some(milliseconds.saturating_sub(now.since_us(self.since) / 1_000))
    }

    /// The stage as a word for programs.
    fn stage(self) -> &'static str {
        match self.step {
            LineStep::At(Stage::Connecting) => "connecting",
            LineStep::At(Stage::Looking) => "establishing",
            LineStep::At(Stage::AwaitingOthers { .. }) => "awaiting_others",
            LineStep::At(Stage::AwaitingSeeder { .. }) => "awaiting_seeder",
            LineStep::At(Stage::CatchingUp) => "catching_up",
            LineStep::Lost(Loss::Loading) => "store_loading",
            LineStep::Lost(Loss::OutOfReach) => "out_of_reach",
        }
    }

    /// The stage as a text for people; `journal` is the name of the journal in it.
    fn text(self, now: Moment, journal: &str) -> String {
        let seconds = self.left_ms(now).unwrap_or(0).div_ceil(1_000);
        match self.step {
            LineStep::At(Stage::Connecting) => format!("connecting to {journal}"),
            LineStep::At(Stage::Looking) => format!("establishing {journal}"),
            LineStep::At(Stage::AwaitingOthers { .. }) => format!(
                "establishing {journal}: the store is empty, waiting {seconds} s for coordinators with more records"
            ),
            LineStep::At(Stage::AwaitingSeeder { .. }) => format!(
                "establishing {journal}: the store is empty, waiting at most {seconds} s for the coordinator \
                 with the most records to fill it"
            ),
            LineStep::At(Stage::CatchingUp) => format!("reading {journal}"),
            LineStep::Lost(Loss::Loading) => {
                format!("waiting for the store of {journal} to load its data")
            }
            LineStep::Lost(Loss::OutOfReach) => format!("{journal} cannot be reached"),
        }
    }
}

impl Core {
    /// A line that is not up has reached this stage.
    pub fn line_reached(&mut self, now: Moment, project: &ProjectName, stage: Stage) {
        if let Some(line) = self.line_mut(project) {
            line.progress.step = LineStep::At(stage);
            line.progress.since = now;
        }
    }

    /// A line's connection ended. `None`: the line reconnects at once, and nothing is known to be wrong with the
    /// store.
    pub fn line_lost(&mut self, project: &ProjectName, loss: Option<Loss>) {
        if let Some(line) = self.line_mut(project) {
            line.progress.step = loss.map_or(LineStep::At(Stage::Looking), LineStep::Lost);
        }
    }

    pub(super) fn line_is_up(&mut self, project: &ProjectName) {
        if let Some(line) = self.line_mut(project) {
            line.progress.was_up = true;
        }
    }

    /// The coordinator serves from now on. Projects that are added later delay no other project.
    pub fn begin_serving(&mut self) {
        self.serving = true;
    }

    /// The condition of the coordinator, and what it waits for.
    pub fn readiness(&self, now: Moment) -> Readiness {
        let lines = self.projects.values().filter_map(|p| p.line.as_ref());
        let down = lines.filter(|line| !line.is_up() && line.progress.holds_up());
        // An unreachable store may need the operator, so it is reported before states that end by themselves.
        let worst = down
            .map(|line| line.progress)
            .max_by_key(|progress| (progress.is_lost(), progress.was_up, progress.left_ms(now)));
        let condition = match worst {
            _ if self.draining => Condition::Draining,
            Some(progress) if progress.is_lost() => Condition::JournalUnreachable,
            Some(_) if self.serving => Condition::Recovering,
            Some(_) => Condition::Starting,
            None if self.storage_full() => Condition::StorageFull,
            None if self.config.sharing.is_some() && !self.serving => Condition::Starting,
            None => Condition::Ready,
        };
        let passes = matches!(condition, Condition::Starting | Condition::Recovering);
        let progress = worst.filter(|_| passes);
        let waiting_for = match progress {
            Some(progress) => Some((progress.stage(), progress.text(now, "the shared journal"))),
            // All lines are up; the commands of the start are still under way.
            None if passes => Some(("finishing", "finishing the start".to_owned())),
            None => None,
        };
        let retry_after_ms = progress.map(|it| self.retry_after_ms(it, now));
        Readiness {
            condition,
            waiting_for,
            retry_after_ms: retry_after_ms.filter(|_| passes),
        }
    }

    /// What a project waits for, if its line is in a transitional state.
    pub(in crate::driver) fn project_waits_for(
        &self,
        now: Moment,
        project: &ProjectName,
    ) -> Option<String> {
        let line = self.line(project).filter(|line| !line.is_up())?;
        let progress = Some(line.progress).filter(|progress| !progress.is_lost())?;
        Some(progress.text(now, &format!("the journal of project {project}")))
    }

    fn retry_after_ms(&self, progress: LineProgress, now: Moment) -> u64 {
        let least = self.config.driver.retry_after_ms;
        progress.left_ms(now).unwrap_or(0).max(least)
    }

    /// The error for a request to a project whose line is not up. Nothing was changed.
    pub(in crate::driver) fn line_unavailable(
        &self,
        now: Moment,
        line: &Line,
        project: &ProjectName,
    ) -> RpcError {
        let progress = line.progress;
        let text = if progress.is_lost() {
            "the shared journal cannot be reached; nothing was changed".to_owned()
        } else {
            let journal = format!("the journal of project {project}");
            let waits = progress.text(now, &journal);
            let what = if self.serving {
                "not ready yet"
            } else {
                "starting"
            };
            format!("the coordinator is {what}: {waits}; nothing was changed")
        };
        let retry_after_ms = self.retry_after_ms(progress, now);
        RpcError::retry(ErrorKind::Unavailable, text, retry_after_ms)
    }
}

impl Condition {
    /// The word on the health pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Recovering => "recovering",
            Self::JournalUnreachable => "journal_unreachable",
            Self::StorageFull => "storage_full",
            Self::Draining => "draining",
        }
    }
}
