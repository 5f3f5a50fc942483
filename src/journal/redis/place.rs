//! Which server has a key: the configured one, the master that a Sentinel names, or the node of a Cluster that
//! serves its slot. It is looked up for each connection, so that a failover is followed.
//!
//! With TLS, Sentinels and nodes use TLS too. Their certificates must have the names by which they call each
//! other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Value, cmd};
use rustls::ClientConfig;
use tokio::time::timeout;

use super::reply::{self, array, odd};
use super::wire::{CALL_MAX, Login, Wire};
use crate::config::{Endpoint, RedisConfig, RedisTopology, SentinelConfig};
use crate::edge::ports::Port;
use crate::journal::shared::StoreError;

/// How long to wait for one Sentinel or node before asking the next.
pub const LOOKUP_MS_MAX: u64 = 1_500;

/// How many nodes of a Cluster are remembered, to be asked if the configured one is gone.
const KNOWN_NODES_MAX: usize = 32;

type TlsClient<'a> = Option<&'a Arc<ClientConfig>>;

#[derive(Debug)]
pub(super) enum RedisPlace {
    Fixed(Endpoint),
    Sentinel {
        sentinels: Vec<Endpoint>,
        master: String,
        login: Login,
    },
    Cluster {
        seed: Endpoint,
        /// The masters, as of the last answer.
        known: Mutex<Vec<Endpoint>>,
    },
}

/// A range of slots, and the node that serves them.
struct Slots {
    first: i64,
    last: i64,
    master: Endpoint,
}

impl RedisPlace {
    pub(super) fn of(config: &RedisConfig) -> Self {
        match &config.topology {
            RedisTopology::Single => Self::Fixed(config.endpoint.clone()),
            RedisTopology::Cluster => Self::Cluster {
                seed: config.endpoint.clone(),
                known: Mutex::default(),
            },
            RedisTopology::Sentinel(SentinelConfig {
                sentinels,
                master,
                user,
                password,
            }) => Self::Sentinel {
                sentinels: sentinels.clone(),
                master: master.clone(),
                login: Login {
                    user: user.clone(),
                    password: password.clone(),
                    database: 0,
                },
            },
        }
    }

    /// The server that has the key now.
    pub(super) async fn find(
        &self,
        key: &str,
        tls: TlsClient<'_>,
        login: &Login,
    ) -> Result<Endpoint, StoreError> {
        let asked = match self {
            Self::Fixed(endpoint) => return Ok(endpoint.clone()),
            Self::Sentinel { sentinels, .. } => sentinels.clone(),
            Self::Cluster { seed, known } => {
                let mut nodes = vec![seed.clone()];
                nodes.extend(locked(known).iter().cloned());
                nodes
            }
        };
        let max = Duration::from_millis(LOOKUP_MS_MAX);
        let (mut failures, mut refused) = (Vec::new(), false);
        for endpoint in &asked {
            // The first answer is used without asking the others: the server that it names is asked later whether it
            // is a master.
            let asking = self.find_by(endpoint, key, tls, login);
            let error = match timeout(max, asking).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => error,
                Err(_) => {
                    let text = format!("{endpoint}: no answer within {LOOKUP_MS_MAX} ms");
                    StoreError::Unreachable(text)
                }
            };
            refused |= !matches!(error, StoreError::Unreachable(_));
            failures.push(error.to_string());
        }
        let text = format!(
            "no Sentinel or Cluster node says where Redis is ({})",
            failures.join("; ")
        );
        Err(if refused {
            StoreError::Refused(text)
        } else {
            StoreError::Unreachable(text)
        })
    }

    async fn find_by(
        &self,
        asked: &Endpoint,
        key: &str,
        tls: TlsClient<'_>,
        login: &Login,
    ) -> Result<Endpoint, StoreError> {
        match self {
            Self::Fixed(endpoint) => Ok(endpoint.clone()),
            Self::Sentinel { master, login, .. } => master_named(master, asked, tls, login).await,
            Self::Cluster { known, .. } => {
                let (slot, slots) = slots_at(asked, key, tls, login).await?;
                // A node that was removed from the Cluster knows no others. Then keep the nodes known so far.
                if !slots.is_empty() {
                    let masters = slots.iter().map(|slots| slots.master.clone());
                    *locked(known) = masters.take(KNOWN_NODES_MAX).collect();
                }
                let mut slots = slots.into_iter();
                let serving = slots.find(|slots| (slots.first..=slots.last).contains(&slot));
                serving.map(|slots| slots.master).ok_or_else(|| {
                    StoreError::Refused(format!("{asked}: no node serves slot {slot}"))
                })
            }
        }
    }
}

async fn master_named(
    master: &str,
    sentinel: &Endpoint,
    tls: TlsClient<'_>,
    login: &Login,
) -> Result<Endpoint, StoreError> {
    let wire = Wire::open(sentinel, tls, login).await?;
    let mut command = cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let mut answer = array(wire.ask(&command, CALL_MAX).await?, "SENTINEL")?.into_iter();
    let (Some(host), Some(port)) = (answer.next(), answer.next()) else {
        let text = format!("{sentinel}: it watches no master {master:?} (redis.sentinel_master)");
        return Err(StoreError::Refused(text));
    };
    endpoint_of(host, port).ok_or_else(|| odd("SENTINEL"))
}

/// The key's slot, and which node serves which slots.
async fn slots_at(
    node: &Endpoint,
    key: &str,
    tls: TlsClient<'_>,
    login: &Login,
) -> Result<(i64, Vec<Slots>), StoreError> {
    let wire = Wire::open(node, tls, login).await?;
    let mut slot = cmd("CLUSTER");
    slot.arg("KEYSLOT").arg(key);
    let Value::Int(slot) = wire.ask(&slot, CALL_MAX).await? else {
        return Err(odd("CLUSTER KEYSLOT"));
    };
    let mut slots = cmd("CLUSTER");
    slots.arg("SLOTS");
    let ranges = array(wire.ask(&slots, CALL_MAX).await?, "CLUSTER SLOTS")?;
    let ranges = ranges.into_iter().filter_map(|range| slots_of(range, node));
    Ok((slot, ranges.collect()))
}

/// Parses `[first, last, [host, port, …], …]`, where the master comes before its replicas. A range whose master is
/// unknown is left out. A node that does not know its own address leaves the host out.
fn slots_of(range: Value, asked: &Endpoint) -> Option<Slots> {
    let mut parts = array(range, "CLUSTER SLOTS").ok()?.into_iter();
    let (Value::Int(first), Value::Int(last)) = (parts.next()?, parts.next()?) else {
        return None;
    };
    let mut node = array(parts.next()?, "CLUSTER SLOTS").ok()?.into_iter();
    let host = match node.next()? {
        Value::Nil => asked.host.to_string(),
        host => Some(reply::text(host)?)
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| asked.host.to_string()),
    };
    let master = endpoint_of(Value::SimpleString(host), node.next()?)?;
    Some(Slots {
        first,
        last,
        master,
    })
}

fn endpoint_of(host: Value, port: Value) -> Option<Endpoint> {
    let port: u16 = reply::text(port)?.parse().ok()?;
    Some(Endpoint {
        host: reply::text(host)?.parse().ok()?,
        port: Port::new(port)?,
    })
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
