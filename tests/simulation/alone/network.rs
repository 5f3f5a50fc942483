//! Connections between clients and the coordinator, and what each side may expect of the other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use cli_coordinator::engine::command::Action;
use cli_coordinator::engine::event::Event;
use cli_coordinator::engine::ids::{Cursor, Position, ProjectName};
use cli_coordinator::protocol::operations::{CommandRequest, Request};
use serde_json::Value;

use crate::simulation::violation::{Checked, Invariant, broken, ensure};

/// A request whose reply has not come.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) params: Value,
    /// The coordinator has it.
    pub(crate) delivered: bool,
    /// What it waits for, if it is one that waits.
    pub(crate) waits_for: Option<Action>,
    /// Its agent does not hold what it asks to hold, and no record was proposed: only a refusal may come.
    pub(crate) lacks: bool,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) client: usize,
    pub(crate) project: ProjectName,
    pub(crate) to_core: VecDeque<String>,
    pub(crate) to_client: VecDeque<Bytes>,
    pub(crate) asked: BTreeMap<u64, Asked>,
    pub(crate) next_id: u64,
    /// The coordinator said that it ends.
    pub(crate) closing: bool,
    pub(crate) subscription: Option<Subscription>,
}

/// What a subscriber must be told: every event after `told` that it wants, in order.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) told: Position,
    /// Beginnings of the kinds it wants; all when empty.
    kinds: Vec<String>,
    prefixes: Vec<String>,
}

impl Wire {
    pub(crate) fn new(client: usize, project: ProjectName) -> Self {
        Self {
            client,
            project,
            to_core: VecDeque::new(),
            to_client: VecDeque::new(),
            asked: BTreeMap::new(),
            next_id: 1,
            closing: false,
            subscription: None,
        }
    }

    /// A subscription was answered; it counts from the cursor that the answer names.
    pub(crate) fn subscribed(&mut self, asked: &Asked, result: &Value) {
        let cursor: Option<Cursor> = result["cursor"].as_str().and_then(|text| text.parse().ok());
        let told = cursor.unwrap_or_default().position;
        let known = self.subscription.get_or_insert(Subscription {
            told,
            kinds: Vec::new(),
            prefixes: Vec::new(),
        });
        known.told = told;
        if asked.method == "context.watch" {
            let prefix = asked.params["prefix"].as_str().unwrap_or_default();
            known.prefixes.push(prefix.to_owned());
            return;
        }
        let filters = asked.params["filters"].as_array().into_iter().flatten();
        let kinds = filters.filter_map(|f| f["kinds"][0].as_str());
        known.kinds = kinds
            .map(|kind| kind.trim_end_matches('*').to_owned())
            .collect();
    }

    /// An event came: it must be the next one.
    pub(crate) fn event(
        &mut self,
        params: &Value,
        all: &[Arc<Event>],
    ) -> Result<Position, crate::simulation::violation::Violation> {
        let cursor: Option<Cursor> = params["cursor"].as_str().and_then(|text| text.parse().ok());
        let position = cursor.unwrap_or_default().position;
        let Some(subscription) = &mut self.subscription else {
            return broken(
                Invariant::Gapless,
                format!("event {position} without a subscription"),
            );
        };
        let due = subscription.next(all);
        let Some(due) = due.filter(|due| due.position == position) else {
            let due = due.map(|event| event.position);
            let told = subscription.told;
            return broken(
                Invariant::Gapless,
                format!("event {position} came after {told}, due was {due:?}"),
            );
        };
        let changes = params["changes"].as_array().map_or(0, Vec::len);
        ensure(changes == due.changes.len(), Invariant::Gapless, || {
            format!(
                "event {position} has {changes} changes of {}",
                due.changes.len()
            )
        })?;
        subscription.told = position;
        Ok(position)
    }

    /// The subscription was ended; the last event told must be the one that was.
    pub(crate) fn events_closed(&mut self, params: &Value, all: &[Arc<Event>]) -> Checked {
        let cursor: Option<Cursor> = params["cursor"].as_str().and_then(|text| text.parse().ok());
        let position = cursor.unwrap_or_default().position;
        let Some(mut subscription) = self.subscription.take() else {
            return broken(Invariant::Gapless, "events.closed without a subscription");
        };
        let missed = subscription
            .next(all)
            .is_some_and(|due| due.position <= position);
        ensure(!missed, Invariant::Gapless, || {
            format!(
                "events.closed says that {position} was told, but it was {}",
                subscription.told
            )
        })
    }

    /// Whether everything there is to tell was told.
    pub(crate) fn check_told(&mut self, all: &[Arc<Event>]) -> Checked {
        let due = self
            .subscription
            .as_mut()
            .and_then(|s| s.next(all))
            .map(|e| e.position);
        ensure(due.is_none(), Invariant::Gapless, || {
            format!("event {due:?} was never told")
        })
    }
}

impl Subscription {
    fn next<'a>(&mut self, all: &'a [Arc<Event>]) -> Option<&'a Arc<Event>> {
        let start = all.partition_point(|event| event.position <= self.told);
        all.iter().skip(start).find(|event| self.wants(event))
    }

    fn wants(&self, event: &Event) -> bool {
        use cli_coordinator::engine::event::Subject;
        let everything = self.kinds.is_empty() && self.prefixes.is_empty();
        everything
            || event.changes.iter().any(|change| {
                let kind = change.kind.as_str();
                let wanted = self
                    .kinds
                    .iter()
                    .any(|start| kind.starts_with(start.as_str()));
                let watched = match &change.subject {
                    Some(Subject::Context { key, .. }) => self
                        .prefixes
                        .iter()
                        .any(|p| key.as_str().starts_with(p.as_str())),
                    _ => false,
                };
                wanted || watched
            })
    }
}

impl Wire {
    /// Puts a request on its way. `hostile`: as text that is no proper request.
    pub(crate) fn ask(&mut self, method: String, params: Value, hostile: bool) -> String {
        let id = self.next_id;
        self.next_id += 1;
        let text =
            serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let mut text = text.to_string();
        if hostile {
            // Truncated: the answer names no id, so nothing is awaited.
            text.truncate(text.len() / 2);
            text = format!(
                "{{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":[{}]}}",
                text.len()
            );
        } else {
            self.asked.insert(
                id,
                Asked {
                    waits_for: waits_for(&method, &params),
                    method,
                    params,
                    delivered: false,
                    lacks: false,
                },
            );
        }
        self.to_core.push_back(text.clone());
        text
    }

    /// The next frame that reaches the coordinator.
    /// The next frame, and the number of its request.
    pub(crate) fn next_frame(&mut self) -> Option<(String, Option<u64>)> {
        let text = self.to_core.pop_front()?;
        let value: Option<Value> = serde_json::from_str(&text).ok();
        let id = value.and_then(|value| value["id"].as_u64());
        if let Some(asked) = id.and_then(|id| self.asked.get_mut(&id)) {
            asked.delivered = true;
        }
        Some((text, id))
    }
}

fn waits_for(method: &str, params: &Value) -> Option<Action> {
    let raw = serde_json::value::to_raw_value(params).expect("values are JSON");
    let Ok((_, Request::Command(request))) = Request::parse(method, Some(&raw)) else {
        return None;
    };
    match request {
        CommandRequest::TaskClaim(params) => Some(Action::TaskClaim(params.into())),
        CommandRequest::LeaseAcquire(params) => Some(Action::LeaseAcquire(params.into())),
        _ => None,
    }
}
