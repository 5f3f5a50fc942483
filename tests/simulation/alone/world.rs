//! A run: the real engine, driver core and journal, on a simulated disk, clock and network.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cli_coordinator::driver::ConnectionId;
use cli_coordinator::driver::core::{Core, CoreConfig, CoreOutput, Moment};
use cli_coordinator::driver::recover::recover;
use cli_coordinator::driver::secret::Entropy;
use cli_coordinator::engine::command::LostReason;
use cli_coordinator::engine::ids::{Position, ProjectName};
use cli_coordinator::journal::sim_disk::SimDisk;
use cli_coordinator::journal::{Entry, Journal, JournalError, Record, SegmentJournal, Snapshot};
use cli_coordinator::metrics::Metrics;
use cli_coordinator::protocol::admin::ServerBackupResult;

use super::client::Client;
use super::network::Wire;
use super::replies::AllPromises;
use super::settings::Settings;
use super::shadow::{Proposed, Shadow};
use crate::simulation::chance::{Chance, Trace};
use crate::simulation::violation::{Checked, Invariant, broken, ensure};

/// What is counted when the journal refuses an append for want of room.
pub(crate) const DISK_FULL: &str = "disk full";

/// What the journal's thread has to do.
#[derive(Debug)]
pub(crate) enum Job {
    Append(Vec<Entry>, Proposed),
    Snapshots(Vec<Snapshot>, Position),
    Backup(u64),
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) settings: Settings,
    pub(crate) trace: Trace,
    pub(crate) disk: SimDisk,
    /// `None` only while it is being opened.
    pub(crate) journal: Option<SegmentJournal>,
    pub(crate) core: Core,
    pub(crate) jobs: VecDeque<Job>,
    /// Durable, not yet applied by the core.
    pub(crate) unapplied: usize,
    pub(crate) clients: Vec<Client>,
    pub(crate) wires: BTreeMap<ConnectionId, Wire>,
    pub(crate) shadows: BTreeMap<ProjectName, Shadow>,
    pub(crate) promises: AllPromises,
    pub(crate) now: Moment,
    /// Uptime that counts: of every jump, no more than one step.
    pub(crate) uptime_us: u64,
    /// The uptime when the core last had nothing to send off.
    idle_us: u64,
    pub(crate) wall_ms: u64,
    metrics: Metrics,
    lives: u32,
    /// How often what happened.
    pub(crate) seen: BTreeMap<String, u64>,
}

fn core_config(settings: &Settings, lives: u32) -> CoreConfig {
    CoreConfig {
        node: format!("sim-{lives}").parse().expect("a node id"),
        environment: "testing".to_owned(),
        port_fingerprint: "0123456789abcdef".parse().expect("a fingerprint"),
        journal: "embedded",
        version: "0",
        message_bytes_max: 1 << 20,
        record_bytes_max: settings.journal.record_bytes_max,
        grace_ms: 2_000,
        engine: settings.engine.clone(),
        driver: settings.driver.clone(),
        sharing: None,
    }
}

impl World {
    pub(crate) fn new(seed: u64, metrics: &Metrics, printed: bool) -> Self {
        let mut chance = Chance::new(seed);
        let settings = Settings::of(seed);
        let disk = SimDisk::new(seed);
        let (journal, _) = SegmentJournal::open(Arc::new(disk.clone()), settings.journal.clone())
            .expect("an empty disk without faults opens");
        let config = core_config(&settings, 0);
        let entropy = entropy(&mut chance);
        let status = journal.status();
        let core = Core::new(
            config,
            entropy,
            metrics.clone(),
            BTreeMap::new(),
            status,
            Moment(0),
        );
        let clients = Client::all(&mut chance);
        let mut world = Self {
            chance,
            settings,
            trace: Trace::new(printed),
            disk,
            journal: Some(journal),
            core,
            jobs: VecDeque::new(),
            unapplied: 0,
            clients,
            wires: BTreeMap::new(),
            shadows: BTreeMap::new(),
            promises: AllPromises::new(),
            now: Moment(0),
            uptime_us: 0,
            idle_us: 0,
            wall_ms: 0,
            metrics: metrics.clone(),
            lives: 0,
            seen: BTreeMap::new(),
        };
        world.core.start(world.now, None);
        world.pump();
        world
    }

    /// Counts something that the runs are meant to reach.
    pub(crate) fn saw(&mut self, what: &str) {
        if let Some(count) = self.seen.get_mut(what) {
            *count += 1;
        } else {
            self.seen.insert(what.to_owned(), 1);
        }
    }

    /// Takes the core's effects.
    pub(crate) fn pump(&mut self) {
        let idle_us = self.idle_us;
        while let Some(output) = self.core.poll_output() {
            match output {
                CoreOutput::Append(entries) => {
                    let proposed = Proposed {
                        from_us: idle_us,
                        to_us: self.uptime_us,
                    };
                    self.jobs.push_back(Job::Append(entries, proposed));
                }
                CoreOutput::Snapshots { snapshots, floor } => {
                    self.jobs.push_back(Job::Snapshots(snapshots, floor));
                }
                CoreOutput::Backup { request, .. } => self.jobs.push_back(Job::Backup(request)),
                CoreOutput::Wake(_) => {}
                CoreOutput::Follow(_)
                | CoreOutput::StreamAppend { .. }
                | CoreOutput::StreamSnapshot { .. } => {
                    unreachable!("the journal is not shared")
                }
                CoreOutput::Close(id) => {
                    if let Some(wire) = self.wires.get_mut(&id) {
                        wire.closing = true;
                    }
                }
            }
        }
        let on_the_way = self.jobs.iter().map(|job| match job {
            Job::Append(entries, _) => entries.len(),
            _ => 0,
        });
        if self.core.load().commands as usize == on_the_way.sum::<usize>() + self.unapplied {
            self.idle_us = self.uptime_us;
        }
    }

    /// Time passes. Of a large jump only one step counts.
    pub(crate) fn pass_us(&mut self, us: u64) {
        self.now = Moment(self.now.0 + us);
        self.uptime_us += us.min(self.settings.engine.clock_step_ms_max * 1_000);
        self.wall_ms = self.wall_ms.wrapping_add(us / 1_000);
        self.trace.note("time", &us.to_le_bytes());
    }

    pub(crate) fn tick(&mut self) {
        self.core.tick(self.now);
        self.pump();
    }

    /// The journal does one job. `false`: the medium failed, and the process ends.
    pub(crate) fn work(&mut self) -> Result<bool, crate::simulation::violation::Violation> {
        let Some(mut job) = self.jobs.pop_front() else {
            return Ok(true);
        };
        let Some(journal) = &mut self.journal else {
            return Ok(false);
        };
        match &mut job {
            Job::Append(entries, proposed) => {
                let (result, status) = (journal.append(entries), journal.status());
                match result {
                    Ok(positions) => {
                        self.trace
                            .note("appended", &(positions.len() as u64).to_le_bytes());
                        let (entries, proposed) = (std::mem::take(entries), *proposed);
                        for (entry, position) in entries.iter().zip(&positions) {
                            self.observe(&entry.project, *position, entry, proposed)?;
                        }
                        self.unapplied += entries.len();
                        self.core.synced(&positions, status);
                    }
                    Err(JournalError::Full { .. }) => {
                        self.trace.note("full", &[]);
                        self.saw(DISK_FULL);
                        self.core.append_refused(self.now, status);
                    }
                    Err(_) => {
                        // What of it got through, recovery finds out.
                        self.jobs.push_front(job);
                        return Ok(false);
                    }
                }
            }
            Job::Snapshots(snapshots, floor) => {
                let mut saved = Vec::new();
                let mut failure = None;
                for snapshot in snapshots.iter() {
                    match journal.save_snapshot(snapshot) {
                        Ok(()) => saved.push((snapshot.project.clone(), snapshot.position)),
                        Err(error) => failure = Some(error),
                    }
                }
                if failure.is_none() {
                    failure = journal.trim(*floor).err();
                }
                self.trace
                    .note("snapshots", &(saved.len() as u64).to_le_bytes());
                let status = journal.status();
                if failure.is_some_and(|error| !matches!(error, JournalError::Full { .. })) {
                    return Ok(false);
                }
                *self.seen.entry("snapshots".to_owned()).or_default() += 1;
                self.core.snapshots_saved(&saved, status);
            }
            Job::Backup(request) => {
                let written = ServerBackupResult {
                    path: "backup".to_owned(),
                    bytes: 1,
                    records: 1,
                };
                let fails = self.chance.one_in(2);
                let result = if fails {
                    Err("no room for it".to_owned())
                } else {
                    Ok(written)
                };
                self.core.backup_done(self.now, *request, result);
            }
        }
        self.pump();
        Ok(true)
    }

    /// The core applies what is durable.
    pub(crate) fn apply(&mut self) -> Checked {
        if self.unapplied == 0 {
            return Ok(());
        }
        self.unapplied = 0;
        self.core.apply_synced(self.now);
        self.pump();
        for (name, engine) in self.core.engines() {
            let position = engine.state().position;
            let Some(shadow) = self.shadows.get(name) else {
                ensure(position.0 == 0, Invariant::Deterministic, || {
                    format!("{name} came from nothing")
                })?;
                continue;
            };
            ensure(
                engine.state() == shadow.engine.state(),
                Invariant::Deterministic,
                || {
                    format!(
                        "{name}: live state and fold differ at {position} and {}",
                        shadow.position()
                    )
                },
            )?;
        }
        Ok(())
    }

    fn observe(
        &mut self,
        project: &ProjectName,
        position: Position,
        entry: &Entry,
        proposed: Proposed,
    ) -> Checked {
        let limits = &self.settings.engine;
        let shadow = self
            .shadows
            .entry(project.clone())
            .or_insert_with(|| Shadow::new(limits));
        shadow.observe(position, entry.at_ms, &entry.body, proposed)
    }

    /// The process ends, with the power or without, and starts again on what is on the disk.
    pub(crate) fn restart(&mut self, power: bool) -> Checked {
        self.trace.note("restart", &[u8::from(power)]);
        self.saw(if power { "power cut" } else { "process end" });
        let connections: Vec<ConnectionId> = self.wires.keys().copied().collect();
        for id in connections {
            self.forget_wire(id);
        }
        self.journal = None;
        if power {
            self.disk = self.disk.crash();
        }
        let (mut journal, tries) = self.reopen()?;
        self.trace.note("opened", &[tries]);
        let recovered = match recover(&mut journal, &self.settings.engine) {
            Ok(recovered) => recovered,
            Err(error) => return broken(Invariant::Recovers, format!("{error}: {error:?}")),
        };
        self.check_found(&mut journal)?;
        for (name, (engine, _)) in &recovered.engines {
            let Some(shadow) = self.shadows.get(name) else {
                return broken(Invariant::Durable, format!("{name} came from nothing"));
            };
            ensure(engine.is_consistent(), Invariant::Consistent, || {
                format!("{name} after recovery")
            })?;
            ensure(
                engine.state() == shadow.engine.state(),
                Invariant::Deterministic,
                || {
                    let (found, fold) = (engine.state().position, shadow.position());
                    format!("{name}: recovered state at {found} and fold at {fold} differ")
                },
            )?;
        }
        for (name, shadow) in &self.shadows {
            let found = recovered.engines.contains_key(name) || shadow.position().0 == 0;
            ensure(found, Invariant::Durable, || format!("{name} is gone"))?;
        }
        for (name, promises) in &self.promises {
            if let Some(shadow) = self.shadows.get(name) {
                promises.check(shadow.engine.state())?;
            }
        }
        self.lives += 1;
        let config = core_config(&self.settings, self.lives);
        let entropy = entropy(&mut self.chance);
        let status = journal.status();
        self.core = Core::new(
            config,
            entropy,
            self.metrics.clone(),
            recovered.engines,
            status,
            self.now,
        );
        self.journal = Some(journal);
        self.jobs.clear();
        self.unapplied = 0;
        self.idle_us = self.uptime_us;
        self.core.start(self.now, None);
        self.pump();
        Ok(())
    }

    /// Opens the journal, again if the medium fails while it does.
    fn reopen(&mut self) -> Result<(SegmentJournal, u8), crate::simulation::violation::Violation> {
        for tries in 1..=20 {
            let opened =
                SegmentJournal::open(Arc::new(self.disk.clone()), self.settings.journal.clone());
            match opened {
                Ok((journal, _)) => return Ok((journal, tries)),
                Err(JournalError::Io { .. } | JournalError::Full { .. }) => {
                    // It is tried again, with what the cache has or after a power cut.
                    if self.disk.is_off() || self.chance.one_in(2) {
                        self.disk = self.disk.crash();
                    }
                }
                Err(error) => return broken(Invariant::Recovers, format!("{error}")),
            }
        }
        broken(Invariant::Recovers, "the journal does not open")
    }

    /// What the journal holds beyond what was acknowledged is a beginning of what was on its way.
    fn check_found(&mut self, journal: &mut SegmentJournal) -> Checked {
        let known = self
            .shadows
            .values()
            .map(Shadow::position)
            .max()
            .unwrap_or_default();
        let mut found: Vec<Record> = Vec::new();
        let read = journal.read(known, &mut |record| {
            found.push(record);
            std::ops::ControlFlow::Continue(())
        });
        if let Err(error) = read {
            return broken(Invariant::Recovers, format!("{error}"));
        }
        let on_the_way = self.jobs.iter().find_map(|job| match job {
            Job::Append(entries, proposed) => Some((entries.clone(), *proposed)),
            _ => None,
        });
        if !found.is_empty() {
            *self
                .seen
                .entry("unacknowledged but durable".to_owned())
                .or_default() += 1;
        }
        let (entries, proposed) = on_the_way.unwrap_or((
            Vec::new(),
            Proposed {
                from_us: 0,
                to_us: 0,
            },
        ));
        for (index, record) in found.iter().enumerate() {
            let same = entries.get(index).is_some_and(|entry| {
                entry.project == record.project
                    && entry.at_ms == record.at_ms
                    && entry.body == record.body
            });
            ensure(same, Invariant::Durable, || {
                format!("record {} was never proposed", record.position)
            })?;
        }
        for (record, entry) in found.iter().zip(&entries) {
            self.observe(&record.project, record.position, entry, proposed)?;
        }
        Ok(())
    }

    /// A connection ends on the client's side; what it left unanswered is asked again later.
    pub(crate) fn forget_wire(&mut self, id: ConnectionId) {
        let Some(wire) = self.wires.remove(&id) else {
            return;
        };
        let client = &mut self.clients[wire.client];
        client.connection = None;
        client.session = None;
        let unanswered = wire.asked.into_values();
        let repeatable = unanswered.filter(|asked| asked.params.get("request_id").is_some());
        client.again = repeatable
            .map(|asked| (asked.method, asked.params))
            .collect();
    }

    pub(crate) fn disconnect(&mut self, id: ConnectionId) {
        self.trace.note("disconnect", &id.0.to_le_bytes());
        self.forget_wire(id);
        self.core
            .disconnect(self.now, id, LostReason::ConnectionLost);
        self.pump();
    }
}

fn entropy(chance: &mut Chance) -> Entropy {
    let mut own = Chance::new(chance.next_u64());
    Entropy(Box::new(move || own.bytes()))
}
