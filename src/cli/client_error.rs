//! Exit code, kind and next step of a client's failure.

use super::exit::Exit;
use crate::client::ClientError;
use crate::protocol::error::{ErrorKind, RpcError};

impl ClientError {
    /// The failure as a word: the kind of the coordinator's error, or a word of our own.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.kind.as_str(),
            Self::NoToken { .. } => "no_token",
            Self::BadToken { .. } => "bad_token",
            Self::Unauthenticated { .. } => ErrorKind::Unauthenticated.as_str(),
            Self::Forbidden { .. } | Self::NoSeats { .. } => ErrorKind::Forbidden.as_str(),
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
            | Self::Forbidden { .. }
            | Self::NoSeats { .. } => Exit::Denied,
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
                "`coord serve` creates one at its first start on this machine; for another user or machine set \
                 COORD_TOKEN_FILE or COORD_TOKEN"
            }
            Self::NoToken { .. } => {
                "set COORD_TOKEN_FILE or COORD_TOKEN; to create a token, run `coord token create NAME` on the \
                 coordinator's machine"
            }
            Self::BadToken { .. } => "use the token exactly as `coord token create` printed it",
            Self::Connect { url, .. } if url.endpoint.host.is_loopback() => {
                "check that a coordinator runs; start one with `coord serve`, or set another address with --url \
                 or COORD_URL"
            }
            Self::Connect { .. } | Self::Slow { .. } => {
                "check that a coordinator runs there; check --url or COORD_URL, and the firewall in between"
            }
            Self::Tls { .. } => {
                "for a self-signed certificate give --tls-fingerprint, which the coordinator prints at its \
                 start, or --tls-ca-file; if the coordinator has no TLS, use ws:"
            }
            Self::Certificates(_) => "give --tls-ca-file or --tls-fingerprint",
            Self::NotACoordinator { url, .. } if !url.tls => {
                "check the port and the path of --url or COORD_URL; a coordinator with TLS needs wss:"
            }
            Self::NotACoordinator { .. } => "check the port and the path of --url or COORD_URL",
            Self::Unauthenticated { .. } => {
                "it may be revoked, or belong to another coordinator; an operator creates a new one with `coord \
                 token create NAME`"
            }
            Self::Forbidden { .. } => {
                "choose another project with --project, or ask an operator for a token that opens it"
            }
            Self::NoSeats { .. } => {
                "leave out --seat and COORD_SEAT, or ask an operator for a token that allows seats: `coord token create NAME --seats`"
            }
            Self::WrongEnvironment { .. } => {
                "check COORD_PROFILE and --url or COORD_URL; `coord config show` shows where the profile comes from"
            }
            Self::Busy { retry_after_ms, .. } => return retry_after_ms.map(try_again),
            Self::Refused(error) => return of_refusal(error),
            Self::OutcomeUnknown { .. } => {
                "the outcome is unknown: check whether it happened before you repeat it"
            }
            Self::Lost { .. } => "check with `coord status` that the coordinator still runs",
            Self::BadReply { .. } => {
                "the coordinator may have another version: compare `coord status` and `coord --version`"
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
        return Some(format!("list the state again, then continue from {cursor}"));
    }
    if let Some(retry_after_ms) = detail.retry_after_ms {
        return Some(try_again(retry_after_ms));
    }
    match error.kind {
        ErrorKind::Conflict if !detail.conflicts.is_empty() => {
            Some("wait for it with --wait, or ask its holder: `coord lease list`".to_owned())
        }
        ErrorKind::LimitExceeded if detail.limit.as_deref().is_some_and(is_of_files) => {
            Some("lease whole folders instead of their files, as in `file:src/`, or release leases that you no \
                  longer need".to_owned())
        }
        ErrorKind::StorageFull => Some("free space on the coordinator's disk".to_owned()),
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
        check(ClientError::Refused(full), 8, "free space");
    }
}
