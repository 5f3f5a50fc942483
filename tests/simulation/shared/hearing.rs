//! What clients hear: answers and notifications, and what they make of them.

use cli_coordinator::engine::ids::Cursor;
use serde_json::{Value, json};

use super::judge::{Ack, Vain};
use super::world::{World, project};
use crate::simulation::violation::{Checked, Invariant, Violation, broken, ensure};

impl World {
    /// A client reads what its coordinator has for it.
    pub(crate) fn hear(&mut self, client: usize) -> Result<Vec<Value>, Violation> {
        let mut answers = Vec::new();
        let Some(wire) = &self.clients[client].wire else {
            return Ok(answers);
        };
        let (node, id) = (wire.node, wire.id);
        if !self.nodes[node].is_running() {
            return Ok(answers);
        }
        let mut frames = Vec::new();
        self.nodes[node].core().take_frames(id, 16, &mut frames);
        let ended = frames.is_empty() && self.nodes[node].core().is_closing(id);
        for frame in frames {
            self.trace.note("hear", &frame);
            let Ok(value) = serde_json::from_slice::<Value>(&frame) else {
                return broken(Invariant::Answered, "a frame is no JSON");
            };
            if value.get("method").is_some() {
                self.notified(client, &value)?;
            } else {
                answers.extend(self.answered(client, &value)?);
            }
        }
        if ended {
            self.saw("closed by the coordinator");
            self.disconnect(client, false);
        }
        Ok(answers)
    }

    fn notified(&mut self, client: usize, value: &Value) -> Checked {
        let params = &value["params"];
        let method = value["method"].as_str().unwrap_or_default().to_owned();
        self.saw(&method);
        let known = &mut self.clients[client];
        let name = project(known.project);
        let Some(wire) = &mut known.wire else {
            return Ok(());
        };
        let lost_any = self.store.chronicle(|c| c.lost_any(&name));
        let unlost = |what: &str| format!("client {client} was told {what}, but nothing was lost");
        match method.as_str() {
            "event" => {
                let cursor = cursor_in(params, "cursor");
                let story = known.stories.last_mut().filter(|story| story.open);
                let Some(story) = story else {
                    return broken(Invariant::Honest, "an event without a subscription");
                };
                story
                    .heard
                    .push((cursor, json!([params["at_ms"], params["changes"]])));
            }
            "events.closed" => {
                let changed = params["kind"] == "epoch_changed";
                ensure(!changed || lost_any, Invariant::Honest, || {
                    unlost("events.closed")
                })?;
                if changed {
                    self.told.insert(wire.serial, self.acks.len());
                    known.end_story();
                    self.saw("events.closed: epoch_changed");
                } else {
                    known.end_story();
                }
            }
            "epoch.changed" => {
                ensure(lost_any, Invariant::Honest, || unlost("epoch.changed"))?;
                self.told.insert(wire.serial, self.acks.len());
            }
            "session.closed" => wire.closing = true,
            _ => {}
        }
        Ok(())
    }

    /// An answer. Gives its result back, if it is one.
    fn answered(&mut self, client: usize, value: &Value) -> Result<Option<Value>, Violation> {
        let known = &mut self.clients[client];
        let name = project(known.project);
        let Some(wire) = &mut known.wire else {
            return Ok(None);
        };
        let asked = value["id"].as_u64().and_then(|id| wire.asked.remove(&id));
        let Some(asked) = asked else {
            let what = format!("a reply to nothing asked: {value}");
            return broken(Invariant::Answered, what);
        };
        if let Some(error) = value.get("error") {
            let kind = error["data"]["kind"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            known.refused(&asked.method, &asked.params, &kind);
            let lost_any = self.store.chronicle(|c| c.lost_any(&name));
            ensure(
                kind != "epoch_changed" || lost_any,
                Invariant::Honest,
                || format!("client {client} was refused, but nothing was lost: {error}"),
            )?;
            ensure(
                !kind.is_empty() && kind != "internal",
                Invariant::Answered,
                || format!("{} failed: {error}", asked.method),
            )?;
            self.saw(&kind);
            return Ok(None);
        }
        let result = &value["result"];
        ensure(!asked.lacks, Invariant::Ensured, || {
            format!("was told that it holds what it does not: {asked:?}, {value}")
        })?;
        if value.get("stale_ms").is_some() || result.get("stale_ms").is_some() {
            self.seen.insert("stale".to_owned(), 1);
        }
        let serial = wire.serial;
        let subscribed = asked.method == "events.subscribe";
        if subscribed {
            let from = asked
                .params
                .get("from")
                .map(|_| cursor_in(&asked.params, "from"));
            known.subscribed(from, cursor_in(result, "cursor"));
            if from.is_some() {
                self.seen.insert("subscribed from a cursor".to_owned(), 1);
            }
        }
        let known = &mut self.clients[client];
        known.learn(&asked.method, &asked.params, result);
        let nothing = asked.method == "task.claim" && result["claim"].is_null();
        if asked.method == "session.open" && result["resumed"] == true {
            self.seen.insert("resumed".to_owned(), 1);
        }
        let unwritten = has_no_record(&asked.method, result);
        let promised = asked.params["request_id"].as_str();
        if let Some(id) = promised.filter(|_| !nothing && !unwritten) {
            self.acks.push(Ack {
                client,
                project: name.clone(),
                agent: known.identity.agent.to_string(),
                request_id: id.to_owned(),
                essence: Ack::essence(&asked.method, result),
                wire: serial,
                order: self.acks.len(),
            });
        }
        if nothing
            && let Some(id) = asked.params["request_id"].as_str()
            && let Some(behind) = asked.behind
        {
            self.vain.push(Vain {
                project: name,
                agent: known.identity.agent.to_string(),
                request_id: id.to_owned(),
                behind,
            });
        }
        self.saw(if nothing {
            "nothing to claim"
        } else if unwritten {
            "lease.ensure without a record"
        } else {
            &asked.method
        });
        Ok(Some(result.clone()))
    }
}

/// Whether the answer may have come from the state alone: what it says was so, and nothing was done.
fn has_no_record(method: &str, result: &Value) -> bool {
    match method {
        "lease.ensure" => {
            let mut leases = result["leases"].as_array().into_iter().flatten();
            leases.all(|lease| lease["how"] == "held")
        }
        "lease.release" => result["released"] == 0,
        _ => false,
    }
}

pub(crate) fn cursor_in(value: &Value, key: &str) -> Cursor {
    let text = value[key].as_str().unwrap_or_default();
    text.parse().unwrap_or_default()
}
