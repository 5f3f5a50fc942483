//! The server at the other end of a connection: its run, its role, its version.

use redis::{Value, cmd};

use super::reply;
use super::wire::{CALL_MAX, Wire};
use crate::journal::shared::{Incarnation, StoreError};

/// The oldest versions that complete an id like `5-*`.
const REDIS_VERSION_MIN: (u64, u64) = (7, 0);
const VALKEY_VERSION_MIN: (u64, u64) = (7, 2);

/// One run of one server as the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedisServer {
    pub(super) run_id: String,
    /// Changes whenever a replica becomes a master.
    pub(super) replication_id: String,
}

impl RedisServer {
    /// Asks which server is at the other end of a connection.
    pub(super) async fn at(wire: &Wire) -> Result<Self, StoreError> {
        let mut info = cmd("INFO");
        info.arg("server").arg("replication");
        Self::of(wire.ask(&info, CALL_MAX).await?)
    }

    /// Parses the answer to INFO. Accepts only a master that is not too old.
    pub(super) fn of(info: Value) -> Result<Self, StoreError> {
        let info = reply::text(info).ok_or_else(|| reply::odd("INFO"))?;
        let field = |name: &str| field(&info, name).map(str::to_owned);
        of_age(&info)?;
        match field("role").as_deref() {
            Some("master") => {}
            Some(_) => {
                let text = "it is a replica, which accepts no writes";
                return Err(StoreError::Refused(text.to_owned()));
            }
            None => return Err(reply::odd("INFO")),
        }
        Ok(Self {
            run_id: field("run_id").ok_or_else(|| reply::odd("INFO"))?,
            replication_id: field("master_replid").ok_or_else(|| reply::odd("INFO"))?,
        })
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        Incarnation(format!("{}.{}", self.run_id, self.replication_id))
    }
}

/// The value of the line `name:value`.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

fn of_age(info: &str) -> Result<(), StoreError> {
    let (name, version, min) = match field(info, "valkey_version") {
        Some(version) => ("Valkey", version, VALKEY_VERSION_MIN),
        None => (
            "Redis",
            field(info, "redis_version").unwrap_or_default(),
            REDIS_VERSION_MIN,
        ),
    };
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= min {
        return Ok(());
    }
    Err(StoreError::Unfit(format!(
        "the server is {name} {version}, but a shared journal needs at least Redis {}.{} or Valkey {}.{}",
        REDIS_VERSION_MIN.0, REDIS_VERSION_MIN.1, VALKEY_VERSION_MIN.0, VALKEY_VERSION_MIN.1
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str) -> Result<RedisServer, StoreError> {
        let rest = "\r\nrun_id:r\r\nrole:master\r\nmaster_replid:m\r\n";
        RedisServer::of(Value::BulkString(format!("{lines}{rest}").into_bytes()))
    }

    #[test]
    fn servers_are_old_enough_or_not() {
        let server = of("redis_version:7.0.15").expect("it is young enough");
        assert_eq!(server.incarnation().0, "r.m");
        of("redis_version:10.1.0").expect("it is young enough");
        of("redis_version:7.2.4\r\nvalkey_version:8.0.1").expect("it is young enough");
        for old in [
            "redis_version:6.2.9",
            "redis_version:7.2.4\r\nvalkey_version:7.1.0",
            "",
        ] {
            let error = of(old).expect_err("it is too old");
            assert!(matches!(error, StoreError::Unfit(_)), "{error}");
        }
    }
}
