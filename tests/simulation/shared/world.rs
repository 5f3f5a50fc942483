//! A run: real cores and lines of several coordinators, on a simulated store, clocks and network.

use std::collections::BTreeMap;

use cli_coordinator::driver::Identity;
use cli_coordinator::driver::core::{DEFAULT_PROJECT, SYSTEM_PROJECT};
use cli_coordinator::engine::command::{LostReason, ProjectScope, Role};
use cli_coordinator::engine::ids::ProjectName;
use cli_coordinator::journal::shared::sim_store::SimStore;
use cli_coordinator::metrics::Metrics;
use cli_coordinator::protocol::seat::SeatRequest;
use serde_json::{Value, json};

use super::client::Client;
use super::fold::Fold;
use super::judge::{Ack, Outage, Vain};
use super::node::Node;
use super::settings::Settings;
use crate::simulation::chance::{Chance, Trace};
use crate::simulation::ensuring::Ensuring;
use crate::simulation::violation::{Checked, Invariant, broken, ensure};

/// A project beside the default one.
pub(crate) const SIDE_PROJECT: &str = "side";
/// Clients that work.
const CLIENTS: usize = 6;

/// Everything there is.
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) settings: Settings,
    pub(crate) trace: Trace,
    pub(crate) store: SimStore,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    pub(crate) now_us: u64,
    /// By how much clocks jumped ahead, as far as that may count.
    pub(crate) jumped_us: u64,
    pub(crate) acks: Vec<Ack>,
    pub(crate) vain: Vec<Vain>,
    /// When each connection was told last that something may be lost: how many acknowledgements it had by then.
    pub(crate) told: BTreeMap<u64, usize>,
    pub(crate) outages: Vec<Outage>,
    /// What the line of each project comes to, as of the last judgement.
    pub(crate) folds: BTreeMap<ProjectName, Fold>,
    metrics: Metrics,
    lives: u32,
    last_wire: u64,
    /// How often what happened.
    pub(crate) seen: BTreeMap<String, u64>,
}

pub(crate) fn project(name: &str) -> ProjectName {
    name.parse().expect("the name is valid")
}

pub(crate) fn projects() -> [ProjectName; 3] {
    [SYSTEM_PROJECT, DEFAULT_PROJECT, SIDE_PROJECT].map(project)
}

impl World {
    pub(crate) fn new(seed: u64, metrics: &Metrics, printed: bool) -> Self {
        let settings = Settings::of(seed);
        let store = SimStore::default();
        store.set_waits_for_replica(settings.waits_for_replica);
        let mut world = Self {
            chance: Chance::new(seed),
            trace: Trace::new(printed),
            store,
            nodes: Vec::new(),
            clients: Vec::new(),
            now_us: 1_000_000,
            jumped_us: 0,
            acks: Vec::new(),
            vain: Vec::new(),
            told: BTreeMap::new(),
            outages: Vec::new(),
            folds: BTreeMap::new(),
            metrics: metrics.clone(),
            lives: 0,
            last_wire: 0,
            seen: BTreeMap::new(),
            settings,
        };
        world.store.set_now_us(world.now_us);
        for number in 0..world.settings.nodes {
            let node = world.new_node(number);
            world.nodes.push(node);
        }
        world
    }

    fn new_node(&mut self, number: usize) -> Node {
        self.lives += 1;
        let connector = self.store.connector(number as u64);
        Node::start(
            number,
            self.lives,
            &self.settings,
            &mut self.chance,
            &self.metrics,
            connector,
            self.now_us,
        )
    }

    /// Once the coordinators have begun: projects and tokens, as an operator makes them.
    pub(crate) fn set_up(&mut self) -> Checked {
        let operator = Identity {
            token: "t-op".parse().expect("a token id"),
            agent: "op".parse().expect("an agent name"),
            role: Role::Operator,
            projects: ProjectScope::All,
            seats: false,
        };
        let mut client = Client::new(0, operator, DEFAULT_PROJECT);
        self.clients.push(client);
        self.connect(0, 0);
        self.ask(0, "project.create", json!({ "project": SIDE_PROJECT }));
        self.come_to_rest()?;
        let mut identities = Vec::new();
        for number in 0..CLIENTS {
            let agent = format!("a{}", number % (CLIENTS / 2));
            let params = json!({ "agent": agent, "role": "agent", "seats": true });
            self.ask(0, "token.create", params);
            let answers = self.come_to_rest()?;
            let secret = answers.iter().find_map(|answer| answer["secret"].as_str());
            let core = self.nodes[0].core();
            let identity = secret.and_then(|secret| core.authenticate(secret));
            // Both clients of one agent are at one seat.
            let seat = SeatRequest {
                named: (agent == "a1").then(|| "x".parse().expect("a seat name")),
                hint: None,
            };
            let seated = identity.and_then(|identity| identity.at_seat(&seat).ok());
            identities.extend(seated);
        }
        ensure(identities.len() == CLIENTS, Invariant::Live, || {
            "tokens cannot be made".to_owned()
        })?;
        self.disconnect(0, true);
        self.clients.clear();
        for (number, identity) in identities.into_iter().enumerate() {
            let project = if number % 3 == 2 {
                SIDE_PROJECT
            } else {
                DEFAULT_PROJECT
            };
            client = Client::new(number, identity, project);
            self.clients.push(client);
        }
        self.come_to_rest()?;
        self.store.replicate(usize::MAX);
        self.acks.clear();
        self.vain.clear();
        Ok(())
    }

    /// Whether a project is in the list of projects: without it, nobody could know of it.
    pub(crate) fn is_listed(&self, name: &ProjectName) -> bool {
        let core = self.nodes[0].core();
        let mut engines = core.engines();
        let system = engines.find(|(known, _)| known.as_str() == SYSTEM_PROJECT);
        let listed = system.is_some_and(|(_, engine)| engine.state().projects.contains_key(name));
        listed || name.as_str() != SIDE_PROJECT
    }

    /// The other client of the same agent and project.
    pub(crate) fn twin_of(&self, client: usize) -> usize {
        (client + CLIENTS / 2) % self.clients.len()
    }

    fn ask(&mut self, client: usize, method: &str, params: Value) {
        self.clients[client].ask(method.to_owned(), params);
    }

    /// Counts something that the runs are meant to reach.
    pub(crate) fn saw(&mut self, what: &str) {
        if let Some(count) = self.seen.get_mut(what) {
            *count += 1;
        } else {
            self.seen.insert(what.to_owned(), 1);
        }
    }

    pub(crate) fn pass_us(&mut self, us: u64) {
        self.now_us += us;
        self.store.set_now_us(self.now_us);
        for node in &mut self.nodes {
            node.set_time(self.now_us);
        }
        self.trace.note("time", &us.to_le_bytes());
    }

    /// A coordinator's clock shows more than has passed, as after a suspend of it alone.
    pub(crate) fn jump(&mut self, node: usize, us: u64) {
        let step_us = self.settings.limits().clock_step_ms_max * 1_000;
        self.jumped_us += us.min(step_us);
        self.nodes[node].jump_ahead(us);
    }

    pub(crate) fn run_all(&mut self) -> Checked {
        for node in &mut self.nodes {
            node.run()?;
        }
        Ok(())
    }

    /// A client connects to a coordinator, if that takes it.
    pub(crate) fn connect(&mut self, client: usize, node: usize) {
        let known = &mut self.clients[client];
        let running = &self.nodes[node];
        if !running.is_running() || known.wire.is_some() {
            return;
        }
        let now = running.now();
        let mut core = running.core();
        let Ok(project) = core.project_of(&known.identity, Some(known.project)) else {
            return;
        };
        if let Ok(id) = core.connect(now, known.identity.clone(), project) {
            self.last_wire += 1;
            known.connected(node, id, self.last_wire);
            drop(core);
            self.trace.note("connect", &[client as u8, node as u8]);
        }
    }

    /// A connection ends. A coordinator that stands still hears of it later.
    pub(crate) fn disconnect(&mut self, client: usize, orderly: bool) {
        let Some(wire) = &self.clients[client].wire else {
            return;
        };
        self.trace.note("disconnect", &[client as u8]);
        let (node, id) = (&self.nodes[wire.node], wire.id);
        if !node.down {
            let now = node.now();
            node.core().disconnect(now, id, LostReason::ConnectionLost);
        }
        if orderly {
            self.saw("moved on");
        }
        self.clients[client].disconnected();
    }

    /// A coordinator ends, and all its connections with it.
    pub(crate) fn crash(&mut self, node: usize) {
        self.trace.note("crash", &[node as u8]);
        self.nodes[node].end();
        for client in &mut self.clients {
            if client.wire.as_ref().is_some_and(|wire| wire.node == node) {
                client.disconnected();
            }
        }
    }

    pub(crate) fn start_again(&mut self, node: usize) {
        self.trace.note("start", &[node as u8]);
        self.nodes[node] = self.new_node(node);
    }

    /// The next frame of a client reaches its coordinator.
    pub(crate) fn deliver(&mut self, client: usize) -> Checked {
        let name = project(self.clients[client].project);
        let Some(wire) = &mut self.clients[client].wire else {
            return Ok(());
        };
        let (number, id) = (wire.node, wire.id);
        if !self.nodes[number].is_running() {
            return Ok(());
        }
        let Some(text) = wire.to_core.pop_front() else {
            return Ok(());
        };
        let asked = serde_json::from_str::<Value>(&text).map(|frame| frame["id"].as_u64());
        let asked = asked.ok().flatten();
        if let Some(asked) = asked.and_then(|asked| wire.asked.get_mut(&asked)) {
            asked.behind = self.store.end_of(&name);
        }
        let ensuring = asked.and_then(|asked| Some((asked, self.ensuring(client, asked)?)));
        let node = &mut self.nodes[number];
        let now = node.now();
        let commands = node.core().load().commands;
        node.core().frame(now, id, &text);
        let is_written = node.core().load().commands > commands;
        node.run()?;
        let Some((asked, ensuring)) = ensuring else {
            return Ok(());
        };
        let wire = self.clients[client].wire.as_mut();
        if let Some(asked) = wire.and_then(|wire| wire.asked.get_mut(&asked)) {
            asked.lacks = ensuring.lacks(is_written);
        }
        ensuring.check(is_written)
    }

    /// What its coordinator's state says to a `lease.ensure` that reaches it; `None`: to others.
    fn ensuring(&self, client: usize, asked: u64) -> Option<Ensuring> {
        let client = &self.clients[client];
        let wire = client.wire.as_ref()?;
        let asked = wire.asked.get(&asked)?;
        let delivered = wire.asked.values().filter(|it| it.behind.is_some()).count();
        let core = self.nodes[wire.node].core();
        let name = project(client.project);
        let mut engines = core.engines();
        let (_, engine) = engines.find(|(known, _)| **known == name)?;
        // While the store is out of reach, nothing is answered from the state.
        let alone = delivered == 1 && core.is_reachable();
        let agent = &client.identity.agent;
        Ensuring::of(engine, agent, (&asked.method, &asked.params), alone)
    }

    /// Lets everything happen that happens without time, and then time pass, until nothing is under way.
    pub(crate) fn come_to_rest(
        &mut self,
    ) -> Result<Vec<Value>, crate::simulation::violation::Violation> {
        let mut answers = Vec::new();
        for _ in 0..400 {
            answers.extend(self.settle()?);
            let waits = |client: &Client| client.wire.as_ref().is_some_and(|w| !w.asked.is_empty());
            let up = self.nodes.iter().all(|node| {
                let core = node.core();
                core.is_reachable() && core.is_settled()
            });
            if up && !self.clients.iter().any(waits) {
                return Ok(answers);
            }
            self.pass_us(100_000);
        }
        let lines: Vec<String> = self.nodes.iter().map(Node::describe).collect();
        let asked: Vec<_> = self
            .clients
            .iter()
            .filter_map(|c| c.wire.as_ref())
            .filter(|w| !w.asked.is_empty())
            .map(|w| format!("{} at n{}: {:?}", w.serial, w.node, w.asked))
            .collect();
        broken(
            Invariant::Live,
            format!("it does not come to rest: {lines:?} {asked:?}"),
        )
    }

    /// Lets everything happen that can happen without time.
    pub(crate) fn settle(&mut self) -> Result<Vec<Value>, crate::simulation::violation::Violation> {
        let mut answers = Vec::new();
        for _ in 0..2_000 {
            self.run_all()?;
            let mut moved = self.nodes.iter().any(Node::goes_on);
            for call in self.store.calls() {
                let from = call.from as usize;
                if self.store.reaches(call.from)
                    && (call.abandoned || self.nodes[from].is_running())
                {
                    let stepped = self.store.step(call.id);
                    if stepped {
                        self.saw(call.what);
                    }
                    moved |= stepped;
                }
            }
            self.store.replicate(usize::MAX);
            for client in 0..self.clients.len() {
                let Some(wire) = &self.clients[client].wire else {
                    continue;
                };
                let running = self.nodes[wire.node].is_running();
                if running && !wire.to_core.is_empty() {
                    moved = true;
                    self.deliver(client)?;
                }
                let Some(wire) = &self.clients[client].wire else {
                    continue;
                };
                let (node, id) = (wire.node, wire.id);
                let speaks = {
                    let core = self.nodes[node].core();
                    core.has_frames(id) || core.is_closing(id)
                };
                if running && speaks {
                    moved = true;
                    answers.extend(self.hear(client)?);
                }
            }
            if !moved {
                self.run_all()?;
                return Ok(answers);
            }
        }
        broken(
            Invariant::Live,
            "it goes on without end, without time passing",
        )
    }
}
