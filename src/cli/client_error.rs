//! What the command line makes of a client's failure: its exit code, its word, the next step.

use super::exit::Exit;
use crate::client::ClientError;
use crate::protocol::error::{ErrorKind, RpcError};

impl ClientError {
    /// The kind of failure as a word. Failures that are not refusals have words of their own.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.kind.as_str(),
            Self::NoToken { .. } => "no_token",
            Self::BadToken { .. } => "bad_token",
            Self::Unauthenticated { .. } => ErrorKind::Unauthenticated.as_str(),
            Self::Forbidden { .. } => ErrorKind::Forbidden.as_str(),
            Self::Connect { .. } | Self::Slow { .. } | Self::Lost { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::Certificates(_) => "certificates",
            Self::NotACoordinator { .. } => "not_a_coordinator",
            Self::WrongEnvironment { .. } => "wrong_environment",
            Self::Busy { .. } => ErrorKind::Unavailable.as_str(),
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::SessionGone { .. } => "session_gone",
            Self::BadReply { .. } => "bad_reply",
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::NoToken { .. }
            | Self::BadToken { .. }
            | Self::Unauthenticated { .. }
            | Self::Forbidden { .. } => Exit::Denied,
            Self::Connect { .. }
            | Self::Slow { .. }
            | Self::Tls { .. }
            | Self::NotACoordinator { .. }
            | Self::Busy { .. }
            | Self::Lost { .. } => Exit::Unreachable,
            Self::Certificates(_) => Exit::Usage,
            Self::WrongEnvironment { .. } => Exit::Conflict,
            Self::Refused(error) => error.kind.into(),
            Self::SessionGone { .. } => Exit::StaleFence,
            Self::OutcomeUnknown { .. } | Self::BadReply { .. } => Exit::Failed,
        }
    }

    /// What to do about it.
    pub fn next_step(&self) -> Option<String> {
        let text = match self {
            Self::NoToken { url } if url.endpoint.host.is_loopback() => {
                "`coord serve` makes one at its first start on this machine; for another user or a coordinator elsewhere set COORD_TOKEN_FILE or COORD_TOKEN"
            }
            Self::NoToken { .. } => {
                "set COORD_TOKEN_FILE or COORD_TOKEN; `coord token create NAME` makes a token, run where the coordinator runs"
            }
            Self::BadToken { .. } => "give the token as `coord token create` printed it",
            Self::Connect { url, .. } if url.endpoint.host.is_loopback() => {
                "is a coordinator running? start one with `coord serve`, or name another with --url or COORD_URL"
            }
            Self::Connect { .. } | Self::Slow { .. } => {
                "is a coordinator running there? check --url or COORD_URL, and the firewall between"
            }
            Self::Tls { .. } => {
                "for a self-signed certificate give --tls-fingerprint as the coordinator shows it at its start, or --tls-ca-file; use ws: where the coordinator has no TLS"
            }
            Self::Certificates(_) => "give --tls-ca-file or --tls-fingerprint",
            Self::NotACoordinator { url, .. } if !url.tls => {
                "check the port and the path of --url or COORD_URL; a coordinator with TLS wants wss:"
            }
            Self::NotACoordinator { .. } => "check the port and the path of --url or COORD_URL",
            Self::Unauthenticated { .. } => {
                "it may be revoked, or of another coordinator; an operator makes a new one with `coord token create NAME`"
            }
            Self::Forbidden { .. } => {
                "choose another project with --project, or ask an operator for a token that opens it"
            }
            Self::WrongEnvironment { .. } => {
                "check COORD_PROFILE and --url or COORD_URL: `coord config show` tells where the profile comes from"
            }
            Self::Busy { retry_after_ms, .. } => return retry_after_ms.map(try_again),
            Self::Refused(error) => return of_refusal(error),
            Self::OutcomeUnknown { .. } => {
                "it may or may not have happened: look before you try again"
            }
            Self::Lost { .. } => "is the coordinator still running? `coord status` tells",
            Self::BadReply { .. } => {
                "is the coordinator of another version? `coord status` and `coord --version` tell"
            }
            Self::SessionGone { .. } => return None,
        };
        Some(text.to_owned())
    }
}

fn try_again(retry_after_ms: u64) -> String {
    format!("try again in {retry_after_ms} ms")
}

fn of_refusal(error: &RpcError) -> Option<String> {
    let detail = &error.detail;
    if let Some(suggestion) = &detail.suggestion {
        return Some(format!("did you mean {suggestion}?"));
    }
    if let Some(cursor) = detail.cursor {
        return Some(format!("list the state anew, then go on from {cursor}"));
    }
    if let Some(retry_after_ms) = detail.retry_after_ms {
        return Some(try_again(retry_after_ms));
    }
    match error.kind {
        ErrorKind::Conflict if !detail.conflicts.is_empty() => {
            Some("wait for it with --wait, or ask its holder: `coord lease list`".to_owned())
        }
        ErrorKind::LimitExceeded if detail.limit.as_deref().is_some_and(is_of_files) => {
            Some("hold whole folders in place of their files, as in `file:src/`, or give back leases that you no longer need".to_owned())
        }
        ErrorKind::StorageFull => Some("make room on the coordinator's disk".to_owned()),
        _ => None,
    }
}

fn is_of_files(limit: &str) -> bool {
    limit.starts_with("files_") || limit.starts_with("file_bytes_")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cli::CliError;
    use crate::config::ServerUrl;

    fn url() -> Arc<ServerUrl> {
        Arc::new("ws://127.0.0.1:1/ws".parse().expect("it is a URL"))
    }

    #[test]
    fn a_failure_has_its_code_and_next_step() {
        #[track_caller]
        fn check(error: ClientError, code: u8, next: &str) {
            assert_eq!(error.exit().code(), code, "{error}");
            let found = error.next_step().unwrap_or_default();
            assert!(found.contains(next), "{next:?} is not in {found:?}");
            let json = CliError::from(error).json();
            assert!(json.contains(&format!(r#""exit_code":{code}"#)), "{json}");
        }
        let (origin, said) = ("COORD_TOKEN".to_owned(), String::new());
        let refused = ClientError::Unauthenticated {
            url: url(),
            origin: origin.clone(),
            said: said.clone(),
        };
        check(refused, 4, "coord token create");
        let forbidden = ClientError::Forbidden {
            url: url(),
            origin,
            said: said.clone(),
        };
        check(forbidden, 4, "--project");
        let busy = ClientError::Busy {
            url: url(),
            retry_after_ms: Some(2_000),
            said,
        };
        check(busy, 3, "try again in 2000 ms");
        let source = std::io::ErrorKind::ConnectionRefused.into();
        let alone = ClientError::Connect { url: url(), source };
        check(alone, 3, "coord serve");
        let late = ClientError::Slow {
            url: url(),
            waited_ms: 5_000,
        };
        check(late, 3, "firewall");
        let why = "no sign of life".to_owned();
        check(ClientError::Lost { url: url(), why }, 3, "coord status");
        let full = RpcError::new(ErrorKind::StorageFull, "no");
        check(ClientError::Refused(full), 8, "make room");
    }
}
