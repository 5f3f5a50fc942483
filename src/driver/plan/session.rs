//! Plans of requests about the session of a connection.

use super::Planned;
use crate::driver::connection::ConnectionId;
use crate::driver::core::Core;
use crate::driver::propose::Extra;
use crate::driver::secret::{IssuedSecret, secret_hash};
use crate::engine::command::{Action, SessionClose, SessionOpen, SessionResume};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::operations::SessionRequest;
use crate::protocol::session::{Resume, SessionCloseParams, SessionOpenParams};

impl Core {
    pub(in crate::driver) fn plan_session(
        &mut self,
        connection: ConnectionId,
        request: SessionRequest,
    ) -> Result<Planned, RpcError> {
        let planned = self.nothing_planned(connection)?;
        match request {
            SessionRequest::SessionOpen(p) => self.plan_open(connection, planned, p),
            SessionRequest::SessionClose(p) => self.plan_close(connection, planned, p),
        }
    }

    /// Not remembered by request id: the answer contains a secret that is not stored.
    fn plan_open(
        &mut self,
        connection: ConnectionId,
        mut planned: Planned,
        params: SessionOpenParams,
    ) -> Result<Planned, RpcError> {
        let known = self.connections.get(&connection);
        if known.is_some_and(|c| c.opening || c.session.is_some()) {
            let message = "this connection already has a session";
            return Err(RpcError::new(ErrorKind::Conflict, message));
        }
        self.check_environment(params.environment.as_ref())?;
        self.compare_ports(connection, params.port_fingerprint.as_ref());
        let node = self.config.node.clone();
        if let Some(Resume { session, secret }) = params.resume {
            planned.action = Action::SessionResume(SessionResume {
                session,
                node,
                resume_hash: secret_hash(&secret),
            });
            planned.extra = Extra::Session(IssuedSecret(secret));
            return Ok(planned);
        }
        let secret = self.entropy.secret("");
        planned.action = Action::SessionOpen(Box::new(SessionOpen {
            node,
            kind: params.kind,
            capabilities: params.capabilities,
            labels: params.labels,
            resume_hash: secret_hash(&secret.0),
            grace_ms: params.grace_ms.unwrap_or(self.config.grace_ms),
        }));
        planned.extra = Extra::Session(secret);
        Ok(planned)
    }

    fn plan_close(
        &self,
        connection: ConnectionId,
        mut planned: Planned,
        params: SessionCloseParams,
    ) -> Result<Planned, RpcError> {
        let known = self.connections.get(&connection);
        let own = || Some(known?.session?.session);
        let session = params.session.or_else(own);
        let none = || RpcError::invalid("this connection has no session");
        planned.request_id = params.request_id;
        planned.action = Action::SessionClose(SessionClose {
            session: session.ok_or_else(none)?,
        });
        Ok(planned)
    }
}
