//! Calls over the driver: one connection a tool call, which ends with it.
//!
//! So a request whose client has gone away stops waiting in the driver too, and nothing is kept between calls.

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::HOLD_MS;
use super::caller::{Caller, Follower, Pending};
use super::connection::Connection;
use crate::driver::Identity;
use crate::driver::shell::Driver;
use crate::engine::ids::{AgentKind, AgentName, TreeName};
use crate::protocol::error::RpcError;
use crate::protocol::events::{ChangeView, EventFilter, EventsSubscribeParams};
use crate::protocol::operations::Operation;
use crate::protocol::request_id::stamped;

/// One agent's connection to the driver, for one tool call.
pub(super) struct DriverCaller {
    driver: Driver,
    identity: Identity,
    project: Option<String>,
    connection: Connection,
    /// What the client calls this call, if it says so.
    call_id: Option<String>,
}

impl DriverCaller {
    pub(super) fn connect(
        driver: &Driver,
        identity: Identity,
        project: Option<String>,
    ) -> Result<Self, RpcError> {
        let connection = Connection::open(driver, &identity, project.as_deref())?;
        Ok(Self {
            driver: driver.clone(),
            identity,
            project,
            connection,
            call_id: None,
        })
    }

    /// Whatever is changed from now on has one effect, however often the client repeats this call.
    pub(super) fn repeatable_as(&mut self, call_id: Option<&str>) {
        self.call_id = call_id.map(str::to_owned);
    }
}

/// The id of one request of a call. It follows from all that the request says, so the same id with other arguments,
/// as of a client that numbers its calls anew, is another request.
fn request_id(call_id: &str, operation: Operation, params: &str) -> String {
    let mut digest = Sha256::new();
    for part in [call_id, operation.name(), params] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let digest = digest.finalize();
    let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("mcp-{}", digits.collect::<String>())
}

impl Caller for DriverCaller {
    fn call(
        &mut self,
        operation: Operation,
        params: String,
    ) -> Pending<'_, Result<Box<RawValue>, RpcError>> {
        let params = match &self.call_id {
            None => params,
            Some(call_id) => stamped(operation, params, |params| {
                request_id(call_id, operation, params)
            }),
        };
        Box::pin(self.connection.call(operation, params))
    }

    fn follow(
        &mut self,
        filters: Vec<EventFilter>,
    ) -> Pending<'_, Result<Box<dyn Follower>, RpcError>> {
        Box::pin(async move {
            // A connection of its own: its events do not mix with answers.
            let mut connection =
                Connection::open(&self.driver, &self.identity, self.project.as_deref())?;
            let params = EventsSubscribeParams {
                filters,
                from: None,
            };
            let params = serde_json::to_string(&params).expect("wire types always encode as JSON");
            connection.call(Operation::EventsSubscribe, params).await?;
            let follower: Box<dyn Follower> = Box::new(DriverFollower(connection));
            Ok(follower)
        })
    }

    /// The front does it, with the headers of the request: `presence.rs`.
    fn introduce(&mut self, _kind: Option<AgentKind>) -> Pending<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn hold_ms(&self) -> Option<u64> {
        Some(HOLD_MS)
    }

    fn agent(&self) -> Option<AgentName> {
        Some(self.identity.agent.clone())
    }

    fn tree(&self) -> Option<TreeName> {
        None
    }
}

struct DriverFollower(Connection);

impl Follower for DriverFollower {
    fn next(&mut self) -> Pending<'_, Result<Vec<ChangeView>, RpcError>> {
        Box::pin(self.0.changes())
    }
}
