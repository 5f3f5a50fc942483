//! A broker and its one reader, which judges what it gets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::packets::{self, Said};
use crate::simulation::violation::{Checked, Invariant, broken, ensure};

/// What the broker does, besides keeping things.
#[derive(Debug)]
pub(super) enum Deed {
    Send {
        to: u64,
        bytes: Vec<u8>,
    },
    /// Ends the connection of an older client with the same id.
    TakeOver(u64),
    /// Tells this will later, unless the client comes back before.
    Will {
        will: Will,
        delay_s: u32,
    },
    /// A connection was accepted.
    Accepted(u64),
}

/// One connection.
#[derive(Debug)]
struct Peer {
    v5: bool,
    inbox: Vec<u8>,
    unacknowledged: u16,
    will: Option<Will>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Will {
    topic: String,
    payload: String,
    delay_s: u32,
}

#[derive(Debug, Default)]
pub(super) struct Broker {
    pub(super) receive_max: u16,
    /// Says old wills after the new status, instead of before.
    pub(super) tells_late: bool,
    peers: BTreeMap<u64, Peer>,
    /// The connection that has the client id.
    current: Option<u64>,
    /// Wills that wait for their delay.
    delayed: Vec<Will>,
    session: BTreeSet<String>,
    pub(super) retained: BTreeMap<String, String>,
    pub(super) refuses: bool,
    pub(super) reader: Reader,
}

/// What a subscriber outside has got of each project.
#[derive(Debug, Default)]
pub(super) struct Reader {
    projects: BTreeMap<String, Got>,
    pub(super) healths: u64,
    pub(super) seen: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Got {
    events: BTreeSet<u64>,
    /// After, and up to and including.
    gaps: Vec<(u64, u64)>,
    newest: u64,
    /// The broker refused them once, so that they may come late.
    refused: BTreeSet<u64>,
}

impl Reader {
    pub(super) fn note(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    fn refused(&mut self, topic: &str, payload: &str) {
        self.note("refused");
        let Some((_, project)) = topic.split_once("/event/") else {
            return;
        };
        let message: Value = serde_json::from_str(payload).unwrap();
        if let Some(cursor) = message["cursor"].as_str() {
            let got = self.projects.entry(project.to_owned()).or_default();
            got.refused.insert(position(cursor));
        }
    }

    fn got(&mut self, topic: &str, payload: &str) -> Checked {
        let Some((_, project)) = topic.split_once("/event/") else {
            // Not the request, whose topic ends in the same way.
            self.healths += u64::from(topic.ends_with("/health") && !topic.contains("/cmd/"));
            return Ok(());
        };
        let message: Value = serde_json::from_str(payload).unwrap();
        let got = self.projects.entry(project.to_owned()).or_default();
        if let Some(gap) = message.get("gap") {
            let at = |key: &str| gap[key].as_str().map_or(0, position);
            got.gaps.push((at("after"), at("next")));
            let reason = gap["reason"].as_str().unwrap();
            self.note(format!("gap: {reason}"));
            return Ok(());
        }
        let at = position(message["cursor"].as_str().unwrap());
        let is_new = got.events.insert(at);
        let in_order = !is_new || at > got.newest || got.refused.contains(&at);
        let newest = got.newest;
        got.newest = newest.max(at);
        self.note(if is_new { "event" } else { "duplicate" });
        ensure(in_order, Invariant::Gapless, || {
            format!("{project}: event {at} came first after {newest}")
        })
    }

    /// Every event up to `last` came, or its loss was told.
    pub(super) fn check(&self, project: &str, last: u64) -> Checked {
        let none = Got::default();
        let got = self.projects.get(project).unwrap_or(&none);
        for at in 1..=last {
            let told = got
                .gaps
                .iter()
                .any(|(after, next)| *after < at && at <= *next);
            if !told && !got.events.contains(&at) {
                let what =
                    format!("{project}: event {at} of {last} never came, and no gap was told");
                return broken(Invariant::Gapless, what);
            }
        }
        Ok(())
    }
}

fn position(cursor: &str) -> u64 {
    cursor.split_once(':').unwrap().1.parse().unwrap()
}

impl Broker {
    pub(super) fn new(receive_max: u16, tells_late: bool) -> Self {
        Self {
            receive_max,
            tells_late,
            ..Self::default()
        }
    }

    pub(super) fn accept(&mut self, connection: u64) {
        let peer = Peer {
            v5: true,
            inbox: Vec::new(),
            unacknowledged: 0,
            will: None,
        };
        self.peers.insert(connection, peer);
    }

    /// Ends all connections, and forgets what was not stored.
    pub(super) fn restart(&mut self, with_memory: bool) -> Vec<u64> {
        let ended = std::mem::take(&mut self.peers).into_keys().collect();
        self.current = None;
        self.delayed.clear();
        if !with_memory {
            self.retained.clear();
            self.session.clear();
        }
        ended
    }

    /// Reads what a connection sent.
    pub(super) fn receive(
        &mut self,
        connection: u64,
        bytes: &[u8],
        lost: &mut dyn FnMut() -> bool,
        deeds: &mut Vec<Deed>,
    ) -> Checked {
        let Some(peer) = self.peers.get_mut(&connection) else {
            return Ok(());
        };
        peer.inbox.extend(bytes);
        while let Some(peer) = self.peers.get_mut(&connection) {
            let v5 = peer.v5;
            let Some(said) = packets::read(&mut peer.inbox, v5) else {
                break;
            };
            self.heard(connection, said, lost, deeds)?;
        }
        Ok(())
    }

    fn heard(
        &mut self,
        connection: u64,
        said: Said,
        lost: &mut dyn FnMut() -> bool,
        deeds: &mut Vec<Deed>,
    ) -> Checked {
        let Some(peer) = self.peers.get_mut(&connection) else {
            return Ok(());
        };
        let v5 = peer.v5;
        let mut send = |bytes| {
            deeds.push(Deed::Send {
                to: connection,
                bytes,
            });
        };
        match said {
            Said::Connect {
                v5,
                clean,
                will: (topic, payload),
                will_delay_s,
                ..
            } => {
                peer.v5 = v5;
                peer.will = Some(Will {
                    topic,
                    payload,
                    delay_s: will_delay_s,
                });
                let present = !clean && !self.session.is_empty();
                if clean {
                    self.session.clear();
                }
                send(packets::connack(v5, present, self.receive_max));
                deeds.push(Deed::Accepted(connection));
                if let Some(older) = self.current.replace(connection)
                    && self.peers.contains_key(&older)
                {
                    deeds.push(Deed::TakeOver(older));
                    self.ended(older, deeds);
                }
                // The client is back, so that its will is not told, by a broker that keeps to the rules.
                if v5 && !self.tells_late {
                    self.delayed.clear();
                }
            }
            Said::Publish {
                topic,
                payload,
                id,
                retain,
            } => {
                peer.unacknowledged += 1;
                let (many, most) = (peer.unacknowledged, self.receive_max);
                if v5 && many > most {
                    let what = format!("{many} publishes are in flight, and {most} are allowed");
                    return broken(Invariant::Bounded, what);
                }
                let refused = v5 && self.refuses && topic.contains("/event/");
                if refused {
                    self.reader.refused(&topic, &payload);
                } else {
                    self.take(&topic, &payload, retain, deeds)?;
                }
                if lost() {
                    self.reader.note("acknowledgement lost");
                } else {
                    deeds.push(Deed::Send {
                        to: connection,
                        bytes: packets::puback(id, refused),
                    });
                    if let Some(peer) = self.peers.get_mut(&connection) {
                        peer.unacknowledged -= 1;
                    }
                }
            }
            Said::Subscribe { id, topics } => {
                send(packets::suback(v5, id, topics.len()));
                for topic in &topics {
                    if let Some(payload) = self.retained.get(topic) {
                        send(packets::publish(v5, topic, payload, true));
                    }
                }
                self.session.extend(topics);
            }
            Said::Ping => send(vec![0xd0, 0]),
            Said::PubAck => {}
            Said::Disconnect => {
                self.peers.remove(&connection);
            }
        }
        Ok(())
    }

    /// Takes a publish, of the box or of anybody.
    pub(super) fn take(
        &mut self,
        topic: &str,
        payload: &str,
        retain: bool,
        deeds: &mut Vec<Deed>,
    ) -> Checked {
        if retain {
            self.retained.insert(topic.to_owned(), payload.to_owned());
        }
        if let Some(to) = self.current
            && let Some(peer) = self.peers.get(&to)
            && self.session.contains(topic)
        {
            let bytes = packets::publish(peer.v5, topic, payload, false);
            deeds.push(Deed::Send { to, bytes });
        }
        self.reader.got(topic, payload)
    }

    /// A connection ended without a goodbye.
    pub(super) fn ended(&mut self, connection: u64, deeds: &mut Vec<Deed>) {
        let Some(will) = self.peers.remove(&connection).and_then(|peer| peer.will) else {
            return;
        };
        let delay_s = will.delay_s;
        self.delayed.push(will.clone());
        deeds.push(Deed::Will { will, delay_s });
    }

    /// The delay of a will is over.
    pub(super) fn tell(&mut self, will: &Will, deeds: &mut Vec<Deed>) -> Checked {
        let Some(at) = self.delayed.iter().position(|delayed| delayed == will) else {
            return Ok(());
        };
        self.delayed.remove(at);
        let late = self
            .current
            .is_some_and(|current| self.peers.contains_key(&current));
        self.reader
            .note(if late { "old will told late" } else { "will" });
        self.take(&will.topic, &will.payload, true, deeds)
    }

    pub(super) fn status(&self, topic: &str) -> Option<Value> {
        serde_json::from_str(self.retained.get(topic)?).ok()
    }
}
