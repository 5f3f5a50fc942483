//! The agents' port: who does its page say is there, and does it take a WebSocket?

use std::time::Duration;

use axum::http::header::SERVER;
use axum::http::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::link::{self, Stream};
use super::{
    Credentials, Expected, ProbeFailure, ProbeTarget, Said, ServiceIdentity, ServiceState, http,
    other_environment, said,
};
use crate::client::socket::{
    self, FrameLimits, Received, RequestError, Socket, SocketError, UpgradeError,
};
use crate::config::WEBSOCKET_PATH;
use crate::config::{Secret, ServerUrl};
use crate::protocol::admin::ServerStatusResult;
use crate::protocol::operations::Operation;

/// Where a coordinator says how it is.
const HEALTH_PATH: &str = "/readyz";
/// What its health page calls the program.
const SERVICE: &str = "cli-coordinator";
/// What its page says of a coordinator that does not serve yet.
const STARTING: &str = "starting";
/// The reply to the one question that is asked is small.
const LIMITS: FrameLimits = FrameLimits {
    message_bytes_max: 64 * 1024,
    read_buffer_bytes: 4 * 1024,
};
/// Frames that may come before the reply; nothing was subscribed to.
const FRAMES_BEFORE_REPLY_MAX: usize = 8;

/// What the health page says, as far as it is of interest here.
#[derive(Debug, Deserialize)]
struct HealthPage {
    service: String,
    status: String,
    version: String,
    node: String,
    environment: String,
    #[serde(default)]
    port_fingerprint: Option<String>,
    /// What it waits for while it starts or recovers.
    #[serde(default)]
    waiting_for: Option<String>,
    #[serde(default)]
    connections_port_mismatch: u64,
    #[serde(default)]
    coordinators_port_mismatch: u64,
    /// Absent from coordinators of earlier versions.
    #[serde(default)]
    clock: Option<String>,
}

/// How the handshake ended at a coordinator.
enum PageEntry {
    In(Box<Socket<Stream>>),
    Denied(String),
    Refused(ServiceState, String),
}

/// First the page, which anybody may see: the token is shown to nobody who is not a coordinator.
pub(super) async fn speak(
    stream: Stream,
    target: &ProbeTarget,
    credentials: &Credentials,
    expected: &Expected,
) -> Result<Said, ProbeFailure> {
    let asked = Instant::now();
    let page = page(stream, target).await?;
    if page.status == STARTING {
        // It would keep us waiting at the door, and there is nothing more to learn.
        return Ok(on_its_way(&page, asked.elapsed(), expected));
    }
    // What agents would wait: the page before it is our own question.
    let begun = Instant::now();
    let entry = enter(link::open(target).await?, target, credentials).await?;
    let latency = begun.elapsed();
    let mut identity = identity_of(&page);
    let (mut state, mut next) = readiness(&page);
    let mut detail = String::new();
    match entry {
        PageEntry::In(socket) => identity = ask(*socket).await?,
        PageEntry::Denied(why) => {
            state = ServiceState::Unauthorised;
            detail = format!("; {why}");
            next = Some(denied(credentials.token.is_some()).to_owned());
        }
        PageEntry::Refused(refused, why) => {
            state = refused;
            detail = format!("; it accepts no connection: {why}");
        }
    }
    if let Some((other, what)) = other_environment(&identity.environment, expected) {
        (state, next) = (other, Some(what));
    }
    let ports = ports(&identity, &page, expected);
    let clock = clock(&page);
    let status = match state {
        ServiceState::NotReady => status_of(&page),
        _ => String::new(),
    };
    Ok(Said {
        state,
        latency,
        detail: format!("{identity}{status}{ports}{clock}{detail}"),
        next,
        identity: Some(identity),
    })
}

/// A coordinator that does not serve yet.
fn on_its_way(page: &HealthPage, latency: Duration, expected: &Expected) -> Said {
    let identity = identity_of(page);
    let (mut state, mut next) = readiness(page);
    if let Some((other, what)) = other_environment(&identity.environment, expected) {
        (state, next) = (other, Some(what));
    }
    let (status, clock) = (status_of(page), clock(page));
    Said {
        state,
        latency,
        detail: format!("{identity}{status}{clock}"),
        next,
        identity: Some(identity),
    }
}

/// The status, and what is waited for.
fn status_of(page: &HealthPage) -> String {
    let status = said(&page.status);
    match &page.waiting_for {
        Some(waits) => format!(", {status}: {}", said(waits)),
        None => format!(", {status}"),
    }
}

/// Who the health page says is there.
pub(super) async fn identity(
    stream: Stream,
    target: &ProbeTarget,
) -> Result<ServiceIdentity, ProbeFailure> {
    Ok(identity_of(&page(stream, target).await?))
}

async fn page(stream: Stream, target: &ProbeTarget) -> Result<HealthPage, ProbeFailure> {
    let answer = http::get(stream, &target.endpoint.to_string(), HEALTH_PATH, None).await?;
    let stranger = || {
        let text = format!("{}: not a coordinator's health page", answer.shown());
        ProbeFailure::wrong(text)
    };
    if answer.is_ours() && answer.status == StatusCode::FORBIDDEN {
        return Err(other_name(&answer));
    }
    let page: HealthPage = serde_json::from_slice(&answer.body).map_err(|_| stranger())?;
    if page.service == SERVICE {
        Ok(page)
    } else {
        Err(stranger())
    }
}

/// It is a coordinator, which does not go by the name that it was asked by.
pub(super) fn other_name(answer: &http::HttpAnswer) -> ProbeFailure {
    let next = format!("{}, or use its IP address", answer.why());
    ProbeFailure::new(ServiceState::Unauthorised, answer.shown()).next(next)
}

fn identity_of(page: &HealthPage) -> ServiceIdentity {
    ServiceIdentity {
        node: said(&page.node),
        version: said(&page.version),
        environment: said(&page.environment),
        port_fingerprint: page.port_fingerprint.as_deref().map(said),
    }
}

fn readiness(page: &HealthPage) -> (ServiceState, Option<String>) {
    let next = match page.status.as_str() {
        "ready" => return (ServiceState::Running, None),
        STARTING => "wait until it is ready; the line above shows what it waits for",
        "recovering" => {
            "wait until its journal is recovered; the line above shows what it waits for"
        }
        "journal_unreachable" => {
            "check that its Redis runs and can be reached (see its log); then it recovers by itself, a restart \
             does not help"
        }
        "draining" => "it is stopping: wait for its next start",
        "storage_full" => "free space on its disk; agents can still finish work",
        _ => "see its log; a restart recovers the journal",
    };
    (ServiceState::NotReady, Some(next.to_owned()))
}

/// A real handshake; what refuses it must be a coordinator too.
async fn enter(
    stream: Stream,
    target: &ProbeTarget,
    credentials: &Credentials,
) -> Result<PageEntry, ProbeFailure> {
    let request = request(target, credentials)?;
    match Socket::upgrade(request, stream, LIMITS).await {
        Ok(socket) => Ok(PageEntry::In(Box::new(socket))),
        Err(UpgradeError::Refused(response)) => refused(&response, credentials.token.is_some()),
        Err(UpgradeError::Io(error)) => Err(link::broken(&error)),
        Err(UpgradeError::Garbled(error)) => Err(ProbeFailure::wrong(format!(
            "it is not a WebSocket server: {error}"
        ))),
    }
}

fn request(target: &ProbeTarget, credentials: &Credentials) -> Result<Request<()>, ProbeFailure> {
    let url = ServerUrl {
        tls: target.tls.is_some(),
        endpoint: target.endpoint.clone(),
        path: WEBSOCKET_PATH.to_owned(),
    };
    let project = credentials.project.clone();
    let project = project.map(|project| ("project", project));
    let url = socket::with_query(&url, project.as_slice());
    let token = credentials.token.as_ref().map(Secret::expose);
    socket::request(&url, token).map_err(|error| match error {
        RequestError::Url(error) => ProbeFailure::wrong(error.to_string()),
        RequestError::Token => {
            let detail = "the token contains characters that no token contains";
            ProbeFailure::new(ServiceState::Unauthorised, detail)
                .next("check COORD_TOKEN and COORD_TOKEN_FILE")
        }
    })
}

fn refused(
    response: &Response<Option<Vec<u8>>>,
    had_token: bool,
) -> Result<PageEntry, ProbeFailure> {
    let status = response.status();
    let server = response.headers().get(SERVER);
    let server = server
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !http::is_ours(server) {
        return Err(ProbeFailure::wrong(http::shown(status, server)));
    }
    let why = http::why(response.body().as_deref().unwrap_or_default());
    Ok(match status {
        StatusCode::UNAUTHORIZED if had_token => {
            PageEntry::Denied("it refuses the token".to_owned())
        }
        StatusCode::UNAUTHORIZED => PageEntry::Denied("no token to connect with".to_owned()),
        StatusCode::FORBIDDEN => PageEntry::Denied(why),
        StatusCode::CONFLICT => PageEntry::Refused(ServiceState::WrongEnvironment, why),
        _ => PageEntry::Refused(ServiceState::NotReady, why),
    })
}

fn denied(had_token: bool) -> &'static str {
    if had_token {
        "it runs; to see more, set COORD_TOKEN_FILE to a token of this coordinator, and COORD_PROJECT to a \
         project that the token allows"
    } else {
        "it runs; to see more, set COORD_TOKEN_FILE, or run this as the coordinator's user"
    }
}

/// Who is there, asked over the WebSocket itself.
async fn ask(mut socket: Socket<Stream>) -> Result<ServiceIdentity, ProbeFailure> {
    let method = Operation::ServerStatus.name();
    let question = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}});
    let lost = |error: SocketError| {
        ProbeFailure::wrong(format!(
            "the WebSocket failed before the coordinator identified itself: {error}"
        ))
    };
    let sent = socket.send_text(question.to_string()).await;
    sent.map_err(lost)?;
    for _ in 0..FRAMES_BEFORE_REPLY_MAX {
        let Some(received) = socket.receive().await.map_err(lost)? else {
            return Err(ProbeFailure::wrong(
                "the WebSocket was closed before the coordinator identified itself",
            ));
        };
        let Received::Text(text) = received else {
            continue;
        };
        // The goodbye is a courtesy: the connection ends with the probe.
        let _ = socket.close().await;
        return status(&text);
    }
    Err(ProbeFailure::wrong("it sends frames, but no answer"))
}

fn status(text: &str) -> Result<ServiceIdentity, ProbeFailure> {
    #[derive(Deserialize)]
    struct SessionReply {
        result: ServerStatusResult,
    }
    let reply: Result<SessionReply, _> = serde_json::from_str(text);
    let status = reply
        .map_err(|_| {
            ProbeFailure::wrong("it accepts WebSockets, but does not answer like a coordinator")
        })?
        .result;
    Ok(ServiceIdentity {
        node: status.node.to_string(),
        version: said(&status.version),
        environment: said(&status.environment),
        port_fingerprint: status.port_fingerprint.map(|ports| ports.to_string()),
    })
}

/// What is to be said of ports that are not the same everywhere.
fn ports(identity: &ServiceIdentity, page: &HealthPage, expected: &Expected) -> String {
    let mut text = String::new();
    if let Some(theirs) = &identity.port_fingerprint
        && *theirs != expected.port_fingerprint
    {
        let ours = &expected.port_fingerprint;
        text = format!("; its ports ({theirs}) differ from this configuration ({ours})");
    }
    if page.connections_port_mismatch > 0 {
        let count = page.connections_port_mismatch;
        text = format!("{text}; connections with another port configuration: {count}");
    }
    if page.coordinators_port_mismatch > 0 {
        let count = page.coordinators_port_mismatch;
        text =
            format!("{text}; coordinators of its journal with another port configuration: {count}");
    }
    text
}

/// What is to be said of a clock that others would not agree with.
fn clock(page: &HealthPage) -> String {
    match page.clock.as_deref() {
        None | Some("right") => String::new(),
        Some("behind") => "; the clock of its machine is behind: set it".to_owned(),
        Some(_) => "; its certificate has expired, or the clock of its machine is ahead".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_coordinator_says_of_itself_decides_whether_it_is_ready() {
        let page = |status: &str| HealthPage {
            service: SERVICE.to_owned(),
            status: status.to_owned(),
            version: "1".to_owned(),
            node: "n".to_owned(),
            environment: "testing".to_owned(),
            port_fingerprint: None,
            connections_port_mismatch: 0,
            coordinators_port_mismatch: 0,
            clock: None,
            waiting_for: None,
        };
        assert_eq!(readiness(&page("ready")), (ServiceState::Running, None));
        for waits in ["starting", "recovering"] {
            let (state, next) = readiness(&page(waits));
            assert_eq!(state, ServiceState::NotReady, "{waits}");
            assert!(next.is_some_and(|next| next.starts_with("wait")), "{waits}");
        }
        for status in [
            "draining",
            "journal_unreachable",
            "storage_full",
            "failed",
            "a status of later versions",
        ] {
            let (state, next) = readiness(&page(status));
            assert_eq!(state, ServiceState::NotReady, "{status}");
            assert!(next.is_some(), "{status}");
        }
    }

    #[test]
    fn only_a_status_of_ours_names_a_coordinator() {
        for stranger in ["hello", "{}", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#] {
            let failure = status(stranger).expect_err("it is no coordinator");
            assert_eq!(failure.state, ServiceState::WrongService, "{stranger}");
        }
    }
}
