//! Redis: does it answer, may we in, does it take writes, and whose environment is it?

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError,
    RedisResult, ServerErrorKind, Value, cmd,
};
use tokio::time::Instant;

use super::link::Stream;
use super::{Expected, ProbeFailure, Said, ServiceState, other_environment, said};
use crate::config::{REDIS_ENVIRONMENT_KEY, RedisConfig};

/// Connects as the configuration says, then PING, ROLE and the stamp.
pub(super) async fn speak(
    stream: Stream,
    begun: Instant,
    config: &RedisConfig,
    expected: &Expected,
) -> Result<Said, ProbeFailure> {
    // The probe has a time limit of its own, for all questions together.
    let limits = AsyncConnectionConfig::new().set_response_timeout(None);
    let connected = MultiplexedConnection::new_with_config(&info(config), stream, limits).await;
    let (mut connection, driver) = connected.map_err(|error| failure(&error, config))?;
    // Ends by itself when the connection is dropped, which the time limit sees to.
    tokio::spawn(driver);
    let pong: RedisResult<Value> = cmd("PING").query_async(&mut connection).await;
    match pong.map_err(|error| failure(&error, config))? {
        Value::SimpleString(pong) if pong == "PONG" => {}
        _ => {
            return Err(ProbeFailure::wrong("its answer to PING is not Redis'"));
        }
    }
    let latency = begun.elapsed();
    let role: RedisResult<Vec<Value>> = cmd("ROLE").query_async(&mut connection).await;
    let stamp: RedisResult<Option<String>> = cmd("GET")
        .arg(REDIS_ENVIRONMENT_KEY)
        .query_async(&mut connection)
        .await;
    let (state, role, next) = of_role(&role)?;
    let (stamp, other) = of_stamp(stamp, expected);
    let (state, next) = match other {
        Some((state, next)) => (state, Some(next)),
        None => (state, next),
    };
    Ok(Said {
        state,
        latency,
        detail: format!("{role}, {stamp}"),
        next,
        identity: None,
    })
}

fn info(config: &RedisConfig) -> RedisConnectionInfo {
    let info = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP2)
        .set_skip_set_lib_name()
        .set_db(i64::from(config.database));
    let info = match &config.user {
        Some(user) => info.set_username(user),
        None => info,
    };
    match &config.password {
        Some(password) => info.set_password(password.expose()),
        None => info,
    }
}

/// What a role means for a journal; a server that does not tell may still serve.
fn of_role(
    role: &RedisResult<Vec<Value>>,
) -> Result<(ServiceState, String, Option<String>), ProbeFailure> {
    let name = role.as_ref().ok().and_then(|parts| match parts.first() {
        Some(Value::BulkString(name)) => std::str::from_utf8(name).ok(),
        _ => None,
    });
    match name {
        Some("master") => Ok((ServiceState::Running, "role master".to_owned(), None)),
        Some("slave") => {
            let next = "a replica accepts no writes: set REDIS_HOST and REDIS_PORT to its master";
            let next = Some(next.to_owned());
            Ok((ServiceState::NotReady, "role replica".to_owned(), next))
        }
        Some("sentinel") => Err(ProbeFailure::wrong("it is a Redis Sentinel, not a Redis")
            .next("set REDIS_HOST and REDIS_PORT to the Redis that it watches")),
        Some(other) => Ok((ServiceState::Running, format!("role {}", said(other)), None)),
        None => Ok((
            ServiceState::Running,
            "its role is unknown".to_owned(),
            None,
        )),
    }
}

fn of_stamp(
    stamp: RedisResult<Option<String>>,
    expected: &Expected,
) -> (String, Option<(ServiceState, String)>) {
    match stamp {
        Ok(None) => ("not yet marked with an environment".to_owned(), None),
        Ok(Some(stamp)) => {
            let text = format!("stamped {}", said(&stamp));
            (text, other_environment(&stamp, expected))
        }
        Err(error) => (
            format!("cannot read its environment: {}", words(&error)),
            None,
        ),
    }
}

/// What an error says of the service. None of it can hold the password: it is never echoed.
fn failure(error: &RedisError, config: &RedisConfig) -> ProbeFailure {
    let text = words(error);
    if let Some(code) = error.code().filter(|code| is_refusal(code)) {
        return unauthorised(config, format!("it needs a user or password: {code}"));
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => unauthorised(
            config,
            "it does not accept the user or the password".to_owned(),
        ),
        ErrorKind::Server(ServerErrorKind::BusyLoading) => {
            ProbeFailure::new(ServiceState::NotReady, "it is still loading its data")
                .next("wait a moment")
        }
        ErrorKind::Server(_) | ErrorKind::Extension => {
            let detail = format!("it answers with an error: {text}");
            ProbeFailure::new(ServiceState::NotReady, detail).next("see the log of Redis")
        }
        ErrorKind::Io if error.is_timeout() => ProbeFailure::new(ServiceState::Unreachable, text),
        _ => ProbeFailure::wrong(format!("it does not speak the protocol of Redis: {text}")),
    }
}

fn is_refusal(code: &str) -> bool {
    ["NOAUTH", "WRONGPASS", "NOPERM", "DENIED"].contains(&code)
}

fn unauthorised(config: &RedisConfig, detail: String) -> ProbeFailure {
    let next = if config.password.is_some() {
        "check REDIS_USER and REDIS_PASSWORD"
    } else {
        "set REDIS_PASSWORD, or REDIS_PASSWORD_FILE"
    };
    ProbeFailure::new(ServiceState::Unauthorised, detail).next(next)
}

fn words(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    said(&text)
}
