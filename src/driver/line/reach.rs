//! Whether the store is reachable, and what that means for requests that arrive or wait.

use super::{Arrival, OtherWriters, Reach};
use crate::driver::admit::storage_full;
use crate::driver::connection::Connection;
use crate::driver::core::{Core, Moment};
use crate::driver::propose::Proposed;
use crate::driver::wake::Wakes;
use crate::engine::command::Action;
use crate::engine::ids::AgentName;
use crate::engine::ids::ProjectName;
use crate::engine::outcome::Refusal;
use crate::planted::{Bug, is_on};
use crate::protocol::error::{ErrorKind, RpcError};

impl Core {
    /// The line is established and was read up to the tail that establishing found.
    pub fn line_up(&mut self, now: Moment, project: &ProjectName) {
        // First of all: everything below must look at the rebuilt state. Refusing, reconciling and waking by the old
        // one would answer from records that the store lost.
        self.take_rebuilt(now, project);
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        // The time without the store does not count in journal time. No agent could renew or complete anything
        // then, so counting it would let their leases expire.
        let stands = !is_on(Bug::OutageCounts);
        if stands {
            known.stand_at(now);
        }
        let reading = known.engine.now();
        if let Some(line) = known.line.as_mut() {
            // Commands whose append was refused are in the batch again. If the stream showed one after all, its record
            // has answered it. Sent again, it would take effect twice.
            let waits = |proposed: &Proposed| self.pending.contains_key(&proposed.sequence);
            line.batch.retain(waits);
            if line.batch.is_empty() {
                line.refused_since = None;
            }
            // The waiting commands get the time of the newest record that was known when they were proposed. A
            // reading that counted the outage would advance journal time by it. The same time also says how old a
            // request is.
            for proposed in line.batch.iter_mut().filter(|_| stands) {
                proposed.at_ms = proposed.behind.at_ms.min(reading).after_ms(1);
            }
            line.reach = Reach::Up { answered: now };
            line.epochs += 1;
        }
        self.line_is_up(project);
        // Before anything is woken or sent: an overtaken request that goes to the store could take effect twice.
        self.refuse_overtaken(now, project);
        // The system project may have gained projects meanwhile; each needs a line of its own.
        if *project == self.system {
            self.follow_all_projects(now);
        }
        self.reconcile_sessions(now, project);
        // No parked request was woken while the line was down, whatever was freed then, so all are looked at now.
        let known = self.projects.get(project);
        let all = known.map_or_else(Wakes::default, |known| Wakes::all(&known.waiters));
        self.wake_parked(now, project, &all);
        // Deadlines and heartbeats that were due meanwhile. Ticking also sends the batch.
        self.tick(now);
    }

    /// Refuses requests that waited for the store so long that their agent may have repeated them at another
    /// coordinator, and that coordinator's answer may be forgotten already. A record that was sent carries its
    /// time, so the engine can tell how late it is. For a request that waited here it cannot: in journal time an
    /// outage is short.
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
        let parked = known.waiters.iter().filter(|(_, parked)| {
            let by = self
                .connections
                .get(&parked.connection)
                .map(Connection::actor);
            let forgotten = by.is_some_and(|by| engine.may_have_forgotten(&by, went_down));
            parked.request_id.is_some() && forgotten
        });
        let parked: Vec<u64> = parked.map(|(order, _)| order).collect();
        for proposed in overtaken {
            self.fail_proposed(now, proposed, &Refusal::Overtaken.into());
        }
        for order in parked {
            self.refuse_parked(now, project, order, Refusal::Overtaken);
        }
    }

    /// The store became unreachable. [`Core::append_failed`] answers the append under way.
    pub fn line_down(&mut self, now: Moment, project: &ProjectName) {
        // Apply what is complete before the rest is dropped: it is durable, and its requests get their real answers.
        // An unreadable record is reported when it is read again.
        let _ = self.apply_arrivals(now, project);
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        let newest = known.engine.newest();
        let Some(line) = known.line.as_mut() else {
            return;
        };
        // No answer will say whether a snapshot under way was kept, so it counts as failed.
        line.snapshots.failed(now);
        line.full = None;
        // Who writes is not known again before the next append is answered. Assume that other coordinators do.
        line.company = OtherWriters::Coordinators;
        // Only the first time: while the line is down, failed connections must not restart the wait of requests.
        if line.is_up() {
            line.reach = Reach::Down { since: now };
            line.went_down = newest;
        }
        line.rebuilding = None;
        // These records wait behind a hole. The stream shows them again if it has them. Until then their outcome is
        // unknown, so their requests are answered so.
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

    /// The store answered, with success or with a refusal.
    pub fn answered(&mut self, now: Moment, project: &ProjectName) {
        if let Some(line) = self.line_mut(project)
            && let Reach::Up { answered } = &mut line.reach
        {
            *answered = now;
        }
    }

    /// Refuses commands that the store could not take now, and commands that other nodes could not read.
    pub(in crate::driver) fn line_takes(
        &self,
        now: Moment,
        project: &ProjectName,
        by: &AgentName,
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
        if action.format_by(by) > known.engine.command_format(sharing.command_format) {
            let message = format!(
                "{} works only after every coordinator of the project is upgraded",
                action.name()
            );
            return Err(RpcError::new(ErrorKind::Unavailable, message));
        }
        Ok(())
    }

    /// Time has passed: appends heartbeats that are due, and answers commands that waited too long for the store.
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

    /// When `tick_lines` next has something to do.
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
