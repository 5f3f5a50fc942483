//! The box, the network and time, around the client and the broker.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cli_coordinator::config::MqttVersion;
use cli_coordinator::driver::core::Moment;
use cli_coordinator::driver::history::{HistoryRead, Publisher};
use cli_coordinator::engine::ids::{Cursor, JournalTime, Position, ProjectName};
use cli_coordinator::metrics::Metrics;
use cli_coordinator::mqtt::client::{Client, Effect, End, Login, Setup};
use cli_coordinator::mqtt::face::{BoxIdentity, Face};
use cli_coordinator::mqtt::{Cursors, Source};
use cli_coordinator::protocol::events::EventView;

use super::broker::{Broker, Deed, Will};
use crate::simulation::chance::{Chance, Trace};
use crate::simulation::seeds::Report;
use crate::simulation::violation::{Checked, Invariant, Violation, ensure};

const ROOT: &str = "coord/v1/default/box";
const PROJECTS: [&str; 2] = ["default", "other"];
const KEEP_ALIVE_MS: u64 = 10_000;
/// Events that the history keeps of a project.
const KEPT: usize = 40;
const LATENCY_US: u64 = 3_000;
const CHAOS_MS: u64 = 900_000;
/// Longer than the longest pause, so that all comes to rest.
const CALM_MS: u64 = 1_300_000;
/// Connects of a box that is taken over again and again, in the whole of the chaos.
const CONNECTS_OF_CLONES_MAX: u64 = 14;

/// The history of the box, which survives its end.
#[derive(Debug, Default)]
struct History(RefCell<BTreeMap<ProjectName, (u64, VecDeque<u64>)>>);

impl History {
    fn add(&self, project: &str) {
        let mut projects = self.0.borrow_mut();
        let (last, kept) = projects.entry(project.parse().unwrap()).or_default();
        *last += 1;
        kept.push_back(*last);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    fn last(&self, project: &str) -> u64 {
        let projects = self.0.borrow();
        projects
            .get(&project.parse().unwrap())
            .map_or(0, |(last, _)| *last)
    }
}

fn cursor(position: u64) -> Cursor {
    Cursor {
        position: Position(position),
        ..Cursor::default()
    }
}

impl Source for History {
    fn condition(&self) -> &'static str {
        "ready"
    }

    fn health(&self) -> String {
        r#"{"v":1,"status":"ready"}"#.to_owned()
    }

    fn wall_ms(&self) -> Option<u64> {
        None
    }

    fn publisher(&self) -> Publisher {
        Publisher::This
    }

    fn projects(&self) -> Vec<ProjectName> {
        self.0.borrow().keys().cloned().collect()
    }

    fn end(&self, project: &ProjectName) -> Option<Cursor> {
        Some(cursor(self.last(project.as_str())))
    }

    fn read(&self, project: &ProjectName, after: Option<Cursor>, events_max: usize) -> HistoryRead {
        let projects = self.0.borrow();
        let Some((last, kept)) = projects.get(project) else {
            return HistoryRead::Events(Vec::new());
        };
        let forgotten = last - kept.len() as u64;
        let after = after.map_or(0, |cursor| cursor.position.0);
        if after < forgotten {
            let next = cursor(forgotten);
            let reason = "cursor_expired";
            return HistoryRead::Gap { next, reason };
        }
        let events = kept.iter().filter(|at| **at > after).take(events_max);
        let event = |at: &u64| EventView {
            cursor: cursor(*at),
            at_ms: JournalTime(*at),
            changes: Vec::new(),
        };
        HistoryRead::Events(events.map(event).collect())
    }

    fn count_after(&self, project: &ProjectName, after: Option<Cursor>) -> u64 {
        let last = self.last(project.as_str());
        last - after.map_or(0, |cursor| cursor.position.0)
    }
}

/// What happens at some time.
#[derive(Debug)]
enum Item {
    Dialled {
        dial: u64,
    },
    ToBroker {
        connection: u64,
        bytes: Vec<u8>,
    },
    ToBox {
        connection: u64,
        bytes: Vec<u8>,
    },
    /// The broker learns that the box ended a connection, and the other way round.
    EndAtBroker(u64),
    EndAtBox {
        connection: u64,
        end: End,
    },
    Will(Will),
    Event(usize),
    Mischief,
    BrokerUp,
    Unstall,
    KindAgain,
    Kick(u64),
    AskHealth,
    Restart,
}

impl Item {
    /// Packets are noted as they are: as text, they would take longer than all the rest.
    fn trace(&self, now: u64, trace: &mut Trace) {
        let (what, bytes) = match self {
            Self::ToBroker { connection, bytes } => (format!("to broker {connection}"), &bytes[..]),
            Self::ToBox { connection, bytes } => (format!("to box {connection}"), &bytes[..]),
            other => (format!("{other:?}"), &b""[..]),
        };
        trace.note(&format!("{now} {what}"), bytes);
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct World {
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Item>,
    chance: Chance,
    trace: Trace,
    history: History,
    broker: Broker,
    client: Option<Client>,
    version: MqttVersion,
    saved: Cursors,
    connection: Option<u64>,
    last_connection: u64,
    dial: Option<u64>,
    down: bool,
    stalled: bool,
    /// What the broker has not read yet.
    held: Vec<Item>,
    loses_acks: bool,
    clone: bool,
    calm: bool,
    connects: u64,
    /// Health messages before the last request.
    healths: u64,
}

pub(super) fn run(seed: u64, _: &Metrics, printed: bool) -> Result<Report, Violation> {
    let mut world = World::new(seed, printed);
    world.live(CHAOS_MS)?;
    let connects = world.connects;
    if world.clone {
        world.broker.reader.note("clone");
        ensure(
            connects <= CONNECTS_OF_CLONES_MAX,
            Invariant::Bounded,
            || format!("two boxes with one client id connected {connects} times in {CHAOS_MS} ms"),
        )?;
    }
    world.calm_down();
    world.live(CALM_MS)?;
    world.judge()?;
    Ok(Report {
        hash: world.trace.hash,
        seen: world.broker.reader.seen,
    })
}

impl World {
    fn new(seed: u64, printed: bool) -> Self {
        let mut chance = Chance::new(seed);
        let version = if chance.one_in(3) {
            MqttVersion::V311
        } else {
            MqttVersion::V5
        };
        let receive_max = 1 + u16::try_from(chance.below(20)).unwrap();
        let broker = Broker::new(receive_max, chance.one_in(3));
        let clone = chance.one_in(6);
        let mut world = Self {
            now: 0,
            order: 0,
            queue: BTreeMap::new(),
            chance,
            trace: Trace::new(printed),
            history: History::default(),
            broker,
            client: None,
            version,
            saved: Cursors::new(),
            connection: None,
            last_connection: 0,
            dial: None,
            down: false,
            stalled: false,
            held: Vec::new(),
            loses_acks: false,
            clone,
            calm: false,
            connects: 0,
            healths: 0,
        };
        world.start();
        world.later(1_000, Item::Event(0));
        if !clone {
            world.later(5_000, Item::Mischief);
        }
        world
    }

    fn later(&mut self, in_ms: u64, item: Item) {
        self.at(self.now + in_ms * 1_000, item);
    }

    fn at(&mut self, time: u64, item: Item) {
        self.order += 1;
        self.queue.insert((time, self.order), item);
    }

    /// Another run of the coordinator, with the cursors that the last one left.
    fn start(&mut self) {
        let run = format!("{:016x}", self.chance.next_u64());
        let setup = Setup {
            version: self.version,
            client_id: "coord-box".to_owned(),
            keep_alive: Duration::from_millis(KEEP_ALIVE_MS),
            health_interval: Duration::from_hours(1),
            events: true,
            face: Face::Fleet {
                identity: BoxIdentity {
                    run,
                    node: "box-1".to_owned(),
                    name: "box".to_owned(),
                    version: "0",
                    environment: "testing".to_owned(),
                },
                root: ROOT.to_owned(),
                health_interval_ms: 3_600_000,
            },
            announcements: Vec::new(),
        };
        let random = self.chance.next_u64();
        let login = Login::default();
        let client = Client::new(setup, login, self.saved.clone(), random, Moment(self.now));
        self.client = Some(client);
    }

    fn live(&mut self, for_ms: u64) -> Checked {
        let until = self.now + for_ms * 1_000;
        loop {
            self.settle();
            let wakeup = self.client.as_ref().map(|c| c.wakeup(Moment(self.now)).0);
            let next = self.queue.first_key_value().map(|((time, _), _)| *time);
            let time = wakeup.into_iter().chain(next).min().unwrap_or(until);
            if time >= until {
                self.now = until;
                return Ok(());
            }
            self.now = self.now.max(time);
            if next.is_some_and(|next| next <= self.now)
                && let Some((_, item)) = self.queue.pop_first()
            {
                self.happen(item)?;
            }
        }
    }

    /// Polls the client, and does what it asks for.
    fn settle(&mut self) {
        let Some(client) = &mut self.client else {
            return;
        };
        client.poll(Moment(self.now), &self.history);
        let mut effects = Vec::new();
        while let Some(effect) = client.next_effect() {
            effects.push(effect);
        }
        for effect in effects {
            match effect {
                Effect::Dial => {
                    self.last_connection += 1;
                    let dial = self.last_connection;
                    self.dial = Some(dial);
                    self.at(self.now + LATENCY_US, Item::Dialled { dial });
                }
                Effect::Send(bytes) => {
                    if let Some(connection) = self.connection {
                        let bytes = bytes.to_vec();
                        self.at(self.now + LATENCY_US, Item::ToBroker { connection, bytes });
                    }
                }
                Effect::Close { .. } => {
                    self.dial = None;
                    if let Some(connection) = self.connection.take() {
                        self.at(self.now + LATENCY_US, Item::EndAtBroker(connection));
                    }
                }
                Effect::Save { cursors, .. } => self.saved = cursors,
            }
        }
        if self.client.as_ref().is_some_and(Client::is_stopped) {
            self.client = None;
            self.broker.reader.note("stopped");
            let pause = 1 + self.chance.number(30_000);
            self.later(pause, Item::Restart);
        }
    }

    fn happen(&mut self, item: Item) -> Checked {
        item.trace(self.now, &mut self.trace);
        let now = Moment(self.now);
        let mut deeds = Vec::new();
        match item {
            Item::Dialled { dial } if self.dial == Some(dial) => {
                self.dial = None;
                let Some(client) = &mut self.client else {
                    return Ok(());
                };
                if self.down {
                    client.lost(now, &End::Failed("connection refused".to_owned()));
                } else {
                    self.connection = Some(dial);
                    self.broker.accept(dial);
                    client.connected(now, &self.history);
                }
            }
            held @ Item::ToBroker { .. } if self.stalled => self.held.push(held),
            Item::ToBroker { connection, bytes } => {
                let (chance, loses) = (&mut self.chance, self.loses_acks);
                let mut lost = || loses && chance.one_in(4);
                self.broker
                    .receive(connection, &bytes, &mut lost, &mut deeds)?;
            }
            Item::ToBox { connection, bytes } if self.connection == Some(connection) => {
                if let Some(client) = &mut self.client {
                    client.received(now, &bytes, &self.history);
                }
            }
            Item::EndAtBroker(connection) => self.broker.ended(connection, &mut deeds),
            Item::EndAtBox { connection, end } => {
                if self.connection == Some(connection) {
                    self.connection = None;
                    if let Some(client) = &mut self.client {
                        client.lost(now, &end);
                    }
                }
            }
            Item::Will(will) => self.broker.tell(&will, &mut deeds)?,
            Item::Event(project) => self.event(project),
            Item::Mischief => self.mischief(&mut deeds),
            Item::BrokerUp => self.down = false,
            Item::Unstall => {
                self.stalled = false;
                for held in std::mem::take(&mut self.held) {
                    self.happen(held)?;
                }
            }
            Item::KindAgain => (self.broker.refuses, self.loses_acks) = (false, false),
            Item::Kick(connection) if !self.calm => {
                let end = End::Closed;
                self.at(self.now + LATENCY_US, Item::EndAtBox { connection, end });
                self.broker.ended(connection, &mut deeds);
            }
            // Of a connection that is gone.
            Item::Dialled { .. } | Item::ToBox { .. } | Item::Kick(_) => {}
            Item::AskHealth => {
                self.healths = self.broker.reader.healths;
                let topic = format!("{ROOT}/cmd/health");
                self.broker.take(&topic, "", false, &mut deeds)?;
            }
            Item::Restart => self.start(),
        }
        self.carry_out(deeds);
        Ok(())
    }

    fn carry_out(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Send { to, bytes } => {
                    let (connection, at) = (to, self.now + LATENCY_US);
                    self.at(at, Item::ToBox { connection, bytes });
                }
                Deed::TakeOver(connection) => {
                    let (end, at) = (End::Closed, self.now + LATENCY_US);
                    self.at(at, Item::EndAtBox { connection, end });
                }
                Deed::Will { will, delay_s } => {
                    let delay_ms = if self.broker.tells_late {
                        self.chance.number(3_000)
                    } else {
                        u64::from(delay_s) * 1_000
                    };
                    self.later(delay_ms, Item::Will(will));
                }
                Deed::Accepted(connection) => {
                    self.broker.reader.note("connected");
                    self.connects += 1;
                    if self.clone && !self.calm {
                        let soon = 100 + self.chance.number(2_000);
                        self.later(soon, Item::Kick(connection));
                    }
                }
            }
        }
    }

    fn event(&mut self, project: usize) {
        let burst = if self.chance.one_in(8) { 30 } else { 1 };
        for _ in 0..burst {
            self.history.add(PROJECTS[project]);
        }
        if let Some(client) = &mut self.client {
            client.news(&self.history);
        }
        if !self.calm {
            let pause = self.chance.number(20_000);
            let project = self.chance.below(PROJECTS.len());
            self.later(pause, Item::Event(project));
        }
    }

    fn mischief(&mut self, deeds: &mut Vec<Deed>) {
        if self.calm {
            return;
        }
        let for_ms = 1_000 + self.chance.number(60_000);
        match self.chance.below(8) {
            0 | 1 => self.cut(deeds),
            2 => {
                let with_memory = self.chance.one_in(2);
                let which = if with_memory { "with" } else { "without" };
                self.broker
                    .reader
                    .note(format!("broker restarted {which} its memory"));
                for connection in self.broker.restart(with_memory) {
                    let end = End::Failed("reset".to_owned());
                    self.at(self.now + LATENCY_US, Item::EndAtBox { connection, end });
                }
                self.down = true;
                self.later(for_ms * 3, Item::BrokerUp);
            }
            3 => {
                self.stalled = true;
                self.broker.reader.note("stalled");
                self.later(for_ms, Item::Unstall);
            }
            4 => {
                self.broker.refuses = true;
                self.later(for_ms, Item::KindAgain);
            }
            5 => {
                self.loses_acks = true;
                self.later(for_ms, Item::KindAgain);
            }
            6 => {
                if self.client.take().is_some() {
                    self.broker.reader.note("killed");
                    self.dial = None;
                    if let Some(connection) = self.connection.take() {
                        self.at(self.now + LATENCY_US, Item::EndAtBroker(connection));
                    }
                    self.later(for_ms / 10, Item::Restart);
                }
            }
            _ => {
                if let Some(client) = &mut self.client {
                    client.stop(Moment(self.now));
                }
            }
        }
        let pause = self.chance.number(60_000);
        self.later(pause, Item::Mischief);
    }

    /// The box learns at once that the connection broke. The broker may learn it much later.
    fn cut(&mut self, deeds: &mut Vec<Deed>) {
        let Some(connection) = self.connection else {
            return;
        };
        self.broker.reader.note("connection cut");
        let end = End::Failed("timed out".to_owned());
        self.at(self.now, Item::EndAtBox { connection, end });
        if self.chance.one_in(2) {
            self.broker.ended(connection, deeds);
        } else {
            self.later(KEEP_ALIVE_MS * 3 / 2, Item::EndAtBroker(connection));
        }
    }

    fn calm_down(&mut self) {
        self.calm = true;
        (self.down, self.loses_acks) = (false, false);
        self.later(0, Item::Unstall);
        self.broker.refuses = false;
        // Events behind what was refused, so that its gap is told; then the end of the pauses.
        for (project, in_ms) in [(0, 700_000), (1, 700_001), (0, 800_000), (1, 800_001)] {
            self.later(in_ms, Item::Event(project));
        }
        self.later(CALM_MS - 60_000, Item::AskHealth);
    }

    fn judge(&mut self) -> Checked {
        let reader = &self.broker.reader;
        for project in PROJECTS {
            reader.check(project, self.history.last(project))?;
        }
        let status = self.broker.status(&format!("{ROOT}/status"));
        let state = status.as_ref().map(|status| status["state"].clone());
        ensure(state == Some("online".into()), Invariant::Told, || {
            format!("the box is connected, but its status is {status:?}")
        })?;
        ensure(
            self.broker.reader.healths > self.healths,
            Invariant::Answered,
            || "a request for health was not answered".to_owned(),
        )?;
        self.broker.reader.note("health on request");
        Ok(())
    }
}
