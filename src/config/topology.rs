//! How Redis is laid out: one server, one found through Sentinels, or a Cluster; and how safe a write
//! must be before it counts.

use std::path::PathBuf;

use serde::Serialize;

use super::host::{AllowedHost, Endpoint};
use super::problem::Misfit;
use super::reader::Reader;
use super::secret::Secret;
use super::settings::{
    REDIS_CA_FILE, REDIS_CLUSTER, REDIS_DATABASE, REDIS_HOST, REDIS_PORT, REDIS_SENTINEL_MASTER,
    REDIS_SENTINEL_PASSWORD, REDIS_SENTINEL_USER, REDIS_SENTINELS, REDIS_URL, REDIS_WAIT_MS,
    REDIS_WAIT_REPLICAS, Spec,
};
use crate::edge::ports::Port;

/// Where a Sentinel listens when nobody says otherwise.
pub const SENTINEL_PORT: Port = Port::new(26379).expect("it is not nought");

/// Which servers there are.
#[derive(Debug, Clone)]
pub enum RedisTopology {
    Single,
    /// The endpoint is any node of the Cluster; it says where a project's keys are.
    Cluster,
    /// The endpoint is the first Sentinel; one of them says where the master is.
    Sentinel(SentinelConfig),
}

#[derive(Debug, Clone)]
pub struct SentinelConfig {
    /// At least one.
    pub sentinels: Vec<Endpoint>,
    /// What the Sentinels call the master.
    pub master: String,
    /// As whom to ask the Sentinels; the servers have a user and a password of their own.
    pub user: Option<String>,
    pub password: Option<Secret>,
}

/// How many replicas must confirm a write, and how long to wait for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReplicaWait {
    pub replicas: u64,
    pub wait_ms: u64,
}

/// The Sentinels, if any are named.
pub(super) fn sentinels(reader: &mut Reader) -> Option<SentinelConfig> {
    let hosts = reader.optional(&REDIS_SENTINELS);
    let master = reader.optional(&REDIS_SENTINEL_MASTER);
    let user = reader.optional(&REDIS_SENTINEL_USER);
    let password = reader.optional(&REDIS_SENTINEL_PASSWORD);
    if hosts.as_ref().is_some_and(Vec::is_empty) {
        let right = "give at least one, or leave it out";
        problem(reader, &REDIS_SENTINELS, "the list is empty", right);
    }
    let hosts = hosts.filter(|hosts| !hosts.is_empty());
    if hosts.is_some() && reader.given_by(&REDIS_SENTINEL_MASTER).is_none() {
        let what = "there are Sentinels, but no name of the master that they watch";
        problem(reader, &REDIS_SENTINELS, what, "set redis.sentinel_master");
    }
    if user.is_some() && password.is_none() {
        let what = "there is a user, but no password";
        problem(
            reader,
            &REDIS_SENTINEL_USER,
            what,
            "set redis.sentinel_password",
        );
    }
    if hosts.is_none() {
        let idle: [&Spec; 3] = [
            &REDIS_SENTINEL_MASTER,
            &REDIS_SENTINEL_USER,
            &REDIS_SENTINEL_PASSWORD,
        ];
        for spec in idle {
            without_effect(reader, spec, "redis.sentinels is set");
        }
    }
    let endpoint = |host: AllowedHost| Endpoint {
        host: host.host,
        port: host.port.unwrap_or(SENTINEL_PORT),
    };
    Some(SentinelConfig {
        sentinels: hosts?.into_iter().map(endpoint).collect(),
        master: master.unwrap_or_default(),
        user,
        password,
    })
}

/// What was asked for must go together.
pub(super) fn topology(
    reader: &mut Reader,
    sentinels: Option<SentinelConfig>,
    database: u64,
) -> RedisTopology {
    let cluster = reader.get(&REDIS_CLUSTER);
    if cluster && database != 0 {
        let what = format!("it is {database}, but a Cluster has only database 0");
        problem(
            reader,
            &REDIS_DATABASE,
            &what,
            "leave it out, or set redis.cluster to false",
        );
    }
    let Some(sentinels) = sentinels else {
        return if cluster {
            RedisTopology::Cluster
        } else {
            RedisTopology::Single
        };
    };
    if cluster {
        let what = "there are Sentinels, but a Cluster has no Sentinels";
        problem(
            reader,
            &REDIS_SENTINELS,
            what,
            "keep redis.sentinels or redis.cluster",
        );
    }
    let places: [&Spec; 3] = [&REDIS_URL, &REDIS_HOST, &REDIS_PORT];
    for spec in places {
        if reader.given_by(spec).is_some() {
            let what = "the Sentinels say where Redis is";
            problem(
                reader,
                spec,
                what,
                "leave it out, or leave out redis.sentinels",
            );
        }
    }
    RedisTopology::Sentinel(sentinels)
}

/// The authorities to trust instead of the machine's.
pub(super) fn ca_file(reader: &mut Reader, tls: bool) -> Option<PathBuf> {
    let path = reader.optional(&REDIS_CA_FILE);
    if !tls {
        without_effect(
            reader,
            &REDIS_CA_FILE,
            "redis.tls is true or the URL is rediss://",
        );
    }
    path.filter(|_| tls)
}

/// `None`: a write counts when the master has it.
pub(super) fn replicas(reader: &mut Reader) -> Option<ReplicaWait> {
    let replicas = reader.get(&REDIS_WAIT_REPLICAS);
    let wait_ms = reader.get(&REDIS_WAIT_MS);
    if replicas == 0 {
        without_effect(reader, &REDIS_WAIT_MS, "redis.wait_replicas is more than 0");
        return None;
    }
    Some(ReplicaWait { replicas, wait_ms })
}

fn problem(reader: &mut Reader, spec: &Spec, what: &str, right: &str) {
    reader.problem(spec, reader.source(spec), Misfit::new(what, right));
}

fn without_effect(reader: &mut Reader, spec: &Spec, when: &str) {
    if let Some(source) = reader.given_by(spec).cloned() {
        let text = format!("{} has no effect: it is used only when {when}", spec.key);
        reader.warn(source, text);
    }
}
