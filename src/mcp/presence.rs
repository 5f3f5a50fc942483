//! Presence of agents whose requests come one by one: over HTTP, or by hooks of a CLI, each of which is a process
//! and a connection of its own.
//!
//! The first request of an agent opens a session in the driver, so that others see it. The session ends when
//! nothing was heard of the agent for [`QUIET_MS`]. It holds nothing, so nothing is lost with it: after a restart
//! the next request opens another one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::HOLD_MS;
use crate::driver::shell::{Driver, DriverLink};
use crate::driver::{Identity, Prospect};
use crate::engine::command::Role;
use crate::engine::ids::{AgentKind, AgentName, TokenId};
use crate::protocol::operations::Operation;
use crate::protocol::session::{PeerConfig, SessionOpenParams};

/// How long an agent stays present without a request: as long as what it took is held.
const QUIET_MS: u64 = HOLD_MS;
/// How often what an agent holds is looked at for renewal.
const RENEW_MS: u64 = 5 * 60_000;
/// Agents that are present at once. Beyond it, the one that was silent the longest is gone.
const PRESENT_MAX: usize = 4_096;
/// Seats of one token that are present at once, as many as a project takes. Beyond it, another one is served and not
/// shown as present, so that a client which makes up seats takes nobody's place.
const PRESENT_OF_TOKEN_MAX: usize = 256;
/// Frames taken from the driver at once.
const FRAMES_AT_ONCE_MAX: usize = 64;

/// Whom a request counts for: the token, its agent, and the project that it named.
type Key = (TokenId, AgentName, Option<String>);

/// The agents that are present.
#[derive(Clone)]
pub struct Presences {
    driver: Driver,
    present: Arc<Mutex<BTreeMap<Key, Present>>>,
}

struct Present {
    /// When it was heard of last. Its task ends when this is gone.
    heard: watch::Sender<Instant>,
    /// When what it holds was looked at last.
    renewed: Option<Instant>,
}

impl std::fmt::Debug for Presences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presences")
    }
}

impl Presences {
    pub fn new(driver: Driver) -> Self {
        Self {
            driver,
            present: Arc::default(),
        }
    }

    /// Notes that an agent was heard of. Returns whether it is time to renew what it holds.
    pub(super) fn heard(
        &self,
        identity: &Identity,
        project: Option<&str>,
        kind: Option<AgentKind>,
    ) -> bool {
        let interval = Duration::from_millis(RENEW_MS);
        let due = self.with(identity, project, kind, |known, now| {
            let due = known.renewed.is_none_or(|at| now - at >= interval);
            if due {
                known.renewed = Some(now);
            }
            due
        });
        due == Some(true)
    }

    /// Notes that a hook of an agent's CLI was heard of. What the agent holds is not renewed by that.
    pub fn hooked(&self, identity: &Identity, project: Option<&str>, kind: AgentKind) {
        self.with(identity, project, Some(kind), |_, _| ());
    }

    /// Ends the presence of an agent whose CLI session ends.
    pub fn left(&self, identity: &Identity, project: Option<&str>) {
        let key = key(identity, project);
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.remove(&key);
    }

    /// Makes the agent present, unless it is, and notes that it was heard of now.
    fn with<T>(
        &self,
        identity: &Identity,
        project: Option<&str>,
        kind: Option<AgentKind>,
        note: impl FnOnce(&mut Present, Instant) -> T,
    ) -> Option<T> {
        // An observer cannot have a session, and holds nothing.
        if identity.role < Role::Agent {
            return None;
        }
        let now = Instant::now();
        let key = key(identity, project);
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let open = |it: &Present| !it.heard.is_closed();
        if !present.get(&key).is_some_and(open) {
            present.retain(|_, it| open(it));
            let of_token = present.keys().filter(|(token, ..)| *token == key.0);
            if of_token.count() >= PRESENT_OF_TOKEN_MAX {
                return None;
            }
            let heard = self.open(identity, project, kind, now)?;
            make_room(&mut present);
            let renewed = None;
            present.insert(key.clone(), Present { heard, renewed });
        }
        let known = present.get_mut(&key)?;
        known.heard.send_replace(now);
        Some(note(known, now))
    }

    fn open(
        &self,
        identity: &Identity,
        project: Option<&str>,
        kind: Option<AgentKind>,
        now: Instant,
    ) -> Option<watch::Sender<Instant>> {
        let connected = self
            .driver
            .connect(identity.clone(), project, &PeerConfig::default());
        // The request itself meets the same refusal, and tells it.
        let link = connected.ok()?;
        let params = SessionOpenParams {
            kind,
            ..SessionOpenParams::default()
        };
        let params = serde_json::to_string(&params).expect("wire types always encode as JSON");
        link.frame(&frame(Operation::SessionOpen, &params));
        let (heard, listening) = watch::channel(now);
        tokio::spawn(stay(link, listening));
        Some(heard)
    }
}

fn key(identity: &Identity, project: Option<&str>) -> Key {
    (
        identity.token.clone(),
        identity.agent.clone(),
        project.map(str::to_owned),
    )
}

fn make_room(present: &mut BTreeMap<Key, Present>) {
    if present.len() < PRESENT_MAX {
        return;
    }
    let oldest = present.iter().min_by_key(|(_, it)| *it.heard.borrow());
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        present.remove(&key);
    }
}

/// Keeps the session until the agent is silent, or the driver ends it.
async fn stay(link: DriverLink, mut heard: watch::Receiver<Instant>) {
    let quiet = Duration::from_millis(QUIET_MS);
    let mut frames = Vec::new();
    loop {
        let prospect = link.take_frames(FRAMES_AT_ONCE_MAX, &mut frames);
        // The only request was to open the session. Without one there is nothing to keep.
        if frames.drain(..).any(|frame| is_refusal(&frame)) {
            return;
        }
        match prospect {
            None => continue,
            Some(Prospect::Open) => {}
            Some(_) => return,
        }
        let until = *heard.borrow_and_update() + quiet;
        tokio::select! {
            () = link.ready() => {}
            changed = heard.changed() => if changed.is_err() { break },
            () = sleep_until(until) => break,
        }
    }
    link.frame(&frame(Operation::SessionClose, "{}"));
}

fn frame(operation: Operation, params: &str) -> String {
    let name = operation.name();
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{name}","params":{params}}}"#)
}

fn is_refusal(frame: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Refusal>(frame).is_ok_and(|frame| frame.error.is_some())
}
