//! How durable acknowledged writes are on the operator's Redis, as far as it says so.

use redis::{Value, cmd};
use serde::Serialize;

use super::RedisStore;
use super::reply;
use super::server::field;
use super::wire::CALL_MAX;
use crate::journal::shared::StoreError;

/// How durable an acknowledged write is. `None`: the server does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Durability {
    /// Whether writes go to an append-only file.
    pub appendonly: Option<bool>,
    /// How often that file is synced: `always`, `everysec` or `no`.
    pub appendfsync: Option<String>,
    /// Whether Redis saves snapshots on a schedule.
    pub saves: Option<bool>,
    /// Whether the last write to the append-only file and the last snapshot succeeded.
    pub last_writes_ok: bool,
    pub replicas: u64,
    /// How many of them must confirm a write before it is answered.
    pub replicas_waited_for: u64,
    /// 0: no limit.
    pub maxmemory_bytes: u64,
    pub maxmemory_policy: String,
}

impl RedisStore {
    /// Asks the server. What it refuses to say stays `None`; CONFIG is often forbidden.
    pub async fn durability(&self) -> Result<Durability, StoreError> {
        let mut command = cmd("INFO");
        command.arg("persistence").arg("replication").arg("memory");
        let info = reply::text(self.writer.ask(&command, CALL_MAX).await?);
        let info = info.ok_or_else(|| reply::odd("INFO"))?;
        let number = |name| field(&info, name).and_then(|text| text.parse().ok());
        let is_ok = |name| field(&info, name).is_none_or(|text| text == "ok");
        Ok(Durability {
            appendonly: field(&info, "aof_enabled").map(|text| text == "1"),
            appendfsync: self.setting("appendfsync").await?,
            saves: self.setting("save").await?.map(|text| !text.is_empty()),
            last_writes_ok: is_ok("aof_last_write_status") && is_ok("rdb_last_bgsave_status"),
            replicas: number("connected_slaves").unwrap_or(0),
            replicas_waited_for: self.replicas.map_or(0, |wait| wait.replicas),
            maxmemory_bytes: number("maxmemory").unwrap_or(0),
            maxmemory_policy: field(&info, "maxmemory_policy")
                .unwrap_or("noeviction")
                .to_owned(),
        })
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut command = cmd("CONFIG");
        command.arg("GET").arg(name);
        match self.writer.ask(&command, CALL_MAX).await {
            Ok(Value::Array(mut pair)) => Ok(pair.pop().and_then(reply::text)),
            Ok(_) | Err(StoreError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Durability {
    /// What an operator should know: each warning is a sentence with what to do.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |text: &str| warnings.push(text.to_owned());
        match (self.appendonly, self.appendfsync.as_deref()) {
            (Some(false), _) => warn(
                "when Redis ends, acknowledged writes since its last snapshot are lost: appendonly is no; set it \
                 to yes, and appendfsync to always",
            ),
            (_, Some("everysec")) => warn(
                "acknowledged writes of the last second can be lost: appendfsync is everysec; set it \
                 to always",
            ),
            (_, Some("no")) => warn(
                "acknowledged writes of the last 30 s can be lost: appendfsync is no; set it to always",
            ),
            (_, None) | (None, _) => warn(
                "it is unknown how many acknowledged writes can be lost: Redis does not show appendfsync; allow \
                 +config|get, or make sure that appendfsync is always",
            ),
            _ => {}
        }
        if !self.last_writes_ok {
            warn("Redis could not write to its disk: check its log and the free space on the disk");
        }
        if self.replicas < self.replicas_waited_for {
            warnings.push(format!(
                "no write can be acknowledged: {} replicas must confirm it (redis.wait_replicas), but only {} \
                 are connected",
                self.replicas_waited_for, self.replicas
            ));
        } else if self.replicas > 0 && self.replicas_waited_for == 0 {
            warnings.push(
                "a failover can lose acknowledged writes that are not on a replica yet: set redis.wait_replicas to 1"
                    .to_owned(),
            );
        }
        if self.maxmemory_bytes > 0 && self.maxmemory_policy != "noeviction" {
            let policy = &self.maxmemory_policy;
            warnings.push(format!(
                "a full Redis may evict the journal: maxmemory-policy is {policy}; set it to noeviction"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe() -> Durability {
        Durability {
            appendonly: Some(true),
            appendfsync: Some("always".to_owned()),
            saves: Some(true),
            last_writes_ok: true,
            replicas: 0,
            replicas_waited_for: 0,
            maxmemory_bytes: 1,
            maxmemory_policy: "noeviction".to_owned(),
        }
    }

    fn check(durability: &Durability, expected: &str) {
        let warnings = durability.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(expected), "{warnings:?}");
    }

    #[test]
    fn each_danger_is_told() {
        assert_eq!(safe().warnings(), Vec::<String>::new());
        let fsync = |text: &str| Some(text.to_owned());
        let of = |change: fn(&mut Durability)| {
            let mut durability = safe();
            change(&mut durability);
            durability
        };
        check(&of(|d| d.appendonly = Some(false)), "appendonly is no");
        check(&of(|d| d.appendfsync = None), "config|get");
        check(&of(|d| d.last_writes_ok = false), "disk");
        check(&of(|d| d.replicas = 2), "redis.wait_replicas to 1");
        check(
            &of(|d| d.replicas_waited_for = 1),
            "no write can be acknowledged",
        );
        check(
            &of(|d| d.maxmemory_policy = "allkeys-lru".to_owned()),
            "allkeys-lru",
        );
        let mut durability = safe();
        durability.appendfsync = fsync("everysec");
        check(&durability, "last second");
        durability.appendfsync = fsync("no");
        check(&durability, "30 s");
    }
}
