//! Agents that are known from a token. Tokens are state of the system project, agents of their own project. A
//! command carries what it needs from the other project, so that each project's state stays a fold over its
//! own journal.

use std::collections::{BTreeMap, BTreeSet};

use super::core::Core;
use super::queries::{missing, page};
use crate::engine::Engine;
use crate::engine::agents::{Agent, Presence};
use crate::engine::command::{Action, HandoffTarget, Recipient};
use crate::engine::ids::{AgentName, ProjectName};
use crate::engine::nodes::COMMAND_FORMAT;
use crate::engine::outcome::{Delivery, Refusal, SendOutcome};
use crate::protocol::agent::{AgentListParams, AgentListResult, AgentView};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::message::MessageSendResult;

/// The format of commands that carry introductions and shares.
const FORMAT_WITH_INTRODUCTIONS: u32 = 3;
/// How similar two names must be, from 0 to 1, for one to be suggested for the other.
const LIKENESS_MIN: f64 = 0.8;
/// The most names that are compared with a misspelt one, because that happens under the driver's lock.
const NAMES_COMPARED_MAX: usize = 1_000;
/// The most names that are suggested.
const SIMILAR_MAX: usize = 3;

impl Core {
    /// The agents that valid tokens name and that the project does not know yet, in the order of their names.
    pub fn unseen_agents<'a>(
        &'a self,
        project: &'a ProjectName,
    ) -> impl Iterator<Item = &'a AgentName> {
        let engine = self.projects.get(project).map(|known| &known.engine);
        let with_token = self.system_engine().agents_with_token(project);
        // The system project has no agents, although tokens for all projects include it.
        let has_agents = *project != self.system;
        with_token.filter(move |agent| has_agents && !is_registered(engine, agent))
    }

    /// Whether a valid token names an agent in a project. No token names a seat.
    pub(super) fn token_knows(&self, project: &ProjectName, agent: &AgentName) -> bool {
        self.system_engine().token_knows(agent, project)
    }

    fn is_unseen(&self, project: &ProjectName, agent: &AgentName) -> bool {
        let engine = self.projects.get(project).map(|known| &known.engine);
        !is_registered(engine, agent) && self.token_knows(project, agent)
    }

    /// Adds to a command the agents that must be known.
    pub(super) fn introduce(&self, project: &ProjectName, action: &mut Action) {
        let named = |agent: &AgentName| -> BTreeSet<AgentName> {
            let unseen = self.is_unseen(project, agent).then(|| agent.clone());
            unseen.into_iter().collect()
        };
        match action {
            Action::MessageSend(send) => {
                // While an older coordinator shares the project, messages are written in the format that it
                // understands. Only what that format cannot express is refused until the older coordinator is
                // gone.
                send.shares = self.writes_introductions(project);
                send.introduces = match &send.to {
                    Recipient::Agent(agent) => named(agent),
                    Recipient::All if send.shares => self.unseen_agents(project).cloned().collect(),
                    _ => BTreeSet::new(),
                };
            }
            Action::TaskHandoff(handoff) => {
                if let HandoffTarget::Agent(agent) = &handoff.to {
                    handoff.introduces = named(agent);
                }
            }
            _ => {}
        }
    }

    fn writes_introductions(&self, project: &ProjectName) -> bool {
        let own = self.config.sharing.as_ref();
        let own = own.map_or(COMMAND_FORMAT, |sharing| sharing.command_format);
        let known = self.projects.get(project);
        let format = known.map_or(own, |known| known.engine.command_format(own));
        format >= FORMAT_WITH_INTRODUCTIONS
    }

    /// Turns a refusal into an error; if it names a missing agent, the error suggests similar names.
    pub(super) fn error_of(
        &self,
        project: &ProjectName,
        action: &Action,
        refusal: Refusal,
    ) -> RpcError {
        match (action, refusal) {
            (Action::AgentRemove(remove), Refusal::NotFound(_))
                if self.token_knows(project, &remove.agent) =>
            {
                let agent = &remove.agent;
                let text = format!(
                    "agent {agent} is known only from a token: revoke the token to remove the agent"
                );
                RpcError::new(ErrorKind::Conflict, text)
            }
            (Action::AgentRemove(remove), refusal @ Refusal::NotFound(_)) => {
                self.suggest(project, &remove.agent, refusal.into())
            }
            (Action::TaskHandoff(handoff), refusal @ Refusal::NotFound(_)) => match &handoff.to {
                HandoffTarget::Agent(agent) => self.suggest(project, agent, refusal.into()),
                HandoffTarget::Capability(_) => refusal.into(),
            },
            (_, refusal) => refusal.into(),
        }
    }

    /// One agent, from the project's state or known only from a token.
    pub(super) fn agent(
        &self,
        project: &ProjectName,
        engine: &Engine,
        named: &AgentName,
    ) -> Result<AgentView, RpcError> {
        match engine.state().agents.get(named) {
            Some(agent) => Ok(AgentView::of(engine, agent)),
            None if self.token_knows(project, named) || engine.has_seats(named) => {
                Ok(AgentView::unseen(named, engine.seats_present(named)))
            }
            None => {
                let error = missing(&format!("agent {named}"));
                Err(self.suggest(project, named, error))
            }
        }
    }

    /// The agents of the project's state and those known only from a token, by name.
    pub(super) fn agents(
        &self,
        project: &ProjectName,
        engine: &Engine,
        params: &AgentListParams,
    ) -> AgentListResult {
        let registered = engine.state().agents.iter();
        let mut all: BTreeMap<&AgentName, Option<&Agent>> = registered
            .map(|(name, agent)| (name, Some(agent)))
            .collect();
        all.extend(self.unseen_agents(project).map(|name| (name, None)));
        let wanted = all.into_iter().filter(|(name, agent)| {
            let able = |capability| agent.is_some_and(|a| a.capabilities.contains(capability));
            let present = agent.is_some_and(|a| a.presence != Presence::Gone);
            params.capability.as_ref().is_none_or(able)
                && (!params.present || present)
                && params.after.as_ref().is_none_or(|after| *name > after)
        });
        let (agents, more) = page(engine, params.count_max, wanted);
        let view = |(name, agent): &(&AgentName, Option<&Agent>)| match agent {
            Some(agent) => AgentView::of(engine, agent),
            None => AgentView::unseen(name, engine.seats_present(name)),
        };
        AgentListResult {
            agents: agents.iter().map(view).collect(),
            next_after: agents
                .last()
                .filter(|_| more)
                .map(|(name, _)| (*name).clone()),
            now_ms: engine.now(),
        }
    }

    /// Suggests an existing agent for one that does not exist.
    pub(super) fn suggest(
        &self,
        project: &ProjectName,
        agent: &AgentName,
        error: RpcError,
    ) -> RpcError {
        let similar = self.similar_agents(project, agent).into_iter().next();
        error.with(|detail| detail.suggestion = similar.map(|name| name.to_string()))
    }

    /// The delivery of a message, with similar names for an unknown recipient.
    pub(super) fn send_result(
        &self,
        project: &ProjectName,
        sent: SendOutcome,
    ) -> MessageSendResult {
        for (_, delivery) in &sent.recipients {
            if let Delivery::Over(limit) = delivery {
                let hit = &self.metrics.limits_hit;
                hit.with_label_values(&[limit.as_str()]).inc();
            }
        }
        let mut result = MessageSendResult::from(sent);
        for recipient in &mut result.recipients {
            if recipient.is_unknown() {
                recipient.similar = self.similar_agents(project, &recipient.agent);
            }
        }
        result
    }

    /// Known agents with names similar to another, the most similar first.
    fn similar_agents(&self, project: &ProjectName, wanted: &AgentName) -> Vec<AgentName> {
        let known = self.projects.get(project);
        let known = known.map(|known| known.engine.state().agents.keys());
        let unseen = self.unseen_agents(project);
        let names = known.into_iter().flatten().chain(unseen);
        let mut similar: Vec<(f64, &AgentName)> = names
            .take(NAMES_COMPARED_MAX)
            .map(|name| {
                let likeness = strsim::jaro_winkler(name.as_str(), wanted.as_str());
                (likeness, name)
            })
            .filter(|(likeness, name)| *likeness > LIKENESS_MIN && *name != wanted)
            .collect();
        similar.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        similar.truncate(SIMILAR_MAX);
        similar.into_iter().map(|(_, name)| name.clone()).collect()
    }
}

fn is_registered(engine: Option<&Engine>, agent: &AgentName) -> bool {
    engine.is_some_and(|engine| engine.state().agents.contains_key(agent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::core::{CoreConfig, DEFAULT_PROJECT, Moment, SYSTEM_PROJECT};
    use crate::driver::limits::DriverLimits;
    use crate::driver::line::Sharing;
    use crate::driver::secret::Entropy;
    use crate::engine::command::{
        Actor, Command, Importance, MessageSend, NodeAlive, ProjectScope, Role, TokenCreate,
    };
    use crate::engine::ids::{JournalTime, Position};
    use crate::engine::limits::Limits;
    use crate::journal::JournalStatus;
    use crate::metrics::{Metrics, MetricsScope};

    fn name<T: std::str::FromStr>(text: &str) -> T
    where
        T::Err: std::fmt::Debug,
    {
        text.parse().expect("the name is valid")
    }

    fn engine(actions: Vec<Action>) -> (Engine, Position) {
        let mut engine = Engine::new(Limits::default());
        for (i, action) in (1..).zip(actions) {
            let command = Command {
                id: name(&format!("n-{i}")),
                by: Actor::Node(name("n")),
                request_id: None,
                action,
            };
            let applied = engine.apply(Position(i), JournalTime(1), &command);
            applied.answer.expect("it is carried out");
        }
        (engine, Position(0))
    }

    fn token(agent: &str, role: Role) -> Action {
        Action::TokenCreate(Box::new(TokenCreate {
            token: name(&format!("t-{agent}")),
            secret_hash: agent.to_owned(),
            agent: name(agent),
            role,
            projects: ProjectScope::All,
            ttl_ms: None,
            seats: false,
        }))
    }

    /// A core where carol has a token and an observer too; `older`: the format of a coordinator that
    /// shares the journal.
    fn core(older: Option<u32>) -> Core {
        let alive = older.map(|command_format| {
            Action::NodeAlive(NodeAlive {
                node: name("older"),
                ttl_ms: 10_000,
                command_format,
                port_fingerprint: None,
            })
        });
        let tokens = vec![token("carol", Role::Agent), token("eye", Role::Observer)];
        let engines = BTreeMap::from([
            (name(SYSTEM_PROJECT), engine(tokens)),
            (name(DEFAULT_PROJECT), engine(alive.into_iter().collect())),
        ]);
        let config = CoreConfig {
            node: name("own"),
            environment: "testing".to_owned(),
            port_fingerprint: name("0123456789abcdef"),
            journal: "embedded",
            version: "1",
            message_bytes_max: 1 << 20,
            record_bytes_max: 2 << 20,
            grace_ms: 0,
            engine: Limits::default(),
            driver: DriverLimits::default(),
            sharing: older.map(|_| Sharing::default()),
        };
        let entropy = Entropy(Box::new(|| [0; 32]));
        let metrics = Metrics::new(&[], MetricsScope::default());
        Core::new(
            config,
            entropy,
            metrics,
            engines,
            JournalStatus::EMPTY,
            Moment(0),
        )
    }

    /// What becomes of a message: its format, and whom it introduces.
    fn introduced(core: &Core, to: Recipient) -> (u32, Vec<String>) {
        let body = serde_json::value::RawValue::from_string("1".to_owned()).expect("it is JSON");
        let mut action = Action::MessageSend(Box::new(MessageSend {
            to,
            subject: None,
            body: crate::engine::payload::Payload::new(body),
            importance: Importance::Normal,
            reply_to: None,
            ttl_ms: 1,
            introduces: BTreeSet::new(),
            shares: false,
        }));
        core.introduce(&name(DEFAULT_PROJECT), &mut action);
        let format = action.format();
        let Action::MessageSend(send) = action else {
            panic!("it is another action now")
        };
        let introduces = send.introduces.iter().map(ToString::to_string);
        (format, introduces.collect())
    }

    #[test]
    fn a_message_carries_those_whom_it_needs_to_be_known() {
        let core = core(None);
        let carol = vec!["carol".to_owned()];
        for to in [Recipient::Agent(name("carol")), Recipient::All] {
            assert_eq!(introduced(&core, to), (3, carol.clone()));
        }
        for to in ["eye", "carl"] {
            let to = Recipient::Agent(name(to));
            assert_eq!(introduced(&core, to), (3, Vec::new()));
        }
        let able = Recipient::Capability(name("rust"));
        assert_eq!(introduced(&core, able), (3, Vec::new()));
        assert_eq!(core.unseen_agents(&name(SYSTEM_PROJECT)).count(), 0);
    }

    /// Messages go on in the form that an older coordinator understands; what cannot be said in it
    /// waits until that one is gone.
    #[test]
    fn while_an_older_coordinator_shares_the_project_only_what_must_be_is_of_the_new_form() {
        let core = core(Some(2));
        assert_eq!(introduced(&core, Recipient::All), (1, Vec::new()));
        let bob = Recipient::Agent(name("bob"));
        assert_eq!(introduced(&core, bob), (1, Vec::new()));
        let carol = Recipient::Agent(name("carol"));
        assert_eq!(introduced(&core, carol), (3, vec!["carol".to_owned()]));
        let current = super::tests::core(Some(COMMAND_FORMAT));
        assert_eq!(
            introduced(&current, Recipient::All),
            (3, vec!["carol".to_owned()])
        );
    }
}
