//! Whether the store is within reach, and what that means for those who ask and wait.

use super::{Arrival, Company, Reach};
use crate::driver::admit::storage_full;
use crate::driver::connection::Connection;
use crate::driver::core::{Core, Moment};
use crate::driver::propose::Proposed;
use crate::engine::command::Action;
use crate::engine::ids::ProjectName;
use crate::engine::outcome::Refusal;
#[cfg(feature = "planted-bugs")]
use crate::planted::{Bug, is_on as planted};
use crate::protocol::error::{ErrorKind, RpcError};

impl Core {
    /// The line is established and read up to where it ended then.
    pub fn line_up(&mut self, now: Moment, project: &ProjectName) {
        self.take_rebuilt(now, project);
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        // The time without the store does not count: nobody could renew or complete anything.
        #[cfg(feature = "planted-bugs")]
        let stands = !planted(Bug::OutageCounts);
        #[cfg(not(feature = "planted-bugs"))]
        let stands = true;
        if stands {
            known.stand_at(now);
        }
        let reading = known.engine.now();
        if let Some(line) = known.line.as_mut() {
            // Whatever the stream showed was answered by its record, though its append was said to be refused.
            let waits = |proposed: &Proposed| self.pending.contains_key(&proposed.sequence);
            line.batch.retain(waits);
            if line.batch.is_empty() {
                line.refused_since = None;
            }
            // Nor does it for what was proposed meanwhile, or before, and goes off only now: it bears
            // the time of what was known then, which tells when it was asked for as well.
            for proposed in line.batch.iter_mut().filter(|_| stands) {
                proposed.at_ms = proposed.behind.at_ms.min(reading).after_ms(1);
            }
            line.reach = Reach::Up { answered: now };
            line.epochs += 1;
        }
        self.line_is_up(project);
        self.refuse_overtaken(now, project);
        if *project == self.system {
            self.follow_all_projects(now);
        }
        self.reconcile_sessions(now, project);
        self.wake_parked(now, project, true, true);
        self.tick(now);
    }

    /// Refuses what waited for the store so long that its agent may have asked again elsewhere, and heard
    /// the answer. Those that were sent off know how late they are; in journal time, an outage is short.
    fn refuse_overtaken(&mut self, now: Moment, project: &ProjectName) {
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        let Some(line) = known.line.as_mut() else {
            return;
        };
        let (engine, went_down) = (&known.engine, line.went_down);
        let waiting = std::mem::take(&mut line.batch);
        let overtaken = |p: &Proposed| {
            p.command.request_id.is_some() && engine.may_have_forgotten(&p.command.by, p.behind)
        };
        let (overtaken, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(overtaken);
        line.batch = waiting.into();
        let parked = known.parked.iter().filter(|(_, parked)| {
            let by = self
                .connections
                .get(&parked.connection)
                .map(Connection::actor);
            let forgotten = by.is_some_and(|by| engine.may_have_forgotten(&by, went_down));
            parked.request_id.is_some() && forgotten
        });
        let parked: Vec<u64> = parked.map(|(order, _)| *order).collect();
        for proposed in overtaken {
            self.fail_proposed(now, proposed, &Refusal::Overtaken.into());
        }
        for order in parked {
            self.refuse_parked(now, project, order, Refusal::Overtaken);
        }
    }

    /// The store is out of reach. What is on its way is answered by [`Core::append_failed`].
    pub fn line_down(&mut self, now: Moment, project: &ProjectName) {
        // What makes a record unreadable is told when it is read again.
        let _ = self.apply_arrivals(now, project);
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        let newest = known.engine.newest();
        let Some(line) = known.line.as_mut() else {
            return;
        };
        // Whether a snapshot that was on its way is kept, nobody will hear.
        line.snapshots.failed(now);
        line.full = None;
        line.company = Company::Coordinators;
        if line.is_up() {
            line.reach = Reach::Down { since: now };
            line.went_down = newest;
        }
        line.rebuilding = None;
        // Those that wait for records before them: the stream shows again what it has of them.
        let waiting = std::mem::take(&mut line.arrivals);
        let unknown = self.outcome_unknown();
        for arrival in waiting.into_values() {
            let Arrival::Own(batch) = arrival else {
                continue;
            };
            for proposed in batch {
                self.fail_proposed(now, proposed, &unknown);
            }
        }
        self.flush();
    }

    fn follow_all_projects(&mut self, now: Moment) {
        let projects = self.system_engine().state().projects.keys();
        let projects: Vec<ProjectName> = projects.cloned().collect();
        for project in projects {
            self.ensure_project(&project, now);
        }
    }

    /// The store answered, whatever it said.
    pub fn answered(&mut self, now: Moment, project: &ProjectName) {
        if let Some(line) = self.line_mut(project)
            && let Reach::Up { answered } = &mut line.reach
        {
            *answered = now;
        }
    }

    /// Refuses what the store could not take now, and what other nodes would not understand.
    pub(in crate::driver) fn line_takes(
        &self,
        now: Moment,
        project: &ProjectName,
        action: &Action,
    ) -> Result<(), RpcError> {
        let (Some(sharing), Some(known)) = (&self.config.sharing, self.projects.get(project))
        else {
            return Ok(());
        };
        let Some(line) = &known.line else {
            return Ok(());
        };
        if line.gives_up_at(sharing).is_some_and(|at| at <= now) {
            return Err(self.line_unavailable(now, line, project));
        }
        if line.is_full() && action.begins_work() {
            return Err(storage_full());
        }
        if action.format() > known.engine.command_format(sharing.command_format) {
            let message = format!(
                "{} needs every coordinator of the project to be upgraded first",
                action.name()
            );
            return Err(RpcError::new(ErrorKind::Unavailable, message));
        }
        Ok(())
    }

    /// Lets time pass for the lines: those who wait too long are answered, signs of life are given.
    pub(in crate::driver) fn tick_lines(&mut self, now: Moment) {
        let Some(sharing) = self.config.sharing.clone() else {
            return;
        };
        let names: Vec<ProjectName> = self.projects.keys().cloned().collect();
        for name in names {
            self.beat(now, &name);
            let Some(line) = self.line(&name) else {
                continue;
            };
            let gone = self.line_unavailable(now, line, &name);
            let Some(line) = self.line_mut(&name) else {
                continue;
            };
            if line.full_until.is_some_and(|until| until <= now) {
                line.full_until = None;
            }
            if line.gives_up_at(&sharing).is_some_and(|at| at <= now) {
                for proposed in std::mem::take(&mut line.batch) {
                    self.fail_proposed(now, proposed, &gone);
                }
            }
        }
    }

    /// When `tick_lines` has something to do next.
    pub(in crate::driver) fn next_line_wakeup(&self) -> Option<Moment> {
        let sharing = self.config.sharing.as_ref()?;
        let due = self.projects.iter().filter_map(|(name, project)| {
            let line = project.line.as_ref()?;
            let waits = !line.batch.is_empty();
            let gives_up = line.gives_up_at(sharing).filter(|_| waits);
            let times = [gives_up, line.full_until, self.beat_due(name)];
            times.into_iter().flatten().min()
        });
        due.min()
    }
}
