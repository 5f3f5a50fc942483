//! Requests: the parameters of an operation, by kind of operation.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{OPERATIONS, Operation, Request};
use crate::protocol::error::{ErrorKind, RpcError};

/// Groups the rows of the table by kind, then defines a request type for each kind.
macro_rules! requests {
    ([$($q:tt)*] $c:tt $s:tt $o:tt query $name:ident($params:ident); $($rest:tt)*) => {
        requests! { [$($q)* $name($params)] $c $s $o $($rest)* }
    };
    ([$($q:tt)*] [$($c:tt)*] $s:tt $o:tt either $name:ident($params:ident); $($rest:tt)*) => {
        requests! { [$($q)* $name($params)] [$($c)* command $name($params)] $s $o $($rest)* }
    };
    ($q:tt [$($c:tt)*] $s:tt $o:tt command $name:ident($params:ident); $($rest:tt)*) => {
        requests! { $q [$($c)* command $name($params)] $s $o $($rest)* }
    };
    ($q:tt [$($c:tt)*] $s:tt $o:tt secret $name:ident($params:ident); $($rest:tt)*) => {
        requests! { $q [$($c)* secret $name($params)] $s $o $($rest)* }
    };
    ($q:tt $c:tt [$($s:tt)*] $o:tt session $name:ident($params:ident); $($rest:tt)*) => {
        requests! { $q $c [$($s)* $name($params)] $o $($rest)* }
    };
    ($q:tt $c:tt $s:tt [$($o:tt)*] connection $name:ident($params:ident); $($rest:tt)*) => {
        requests! { $q $c $s [$($o)* $name($params)] $($rest)* }
    };
    (
        [$($query:ident($query_params:ident))*]
        [$($kind:ident $command:ident($command_params:ident))*]
        [$($session:ident($session_params:ident))*]
        [$($connection:ident($connection_params:ident))*]
    ) => {
        /// A parsed request: the operation with its parameters.
        #[allow(
            clippy::large_enum_variant,
            reason = "there is one at a time, and it lives for one call"
        )]
        #[derive(Debug, Clone)]
        pub enum Request {
            Query(QueryRequest),
            Command(CommandRequest),
            Session(SessionRequest),
            Connection(ConnectionRequest),
        }

        /// Reads the state.
        #[allow(
            clippy::large_enum_variant,
            reason = "there is one at a time, and it lives for one call"
        )]
        #[derive(Debug, Clone)]
        pub enum QueryRequest {
            $($query($query_params),)*
        }

        /// Changes the state of a project.
        #[allow(
            clippy::large_enum_variant,
            reason = "there is one at a time, and it lives for one call"
        )]
        #[derive(Debug, Clone)]
        pub enum CommandRequest {
            $($command($command_params),)*
        }

        /// Opens or ends the session of a connection.
        #[allow(
            clippy::large_enum_variant,
            reason = "there is one at a time, and it lives for one call"
        )]
        #[derive(Debug, Clone)]
        pub enum SessionRequest {
            $($session($session_params),)*
        }

        /// Neither reads nor writes the state: events, a backup.
        #[derive(Debug, Clone)]
        pub enum ConnectionRequest {
            $($connection($connection_params),)*
        }

        impl CommandRequest {
            /// Removes and returns the request id, with which a repeated request has one effect.
            pub fn take_request_id(&mut self) -> Option<RequestId> {
                match self {
                    $(Self::$command(params) => take_request_id!($kind params),)*
                }
            }
        }
    };
}

/// Wraps the parameters of a row in the type of its kind.
macro_rules! request {
    (query $name:ident $params:ident) => {
        Request::Query(QueryRequest::$name($params))
    };
    (either $name:ident $params:ident) => {
        if $params.changes_state() {
            Request::Command(CommandRequest::$name($params))
        } else {
            Request::Query(QueryRequest::$name($params))
        }
    };
    (session $name:ident $params:ident) => {
        Request::Session(SessionRequest::$name($params))
    };
    (connection $name:ident $params:ident) => {
        Request::Connection(ConnectionRequest::$name($params))
    };
    // Commands, those with a secret included.
    ($kind:ident $name:ident $params:ident) => {
        Request::Command(CommandRequest::$name($params))
    };
}

macro_rules! take_request_id {
    (command $params:ident) => {
        $params.request_id.take()
    };
    (secret $params:ident) => {{
        let _ = $params;
        None
    }};
}

pub(super) use {request, requests, take_request_id};

impl Request {
    /// Parses the parameters of `method`; absent ones are an empty object. Also returns the operation.
    pub fn parse(method: &str, params: Option<&RawValue>) -> Result<(Operation, Self), RpcError> {
        let operation = Operation::by_name(method).ok_or_else(|| unknown(method))?;
        let none: &RawValue = serde_json::from_str("{}").expect("an empty object is JSON");
        let params = params.unwrap_or(none);
        // Parameters by position would make the order of the fields a part of the protocol.
        if params.get().starts_with('[') {
            let message = "params: give the parameters by name, as an object";
            let error = RpcError::new(ErrorKind::InvalidParams, message);
            return Err(error.with(|detail| detail.path = Some("params".to_owned())));
        }
        Ok((operation, Self::of(operation, params)?))
    }
}

/// Parses, and notes the path on the way: to parse again for the path of an error would take a second copy of the
/// code for every type.
pub(super) fn read<T: DeserializeOwned>(params: &RawValue) -> Result<T, RpcError> {
    let mut reader = serde_json::Deserializer::from_str(params.get());
    serde_path_to_error::deserialize(&mut reader).map_err(refused)
}

fn refused(error: serde_path_to_error::Error<serde_json::Error>) -> RpcError {
    let path = match error.path().to_string() {
        path if path == "." => "params".to_owned(),
        path => path,
    };
    let problem = error.into_inner();
    RpcError::new(ErrorKind::InvalidParams, format!("{path}: {problem}"))
        .with(|detail| detail.path = Some(path))
}

fn unknown(method: &str) -> RpcError {
    let shown: String = method.chars().take(64).collect();
    let similar = OPERATIONS
        .iter()
        .map(|info| (strsim::jaro_winkler(info.name, &shown), info.name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.8);
    let error = RpcError::new(
        ErrorKind::MethodNotFound,
        format!("unknown operation {shown:?}"),
    );
    error.with(|detail| detail.suggestion = similar.map(|(_, name)| name.to_owned()))
}
