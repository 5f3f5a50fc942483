//! Admission: from a frame to an answer, a proposed command, or a place in line.

use serde_json::value::RawValue;

use super::connection::ConnectionId;
use super::core::{Core, CoreOutput, Moment};
use super::line::Line;
use super::parked::Parked;
use super::plan::Planned;
use super::project::Project;
use super::propose::{Extra, Pending, RequestOrigin};
use super::queries::cursor_of;
use crate::engine::command::{Action, Actor, SessionClose};
use crate::engine::outcome::{Outcome, Refusal};
use crate::planted::{Bug, is_on};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::jsonrpc;
use crate::protocol::operations::{ConnectionRequest, Request};
use crate::protocol::session::Empty;

impl Core {
    /// One text frame of a connection: at most one request. A command that it proposes is sent at once.
    pub fn frame(&mut self, now: Moment, connection: ConnectionId, text: &str) {
        self.gather(now, connection, text);
        self.flush();
    }

    /// Like [`Core::frame`], but a proposed command waits for [`Core::flush`], so that commands that other
    /// connections have sent by now join its batch.
    pub fn gather(&mut self, now: Moment, connection: ConnectionId, text: &str) {
        // A revoked token closes its connections, but their sockets may still hold frames. Such a frame must not act.
        if self.is_closing(connection) {
            return;
        }
        match jsonrpc::parse(text) {
            Ok(envelope) => {
                let id = envelope.id;
                match Request::parse(&envelope.method, envelope.params) {
                    Ok((operation, request)) => {
                        let origin = RequestOrigin {
                            connection,
                            id: id.map(ToOwned::to_owned),
                            operation,
                            started: now,
                        };
                        self.request(now, origin, request);
                    }
                    // A notification gets no answer, not even an error.
                    Err(error) if id.is_some() => self.push_error(connection, id, &error),
                    Err(_) => {}
                }
            }
            Err((id, error)) => self.push_error(connection, id, &error),
        }
    }

    /// A frame that is no text.
    pub fn refuse_frame(&mut self, connection: ConnectionId, why: &str) {
        let error = RpcError::new(ErrorKind::InvalidRequest, why);
        self.push_error(connection, None, &error);
    }

    fn push_error(&mut self, connection: ConnectionId, id: Option<&RawValue>, error: &RpcError) {
        self.push_frame(connection, jsonrpc::error(id, error).into());
    }

    fn request(&mut self, now: Moment, origin: RequestOrigin, request: Request) {
        let Some(connection) = self.connections.get(&origin.connection) else {
            return;
        };
        // The role comes first: a refusal for any other reason would tell a token without the right about the state.
        let role = connection.identity.role;
        if role < origin.operation.role() {
            let message = format!(
                "{} needs the role {}, but the token has {}",
                origin.operation.name(),
                origin.operation.role().as_str(),
                role.as_str()
            );
            let error = RpcError::new(ErrorKind::Forbidden, message);
            return self.send_error(now, &origin, &error);
        }
        let planned = match request {
            Request::Query(query) => return self.answer(now, &origin, query),
            // Asked for now, the engine would refuse the cursor as one of the future.
            Request::Connection(request) if self.is_behind(&origin, &request) => {
                return self.catch_up_first(now, origin, request);
            }
            Request::Connection(request) => return self.serve(now, origin, request),
            Request::Session(request) => self.plan_session(origin.connection, request),
            Request::Command(request) => self.plan(origin.connection, request),
        };
        match planned {
            Ok(planned) => self.admit(now, origin, planned),
            Err(error) => self.send_error(now, &origin, &error),
        }
    }

    /// Serves a request to the coordinator itself, which neither reads nor changes the state of a project.
    pub(super) fn serve(&mut self, now: Moment, origin: RequestOrigin, request: ConnectionRequest) {
        match request {
            ConnectionRequest::EventsSubscribe(p) => self.subscribe(now, &origin, p),
            ConnectionRequest::EventsUnsubscribe(Empty {}) => self.unsubscribe(now, &origin),
            ConnectionRequest::ContextWatch(p) => self.watch(now, &origin, p),
            ConnectionRequest::ServerBackup(p) => self.start_backup(now, origin, p.name),
        }
    }

    /// Whether the request names a cursor beyond what this coordinator has applied. Another coordinator gave it.
    fn is_behind(&self, origin: &RequestOrigin, request: &ConnectionRequest) -> bool {
        let from = match request {
            ConnectionRequest::EventsSubscribe(params) => params.from,
            ConnectionRequest::ContextWatch(params) => params.from,
            ConnectionRequest::EventsUnsubscribe(_) | ConnectionRequest::ServerBackup(_) => None,
        };
        let connection = self.connections.get(&origin.connection);
        let project = connection.and_then(|c| self.projects.get(&c.project));
        let (Some(from), Some(project)) = (from, project) else {
            return false;
        };
        project.line.is_some() && from > cursor_of(&project.engine)
    }

    /// Serves a request after a record of its own has come back from the stream. The stream has one order, so every
    /// record that any client was told of before is applied by then.
    fn catch_up_first(&mut self, now: Moment, origin: RequestOrigin, request: ConnectionRequest) {
        let planned = Planned::tick(origin.connection, self);
        let Some(planned) = planned else { return };
        if let Err(error) = self.has_room(now, &origin, &planned) {
            return self.send_error(now, &origin, &error);
        }
        let by = Actor::Node(self.config.node.clone());
        let pending = Pending {
            request: Some(origin),
            extra: Extra::Events(Box::new(request)),
            parked: None,
            reserved: None,
        };
        self.propose(now, &planned.project, by, None, planned.action, pending);
    }

    fn admit(&mut self, now: Moment, origin: RequestOrigin, planned: Planned) {
        if let Some(outcome) = self.without_record(&origin, &planned) {
            return self.send_answer(now, &origin, Ok(outcome), Extra::None);
        }
        // Before the state is asked: an overloaded coordinator must be able to refuse without any work.
        if let Err(error) = self.has_room(now, &origin, &planned) {
            return self.send_error(now, &origin, &error);
        }
        self.make_room_for_session(now, &origin, &planned);
        let (Some(connection), Some(project)) = (
            self.connections.get(&origin.connection),
            self.projects.get(&planned.project),
        ) else {
            return;
        };
        let by = connection.actor();
        if let Some(id) = &planned.request_id
            && let Some(answer) = project.engine.remembered(&by, id, &planned.action)
        {
            if project.line.is_some() {
                // Another coordinator may have written that record, and replicas may lack it yet. So this request
                // becomes a record too: it is answered when that one, and with it the older one, is durable.
                return self.propose_planned(now, origin, planned, by);
            }
            return self.send_answer(now, &origin, answer, planned.extra);
        }
        // The state here may be used for a refusal only if no command that could change it is on its way. Otherwise
        // the order of the journal decides: for earlier commands of this connection (in_flight), for the same request
        // of an earlier connection (repeats), and for records of other coordinators (a project with a line).
        let repeats = planned
            .request_id
            .as_ref()
            .zip(by.agent())
            .is_some_and(|(id, agent)| self.repeatable.contains_key(&(agent.clone(), id.clone())));
        let alone = connection.in_flight == 0 && !repeats && project.line.is_none();
        let refusal = project.engine.check(&by, &planned.action).err();
        let in_line = waits_in_line(project, &planned, refusal.as_ref());
        match (&planned.action, refusal) {
            // The first sending may still be granted. Only a record behind it tells, so this one must not be parked
            // or refused from the state.
            (Action::TaskClaim(_) | Action::LeaseAcquire(_), _) if repeats => {
                let project = planned.project.clone();
                let parked = parked(now, origin, planned);
                let order = self.next_order();
                return self.propose_waiting(now, &project, order, by, parked, None);
            }
            (Action::TaskClaim(_), None) => return self.admit_claim(now, origin, planned, by),
            // A record that could only be refused would cost a write, so the request waits here instead.
            (Action::LeaseAcquire(_), _) if in_line => {
                let project = planned.project.clone();
                let parked = parked(now, origin, planned);
                let order = self.next_order();
                return self.park(&project, order, parked);
            }
            (action, Some(refusal)) if alone && !makes_room(project, action, &refusal) => {
                let error = self.error_of(&planned.project, action, refusal);
                return self.send_error(now, &origin, &error);
            }
            _ => {}
        }
        if planned.wait_ms > 0 {
            let project = planned.project.clone();
            let parked = parked(now, origin, planned);
            let order = self.next_order();
            return self.propose_waiting(now, &project, order, by, parked, None);
        }
        self.propose_planned(now, origin, planned, by);
    }

    /// Clients that vanish leave their sessions behind. So that they keep nobody out, lost ones end early when the
    /// project has no room for another. An older coordinator would refuse the record, so not in a shared journal.
    fn make_room_for_session(&mut self, now: Moment, origin: &RequestOrigin, planned: &Planned) {
        let known = self.projects.get(&planned.project);
        let Some(known) = known.filter(|known| known.line.is_none()) else {
            return;
        };
        if !matches!(planned.action, Action::SessionOpen(_)) {
            return;
        }
        let gives_way = known.engine.gives_way(known.opening + 1, &known.giving_way);
        let (Some(session), Some(connection)) =
            (gives_way, self.connections.get(&origin.connection))
        else {
            return;
        };
        // What is refused for another reason needs no room.
        let refusal = known
            .engine
            .check(&connection.actor(), &planned.action)
            .err();
        let is_needed = refusal.is_none_or(
            |refusal| matches!(refusal, Refusal::Limit(limit) if limit.limit == "sessions_max"),
        );
        if is_needed {
            let close = Action::SessionClose(SessionClose { session });
            self.propose_own(now, &planned.project, close);
        }
    }

    /// The answer to a `lease.ensure`, or to a release by resource, that would change nothing. It is read like a
    /// query, so it needs neither room nor a record: fronts ask before each edit and after each turn.
    fn without_record(&self, origin: &RequestOrigin, planned: &Planned) -> Option<Outcome> {
        if !matches!(
            planned.action,
            Action::LeaseEnsure(_) | Action::LeaseGiveBack(_)
        ) {
            return None;
        }
        let connection = self.connections.get(&origin.connection)?;
        let project = self.projects.get(&planned.project)?;
        let by = connection.actor();
        // An earlier command of this connection may give back what is held, and a request that was answered before
        // gets that answer. While the store is out of reach, nobody knows what became of the leases.
        let is_known = planned.request_id.as_ref().is_some_and(|id| {
            let earlier = by.agent().map(|agent| (agent.clone(), id.clone()));
            earlier.is_some_and(|key| self.repeatable.contains_key(&key))
                || project
                    .engine
                    .remembered(&by, id, &planned.action)
                    .is_some()
        });
        let is_up = project.line.as_ref().is_none_or(Line::is_up);
        if connection.in_flight > 0 || is_known || !is_up {
            return None;
        }
        match &planned.action {
            Action::LeaseEnsure(ensure) => project.engine.ensured(&by, ensure),
            Action::LeaseGiveBack(back) => project.engine.nothing_to_give_back(&by, back),
            _ => None,
        }
    }

    fn propose_planned(&mut self, now: Moment, origin: RequestOrigin, planned: Planned, by: Actor) {
        let pending = Pending {
            request: Some(origin),
            extra: planned.extra,
            parked: None,
            reserved: None,
        };
        self.propose(
            now,
            &planned.project,
            by,
            planned.request_id,
            planned.action,
            pending,
        );
    }

    /// Proposes a claim only if a ready task is left that no earlier claim of this node is expected to get. Otherwise a
    /// hundred agents that wait for one task would write a hundred records, of which 99 are granted nothing.
    fn admit_claim(&mut self, now: Moment, origin: RequestOrigin, planned: Planned, by: Actor) {
        let project = planned.project.clone();
        let known = self.projects.get(&project);
        let candidate = known.and_then(|p| p.candidate(&by, &planned.action));
        let contested = known.is_some_and(|p| !p.reserved.is_empty());
        let doubtful = known.is_some_and(|p| may_be_granted_elsewhere(p, &planned));
        let order = self.next_order();
        if candidate.is_some() || doubtful {
            let parked = parked(now, origin, planned);
            return self.propose_waiting(now, &project, order, by, parked, candidate);
        }
        // A reserved task comes back if its claim gets another one. A claim that does not wait is parked for that
        // moment too: an empty answer now could be wrong.
        if planned.wait_ms > 0 || contested {
            let parked = parked(now, origin, planned);
            return self.park(&project, order, parked);
        }
        self.send_answer(now, &origin, Ok(Outcome::Claimed(None)), Extra::None);
    }

    pub(super) fn next_order(&mut self) -> u64 {
        self.last_parked += 1;
        self.last_parked
    }

    /// Whether there is room for one more request under way.
    fn has_room(
        &self,
        now: Moment,
        origin: &RequestOrigin,
        planned: &Planned,
    ) -> Result<(), RpcError> {
        if self.draining {
            return Err(self.unavailable("the coordinator is stopping"));
        }
        let Some(connection) = self.connections.get(&origin.connection) else {
            return Ok(());
        };
        let agent = &connection.identity.agent;
        self.line_takes(now, &planned.project, agent, &planned.action)?;
        if self.storage_full() && self.begins_work(origin, planned) {
            return Err(storage_full());
        }
        let limits = &self.config.driver;
        let overloaded = |limit: &str, max: u64| {
            let message = format!("{limit} ({max}) requests are in progress");
            let error = RpcError::retry(ErrorKind::Overloaded, message, limits.retry_after_ms);
            Err(error.with(|detail| {
                detail.limit = Some(limit.to_owned());
                detail.max = Some(max);
            }))
        };
        if connection.in_flight >= limits.requests_in_flight_max {
            return overloaded("requests_in_flight_max", limits.requests_in_flight_max);
        }
        if self.pending.len() as u64 >= limits.commands_in_flight_max {
            return overloaded("commands_in_flight_max", limits.commands_in_flight_max);
        }
        if matches!(
            planned.action,
            Action::TaskClaim(_) | Action::LeaseAcquire(_)
        ) {
            // Claims on their way count as well: each may be granted nothing and be parked again.
            if connection.waiting + connection.claiming >= limits.requests_waiting_max {
                return overloaded("requests_waiting_max", limits.requests_waiting_max);
            }
            if self.waiting + self.claiming >= limits.waiting_max {
                return overloaded("waiting_max", limits.waiting_max);
            }
        }
        Ok(())
    }

    /// Whether a full disk refuses it. To renew what is held is no new work.
    fn begins_work(&self, origin: &RequestOrigin, planned: &Planned) -> bool {
        let connection = self.connections.get(&origin.connection);
        let project = self.projects.get(&planned.project);
        match (&planned.action, connection, project) {
            (Action::LeaseEnsure(ensure), Some(connection), Some(project)) => {
                project.engine.ensure_takes(&connection.actor(), ensure)
            }
            (action, ..) => action.begins_work(),
        }
    }

    fn start_backup(&mut self, now: Moment, origin: RequestOrigin, name: Option<String>) {
        let bad = name.as_deref().is_some_and(|name| !is_file_name(name));
        if bad {
            let message = "name: only letters, digits and '-_.' are allowed, no folders";
            let error = RpcError::new(ErrorKind::InvalidParams, message);
            return self.send_error(now, &origin, &error);
        }
        if self.draining {
            let error = self.unavailable("the coordinator is stopping");
            return self.send_error(now, &origin, &error);
        }
        if !self.backups.is_empty() {
            let message = "another backup is being written";
            let error = RpcError::retry(ErrorKind::Overloaded, message, 1_000);
            return self.send_error(now, &origin, &error);
        }
        self.last_command += 1;
        let request = self.last_command;
        let Some(id) = origin.id else { return };
        self.backups
            .insert(request, (origin.connection, id, origin.started));
        let shared = self.config.sharing.is_some();
        let snapshots = shared.then(|| self.all_snapshots());
        self.outputs.push_back(CoreOutput::Backup {
            request,
            name,
            snapshots,
        });
    }
}

pub(super) fn storage_full() -> RpcError {
    RpcError::new(
        ErrorKind::StorageFull,
        "the disk is full: finish or release work, or free disk space, then try again",
    )
}

/// Whether another coordinator may have granted the request already. It may be the second sending of one whose record
/// has not arrived here. Only a record of its own, which comes back behind that one, tells whether it gets nothing.
fn may_be_granted_elsewhere(project: &Project, planned: &Planned) -> bool {
    if is_on(Bug::VainFromOwnState) {
        return false;
    }
    project.line.is_some() && planned.request_id.is_some()
}

/// Whether an acquire waits for what others hold, or are about to get.
fn waits_in_line(project: &Project, planned: &Planned, refusal: Option<&Refusal>) -> bool {
    let is_taken = match refusal {
        Some(Refusal::LeaseConflict(_)) => true,
        Some(_) => false,
        None => project.makes_room(&planned.action),
    };
    planned.wait_ms > 0 && is_taken && !may_be_granted_elsewhere(project, planned)
}

/// Whether a session that ends ahead of the command makes room for the one that it opens.
fn makes_room(project: &Project, action: &Action, refusal: &Refusal) -> bool {
    let opens = matches!(action, Action::SessionOpen(_));
    let full = matches!(refusal, Refusal::Limit(limit) if limit.limit == "sessions_max");
    opens && full && !project.giving_way.is_empty()
}

fn parked(now: Moment, origin: RequestOrigin, planned: Planned) -> Parked {
    Parked {
        connection: origin.connection,
        id: origin.id,
        operation: origin.operation,
        started: origin.started,
        until: (planned.wait_ms > 0).then(|| now.after_ms(planned.wait_ms)),
        request_id: planned.request_id,
        action: planned.action,
    }
}

fn is_file_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(allowed)
}
