//! Requests that change nothing, answered from the engine at once.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::connection::Identity;
use super::core::{Core, Moment};
use super::project::Project;
use super::propose::RequestOrigin;
use super::secret::hex;
use crate::engine::Engine;
use crate::engine::command::{Importance, Role};
use crate::engine::ids::{AgentName, ContextKey, Cursor, ProjectName, TaskId};
use crate::engine::leases::Asker;
use crate::engine::outcome::LeaseConflicts;
use crate::engine::tasks::Task;
use crate::protocol::PROTOCOL_VERSION;
use crate::protocol::admin::{
    ProjectListResult, ProjectStatus, ServerStatusResult, TokenListResult, TokenView,
};
use crate::protocol::agent::AgentView;
use crate::protocol::context::{ContextListParams, ContextListResult, ContextView};
use crate::protocol::error::{Conflict, ErrorKind, RpcError};
use crate::protocol::lease::{
    LeaseCheckParams, LeaseCheckResult, LeaseListParams, LeaseListResult, LeaseView,
};
use crate::protocol::message::{
    MessageInboxParams, MessageInboxResult, MessageThreadParams, MessageThreadResult, MessageView,
};
use crate::protocol::operations::QueryRequest;
use crate::protocol::resource::ResourceParam;
use crate::protocol::session::{Empty, PingResult};
use crate::protocol::task::{StateName, TaskListParams, TaskListResult, TaskView};

/// The default number of items of a list.
const COUNT_DEFAULT: u64 = 100;

impl Core {
    /// Answers a query from this coordinator's state.
    pub(super) fn answer(&mut self, now: Moment, origin: &RequestOrigin, query: QueryRequest) {
        let Some(connection) = self.connections.get(&origin.connection) else {
            return;
        };
        let Identity { agent, role, .. } = &*connection.identity;
        let (name, operates) = (&connection.project, *role == Role::Operator);
        let Some(project) = self.projects.get(name) else {
            return;
        };
        let engine = &project.engine;
        match query {
            QueryRequest::Ping(Empty {}) => self.reply(now, origin, Ok(pong(engine))),
            QueryRequest::AgentList(p) => {
                self.reply(now, origin, Ok(self.agents(name, engine, &p)));
            }
            QueryRequest::AgentGet(p) => {
                let own = || AgentView::unseen(agent, engine.seats_present(agent));
                let found = match &p.agent {
                    // A seat is known from its first command on, and may ask who it is before.
                    None if agent.is_seat() => {
                        let known = engine.state().agents.get(agent);
                        Ok(known.map_or_else(own, |known| AgentView::of(engine, known)))
                    }
                    named => self.agent(name, engine, named.as_ref().unwrap_or(agent)),
                };
                self.reply(now, origin, found);
            }
            QueryRequest::TaskGet(p) => self.reply(now, origin, task(engine, p.task)),
            QueryRequest::TaskExplain(p) => {
                let found = self.explain(project, p.task);
                self.reply(now, origin, found.ok_or_else(|| no_task(p.task)));
            }
            QueryRequest::TaskList(p) => self.reply(now, origin, Ok(tasks(engine, &p))),
            QueryRequest::LeaseList(p) => {
                let mut list = leases(engine, &p);
                if p.waiting {
                    let max = p.count_max.unwrap_or(COUNT_DEFAULT);
                    list.waiting = self.waiting_acquires(now, project, max);
                }
                self.reply(now, origin, Ok(list));
            }
            QueryRequest::LeaseCheck(p) => {
                self.reply(now, origin, check(engine, Some(agent), &p));
            }
            QueryRequest::MessageInbox(p) => {
                self.reply(now, origin, Ok(inbox(engine, agent, &p)));
            }
            QueryRequest::MessageThread(p) => {
                self.reply(now, origin, thread(engine, agent, operates, &p));
            }
            QueryRequest::ContextGet(p) => self.reply(now, origin, entry(engine, &p.key)),
            QueryRequest::ContextList(p) => self.reply(now, origin, Ok(context(engine, &p))),
            QueryRequest::TokenList(Empty {}) => {
                self.reply(now, origin, Ok(tokens(self.system_engine())));
            }
            QueryRequest::ProjectList(Empty {}) => {
                let all = self.system_engine().state().projects.keys();
                let scope = &connection.identity.projects;
                let projects = all.filter(|p| scope.allows(p)).cloned().collect();
                self.reply(now, origin, Ok(ProjectListResult { projects }));
            }
            QueryRequest::ServerStatus(Empty {}) => {
                self.reply(now, origin, Ok(self.status(now, name, project, operates)));
            }
        }
    }

    fn reply<T: Serialize>(
        &mut self,
        now: Moment,
        origin: &RequestOrigin,
        result: Result<T, RpcError>,
    ) {
        match result {
            Ok(value) => self.send(now, origin, Ok(&value)),
            Err(error) => self.send_error(now, origin, &error),
        }
    }

    fn status(
        &self,
        now: Moment,
        name: &ProjectName,
        project: &Project,
        hash: bool,
    ) -> ServerStatusResult {
        let readiness = self.readiness(now);
        let general = readiness.waiting_for.map(|(_, text)| text);
        let mut status = project_status(name, &project.engine);
        status.agents += self.unseen_agents(name).count() as u64;
        ServerStatusResult {
            version: self.config.version.to_owned(),
            protocol: PROTOCOL_VERSION.to_owned(),
            node: self.config.node.clone(),
            environment: self.config.environment.clone(),
            port_fingerprint: Some(self.config.port_fingerprint.clone()),
            journal: self.config.journal.to_owned(),
            status: readiness.condition.as_str().to_owned(),
            waiting_for: self.project_waits_for(now, name).or(general),
            uptime_ms: now.since_us(self.started) / 1_000,
            connections: self.connections.len() as u64,
            project: status,
            push: self.metrics.push.status(),
            mqtt: self.mqtt.clone(),
            state_hash: hash.then(|| state_hash(&project.engine)),
        }
    }
}

/// SHA-256 of a state's JSON: equal states have equal hashes on every node.
pub fn state_hash(engine: &Engine) -> String {
    let state = serde_json::to_vec(engine.state()).expect("states always encode as JSON");
    hex(&Sha256::digest(&state))
}

pub(super) fn cursor_of(engine: &Engine) -> Cursor {
    Cursor {
        epoch: engine.state().epoch,
        position: engine.state().position,
    }
}

fn project_status(name: &ProjectName, engine: &Engine) -> ProjectStatus {
    let state = engine.state();
    let counts = engine.counts();
    ProjectStatus {
        project: name.clone(),
        cursor: cursor_of(engine),
        now_ms: engine.now(),
        agents: state.agents.len() as u64,
        agents_present: counts.agents_present,
        sessions: state.sessions.len() as u64,
        tasks_blocked: counts.tasks_blocked,
        tasks_ready: counts.tasks_ready,
        tasks_claimed: counts.tasks_claimed,
        tasks_done: state.totals.tasks_done,
        tasks_dead: engine.finished_tasks().dead,
        leases: state.leases.len() as u64,
        messages_waiting: counts.messages_waiting,
        context_entries: state.context.len() as u64,
    }
}

pub(super) fn missing(what: &str) -> RpcError {
    RpcError::new(ErrorKind::NotFound, format!("{what} does not exist"))
}

/// Takes the requested number of items, and returns whether there are more.
pub(super) fn page<T>(
    engine: &Engine,
    count_max: Option<u64>,
    items: impl Iterator<Item = T>,
) -> (Vec<T>, bool) {
    let count = count_max
        .unwrap_or(COUNT_DEFAULT)
        .min(engine.limits().list_items_max);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut items: Vec<T> = items.take(count.saturating_add(1)).collect();
    let more = items.len() > count;
    items.truncate(count);
    (items, more)
}

fn no_task(task: TaskId) -> RpcError {
    missing(&format!("task {task}"))
}

fn pong(engine: &Engine) -> PingResult {
    PingResult {
        now_ms: engine.now(),
    }
}

fn task(engine: &Engine, id: TaskId) -> Result<TaskView, RpcError> {
    let task = engine.state().tasks.get(&id).ok_or_else(|| no_task(id))?;
    Ok(TaskView::whole(task, &mut engine.roots()))
}

fn tasks(engine: &Engine, params: &TaskListParams) -> TaskListResult {
    let wanted = |task: &&Task| {
        let state = StateName::from(&task.state);
        let holder = task.attempt().map(|attempt| &attempt.agent);
        (params.states.is_empty() || params.states.contains(&state))
            && params
                .agent
                .as_ref()
                .is_none_or(|agent| holder.is_some_and(|holder| agent.covers(holder)))
            && params
                .labels
                .iter()
                .all(|(k, v)| task.labels.get(k) == Some(v))
            && (!params.stuck || engine.is_stuck(task))
    };
    let after = params.after.unwrap_or_default();
    let later = engine
        .state()
        .tasks
        .range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
    let found = later.map(|(_, task)| &**task).filter(wanted);
    let (found, more) = page(engine, params.count_max, found);
    let mut roots = engine.roots();
    TaskListResult {
        next_after: found.last().filter(|_| more).map(|task| task.id),
        tasks: found
            .into_iter()
            .map(|task| TaskView::summary(task, &mut roots))
            .collect(),
        finished: engine.finished_tasks().into(),
        now_ms: engine.now(),
    }
}

fn leases(engine: &Engine, params: &LeaseListParams) -> LeaseListResult {
    let wanted = engine.state().leases.values().filter(|lease| {
        let overlaps = |wanted: &ResourceParam| {
            let mut held = lease.resources.iter();
            held.any(|held| held.overlaps(&wanted.0))
        };
        params
            .agent
            .as_ref()
            .is_none_or(|agent| agent.covers(&lease.agent))
            && params.resource.as_ref().is_none_or(overlaps)
            && params.after.is_none_or(|after| lease.id > after)
    });
    let (found, more) = page(engine, params.count_max, wanted);
    LeaseListResult {
        next_after: found.last().filter(|_| more).map(|lease| lease.id),
        leases: found.into_iter().map(LeaseView::from).collect(),
        waiting: Vec::new(),
        now_ms: engine.now(),
    }
}

fn check(
    engine: &Engine,
    agent: Option<&AgentName>,
    params: &LeaseCheckParams,
) -> Result<LeaseCheckResult, RpcError> {
    let invalid = |problem| Err(RpcError::new(ErrorKind::InvalidParams, problem));
    let resources = || params.resources.iter().map(|it| &it.0);
    engine.check_sizes(resources(), 0).map_err(RpcError::from)?;
    let asker = Asker {
        agent,
        mode: params.mode.into(),
        tree: params.tree.as_ref(),
        adds: false,
    };
    let (ok, found) = match (params.lease, params.fence) {
        (Some(lease), Some(fence)) => {
            let holds = engine.held_lease(lease, fence).is_ok();
            (holds, LeaseConflicts::default())
        }
        (None, None) if !params.resources.is_empty() => {
            let found = engine.lease_conflicts(asker, resources());
            (found.is_empty(), found)
        }
        _ => return invalid("give either lease and fence, or resources"),
    };
    Ok(LeaseCheckResult {
        ok,
        conflicts_more: (found.more > 0).then_some(found.more),
        conflicts: found.told.into_iter().map(Conflict::from).collect(),
        now_ms: engine.now(),
    })
}

fn inbox(engine: &Engine, agent: &AgentName, params: &MessageInboxParams) -> MessageInboxResult {
    let importance_min = params.importance_min.map_or(Importance::Low, Into::into);
    let count_max = params.count_max.unwrap_or(COUNT_DEFAULT);
    let count_max = count_max.min(engine.limits().messages_per_request_max);
    let found = engine
        .inbox(agent, importance_min)
        .filter(|(message, _)| params.after.is_none_or(|after| message.id > after));
    let (found, _) = page(engine, Some(count_max), found);
    let messages = found
        .into_iter()
        .map(|(message, taken)| MessageView::of(message, taken));
    inbox_result(engine, agent, messages.collect())
}

pub(super) fn inbox_result(
    engine: &Engine,
    agent: &AgentName,
    messages: Vec<MessageView>,
) -> MessageInboxResult {
    MessageInboxResult {
        messages,
        waiting: engine.waiting_for(agent),
        expired: engine.expired_for(agent),
        now_ms: engine.now(),
    }
}

fn thread(
    engine: &Engine,
    agent: &AgentName,
    reads_all: bool,
    params: &MessageThreadParams,
) -> Result<MessageThreadResult, RpcError> {
    let message = engine.state().messages.get(&params.message);
    let visible =
        |message: &crate::engine::messages::Message| reads_all || message.is_visible_to(agent);
    let message = message.filter(|message| visible(message));
    let message = message.ok_or_else(|| missing(&format!("message {}", params.message)))?;
    let messages = engine
        .thread(message.thread)
        .filter(|message| visible(message));
    let (messages, _) = page(engine, Some(u64::MAX), messages);
    Ok(MessageThreadResult {
        messages: messages
            .into_iter()
            .map(|m| MessageView::of(m, None))
            .collect(),
        now_ms: engine.now(),
    })
}

fn entry(engine: &Engine, key: &ContextKey) -> Result<ContextView, RpcError> {
    let entry = engine.state().context.get(key);
    let entry = entry.ok_or_else(|| missing(&format!("context entry {key}")))?;
    Ok(ContextView::of(key, entry, true))
}

fn tokens(system: &Engine) -> TokenListResult {
    TokenListResult {
        tokens: system
            .state()
            .tokens
            .values()
            .map(TokenView::from)
            .collect(),
        now_ms: system.now(),
    }
}

fn context(engine: &Engine, params: &ContextListParams) -> ContextListResult {
    let wanted = engine.state().context.iter().filter(|(key, _)| {
        key.as_str().starts_with(&params.prefix)
            && params.after.as_ref().is_none_or(|after| *key > after)
    });
    let (found, more) = page(engine, params.count_max, wanted);
    let view = |(key, entry)| ContextView::of(key, entry, params.values);
    ContextListResult {
        next_after: found.last().filter(|_| more).map(|(key, _)| (*key).clone()),
        entries: found.into_iter().map(view).collect(),
        cursor: cursor_of(engine),
    }
}
