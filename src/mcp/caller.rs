//! What a tool needs of its surroundings: to call operations, and to follow events.

use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::engine::ids::{AgentKind, AgentName, TreeName};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::events::{ChangeView, EventFilter};
use crate::protocol::operations::Operation;

/// A future that is not done yet.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs operations for one agent.
pub trait Caller: Send {
    /// Calls an operation. Parameters and result are JSON texts.
    fn call(
        &mut self,
        operation: Operation,
        params: String,
    ) -> Pending<'_, Result<Box<RawValue>, RpcError>>;

    /// Follows events that match one of the filters, from now on.
    fn follow(
        &mut self,
        filters: Vec<EventFilter>,
    ) -> Pending<'_, Result<Box<dyn Follower>, RpcError>>;

    /// What program the agent is, so that others see it.
    fn introduce(&mut self, kind: Option<AgentKind>) -> Pending<'_, ()>;

    /// How long things are held without a renewal. `None`: until the caller's session ends.
    fn hold_ms(&self) -> Option<u64>;

    /// The agent, where the caller knows it without asking.
    fn agent(&self) -> Option<AgentName>;

    /// The worktree that the agent's paths are in, where the caller knows it without being told.
    fn tree(&self) -> Option<TreeName>;
}

/// Events as they happen.
pub trait Follower: Send {
    /// The next changes. Empty: some were missed, so look at the state.
    fn next(&mut self) -> Pending<'_, Result<Vec<ChangeView>, RpcError>>;
}

impl<'c> dyn Caller + 'c {
    /// Calls an operation with its wire types.
    pub(super) fn run<'a, R: DeserializeOwned + Send>(
        &'a mut self,
        operation: Operation,
        params: &impl Serialize,
    ) -> Pending<'a, Result<R, RpcError>>
    where
        'c: 'a,
    {
        let params = serde_json::to_string(params).expect("wire types always encode as JSON");
        Box::pin(async move {
            let result = self.call(operation, params).await?;
            serde_json::from_str(result.get()).map_err(|error| {
                let message = format!(
                    "the answer to {} is not understood: {error}",
                    operation.name()
                );
                RpcError::new(ErrorKind::Internal, message)
            })
        })
    }
}
