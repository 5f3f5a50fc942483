//! One connection to one Redis server. Its calls are bounded in time, and it never reconnects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisResult, Value,
};
use rustls::ClientConfig;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::reply;
use crate::config::{Endpoint, Secret};
use crate::journal::shared::StoreError;
use crate::link;

/// The longest that connecting and logging in may take.
pub const CONNECT_MS_MAX: u64 = 3_000;
/// The longest that an ordinary call may take.
pub const CALL_MS_MAX: u64 = 3_000;
/// The longest that a call with a snapshot may take; it can have tens of megabytes.
pub const SNAPSHOT_CALL_MS_MAX: u64 = 60_000;
/// After how long without any answer of the other side the system closes a connection.
const SILENCE_MS_MAX: u64 = 10_000;

pub(super) const CALL_MAX: Duration = Duration::from_millis(CALL_MS_MAX);
pub(super) const SNAPSHOT_CALL_MAX: Duration = Duration::from_millis(SNAPSHOT_CALL_MS_MAX);

/// The user, the password and the database.
#[derive(Debug, Clone, Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: u16,
}

/// A connection. It is closed when this is dropped, even if calls are still under way.
pub(super) struct Wire {
    connection: MultiplexedConnection,
    driver: AbortHandle,
}

impl Wire {
    pub(super) async fn open(
        endpoint: &Endpoint,
        tls: Option<&Arc<ClientConfig>>,
        login: &Login,
    ) -> Result<Self, StoreError> {
        let opened = timeout(
            Duration::from_millis(CONNECT_MS_MAX),
            Self::enter(endpoint, tls, login),
        );
        let at = |text: String| format!("{endpoint}: {text}");
        match opened.await {
            Ok(Ok(wire)) => Ok(wire),
            Ok(Err(StoreError::Refused(text))) => Err(StoreError::Refused(at(text))),
            Ok(Err(StoreError::Unreachable(text))) => Err(StoreError::Unreachable(at(text))),
            Ok(Err(other)) => Err(other),
            Err(_) => Err(StoreError::Unreachable(at(format!(
                "no connection within {CONNECT_MS_MAX} ms"
            )))),
        }
    }

    async fn enter(
        endpoint: &Endpoint,
        tls: Option<&Arc<ClientConfig>>,
        login: &Login,
    ) -> Result<Self, StoreError> {
        let silence_max = Duration::from_millis(SILENCE_MS_MAX);
        let stream = link::open(endpoint, tls, Some(silence_max)).await;
        let stream = stream.map_err(|error| StoreError::Unreachable(error.to_string()))?;
        // Each call has its own time limit.
        let limits = AsyncConnectionConfig::new().set_response_timeout(None);
        let connected = MultiplexedConnection::new_with_config(&login.info(), stream, limits).await;
        let (connection, driver) = connected.map_err(|error| reply::failure(&error))?;
        Ok(Self {
            connection,
            driver: tokio::spawn(driver).abort_handle(),
        })
    }

    /// Sends one command; a refusal is an error.
    pub(super) async fn ask(&self, command: &Cmd, max: Duration) -> Result<Value, StoreError> {
        // Clones share the connection.
        let mut connection = self.connection.clone();
        let asked = connection.req_packed_command(command);
        reply::checked(answered(timeout(max, asked).await, max)?)
    }

    /// Sends several commands at once; refusals are among the answers.
    pub(super) async fn ask_all(
        &self,
        commands: &Pipeline,
        max: Duration,
    ) -> Result<Vec<Value>, StoreError> {
        let mut connection = self.connection.clone();
        let asked = connection.req_packed_commands(commands, 0, commands.len());
        answered(timeout(max, asked).await, max)
    }
}

fn answered<T>(
    asked: Result<RedisResult<T>, tokio::time::error::Elapsed>,
    max: Duration,
) -> Result<T, StoreError> {
    match asked {
        Ok(answer) => answer.map_err(|error| reply::failure(&error)),
        Err(_) => Err(StoreError::Unreachable(format!(
            "no answer within {} ms",
            max.as_millis()
        ))),
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Login {
    fn info(&self) -> RedisConnectionInfo {
        let info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name()
            .set_db(i64::from(self.database));
        let info = match &self.user {
            Some(user) => info.set_username(user),
            None => info,
        };
        match &self.password {
            Some(password) => info.set_password(password.expose()),
            None => info,
        }
    }
}
