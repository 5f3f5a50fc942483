//! The state that the surviving line of a project comes to, and what the line itself must be like.

use std::collections::{BTreeMap, BTreeSet};

use cli_coordinator::engine::Engine;
use cli_coordinator::engine::command::{Action, Command};
use cli_coordinator::engine::ids::{Cursor, Epoch, Position, ProjectName};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::{Answer, Outcome};
use cli_coordinator::journal::shared::sim_store::{Chronicle, Written};
use cli_coordinator::journal::shared::{end_of, number_of};
use cli_coordinator::protocol::events::EventView;
use serde_json::{Value, json};

use super::client::Story;
use super::judge::Outage;
use crate::simulation::rules;
use crate::simulation::violation::{Checked, Invariant, broken, ensure};

/// By how much a reading of a clock in milliseconds may seem to be ahead.
const READING_US_MAX: u64 = 2_000;

fn essence(answer: &Answer) -> Option<String> {
    Some(match answer.as_ref().ok()? {
        Outcome::Claimed(None) => return None,
        Outcome::Submitted(tasks) => format!("task {}", tasks.first()?.task),
        Outcome::Claimed(Some(grant)) => format!("attempt {} {}", grant.task, grant.fence),
        Outcome::Lease(grant) => format!("lease {} {}", grant.lease, grant.fence),
        Outcome::Context { revision } => format!("revision {revision}"),
        _ => "done".to_owned(),
    })
}

/// The state that a line comes to, and what happened on the way.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) engine: Engine,
    pub(super) at: Cursor,
    pub(super) count: usize,
    events: Vec<(Position, Value)>,
    /// What each agent's requests came to.
    pub(super) answers: BTreeMap<(String, String), BTreeSet<String>>,
    /// Where in the line each of them was first answered.
    pub(super) answered_at: BTreeMap<(String, String), Position>,
    commands: BTreeSet<String>,
    runs: BTreeMap<Epoch, u64>,
}

impl Fold {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            engine: Engine::new(limits.clone()),
            at: Cursor::default(),
            count: 0,
            events: Vec::new(),
            answers: BTreeMap::new(),
            answered_at: BTreeMap::new(),
            commands: BTreeSet::new(),
            runs: BTreeMap::new(),
        }
    }

    /// Takes in what has come to a line since; if it is another line, all of it.
    pub(super) fn follow(
        &mut self,
        limits: &Limits,
        line: &[Written],
        time: &Time,
        strict: bool,
    ) -> Checked {
        let known = self.count.checked_sub(1).and_then(|last| line.get(last));
        if self.count > 0 && known.is_none_or(|written| written.at != self.at) {
            *self = Self::new(limits);
        }
        let known = self.count;
        for written in line.iter().skip(known) {
            self.take(written, time, strict)?;
        }
        Ok(())
    }

    fn take(&mut self, written: &Written, time: &Time, strict: bool) -> Checked {
        let at = written.at;
        let Ok(command) = serde_json::from_slice::<Command>(&written.body) else {
            return broken(Invariant::Same, format!("record {at} does not read back"));
        };
        self.check_place(written, &command)?;
        let repeated = match (&command.request_id, command.by.agent()) {
            (Some(id), Some(_)) => {
                let known = self.engine.remembered(&command.by, id, &command.action);
                known.is_some()
            }
            _ => false,
        };
        let before = strict.then(|| self.engine.state().clone());
        let applied = self.engine.apply(at.position, written.at_ms, &command);
        if let Some(event) = &applied.event {
            let view = EventView::of(at.epoch, event);
            let view = json!([view.at_ms, view.changes]);
            self.events.push((at.position, view));
        }
        let id = command.request_id.as_ref().map(ToString::to_string);
        if let (Some(id), Some(agent)) = (id, command.by.agent())
            && let Some(essence) = essence(&applied.answer)
        {
            let key = (agent.to_string(), id);
            self.answered_at.entry(key.clone()).or_insert(at.position);
            let answers = self.answers.entry(key.clone()).or_default();
            answers.insert(essence);
            ensure(answers.len() == 1 || !strict, Invariant::Once, || {
                format!("{key:?} had more than one effect: {answers:?}")
            })?;
        }
        self.at = at;
        self.count += 1;
        let Some(before) = before else { return Ok(()) };
        rules::check(&rules::Step {
            before: &before,
            after: self.engine.state(),
            command: &command,
            answer: &applied.answer,
            event: applied.event.as_deref(),
            repeated,
        })?;
        rules::check_limits(&self.engine)?;
        let (now, most_us) = (self.engine.now(), time.allowed_us(written.at_us));
        ensure(
            now.0 * 1_000 <= most_us + READING_US_MAX,
            Invariant::TimeProof,
            || format!("journal time is {now} after {most_us} us that count"),
        )
    }

    fn check_place(&mut self, written: &Written, command: &Command) -> Checked {
        let at = written.at;
        let (number, before) = (number_of(at.position), number_of(self.at.position));
        let (is_next, ended) = (
            at.position.0 == self.at.position.0 + 1,
            self.at.position == end_of(before),
        );
        ensure(
            (number == before + 1 && ended) || (number == before && is_next),
            Invariant::OneLine,
            || format!("{at} stands behind {}", self.at),
        )?;
        let opens = match &command.action {
            Action::EpochStart(start) => start.epoch == at.epoch,
            _ => false,
        };
        ensure(
            at.epoch == self.at.epoch || opens,
            Invariant::OneLine,
            || format!("epoch {} has no marker", at.epoch),
        )?;
        let run = *self.runs.entry(at.epoch).or_insert(written.run);
        ensure(run == written.run, Invariant::OneLine, || {
            format!(
                "{at} was written in run {}, its epoch begun in {run}",
                written.run
            )
        })?;
        ensure(
            self.commands.insert(command.id.to_string()),
            Invariant::Once,
            || format!("command {} was carried out twice", command.id),
        )
    }

    pub(super) fn events_after(&self, from: Position) -> &[(Position, Value)] {
        let first = self.events.partition_point(|(at, _)| *at <= from);
        &self.events[first..]
    }

    /// Whether what was heard is what this line has, without a gap; `all`: to its end.
    pub(super) fn tells(&self, story: &Story, all: bool) -> bool {
        let events = self.events_after(story.from.position);
        let heard = story.heard.len();
        let same = |((at, event), (cursor, heard)): (&(Position, Value), &(Cursor, Value))| {
            *at == cursor.position && event == heard
        };
        let fits = if all {
            events.len() == heard
        } else {
            events.len() >= heard
        };
        fits && events.iter().zip(&story.heard).all(same)
    }
}

/// How much time may have passed for the journal.
pub(super) struct Time {
    pub(super) outages: Vec<Outage>,
    pub(super) jumped_us: u64,
}

impl Time {
    fn allowed_us(&self, at_us: u64) -> u64 {
        let without = self
            .outages
            .iter()
            .map(|outage| outage.to_us.min(at_us).saturating_sub(outage.from_us));
        at_us + self.jumped_us - without.sum::<u64>()
    }
}

pub(super) fn line_of(
    chronicle: &Chronicle,
    project: &ProjectName,
    end: Option<Cursor>,
) -> Vec<Written> {
    let line = chronicle.line(project, end).into_iter();
    line.filter_map(|at| chronicle.written(project, at).cloned())
        .collect()
}
