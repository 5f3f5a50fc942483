//! Probes: whether the services of a configuration run, asked of each by its own protocol.
//!
//! An open port proves nothing, because any program may listen there. So Redis is sent a PING, the agents'
//! port must upgrade to WebSocket and name its coordinator, and the metrics must parse and contain our build
//! info. Each probe has bounded time and reads a bounded number of bytes, and its output contains no secret.
//! A token is sent only to a service that already answered like a coordinator.

mod exposition;
mod http;
mod link;
mod metrics;
mod redis;
mod websocket;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde::Serialize;
use tokio::time::Instant;

use crate::config::{Endpoint, RedisConfig, Secret};
use crate::edge::ports::{Profile, Service};
use link::Stream;

/// The longest a probe takes when nobody says otherwise, from the first packet to the last answer.
pub const PROBE_MS_MAX: u64 = 3_000;

/// How much of what a stranger said a detail repeats.
const SAID_CHARS_MAX: usize = 120;

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// It is our service, and it works.
    Running,
    /// The configuration does not use it.
    NotUsed,
    /// It is our service, but cannot work now: it is stopping, loading, full, or a replica.
    NotReady,
    /// Another program has the port.
    WrongService,
    /// It is our service, but of another environment.
    WrongEnvironment,
    /// It is there, but refuses our credentials.
    Unauthorised,
    /// Nothing listens on the port.
    NotRunning,
    /// No answer: a timeout, no route, or an unknown name.
    Unreachable,
}

/// The identity that a coordinator reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceIdentity {
    pub node: String,
    pub version: String,
    pub environment: String,
    /// The fingerprint of its port configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_fingerprint: Option<String>,
}

/// One service and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeFinding {
    pub service: Service,
    /// `host:port` as it was connected to; `None` when the service is not used.
    pub address: Option<String>,
    pub state: ServiceState,
    /// From the first packet of a connection to the answer of the protocol: PONG, the upgrade, the
    /// whole page. In microseconds.
    pub latency_us: Option<u64>,
    /// For people, on one line.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<ServiceIdentity>,
}

/// The address of a service, and its TLS settings if it uses TLS.
#[derive(Debug, Clone)]
pub struct ProbeTarget {
    pub endpoint: Endpoint,
    pub tls: Option<Arc<ClientConfig>>,
}

/// The identity to connect to a coordinator with.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    pub token: Option<Secret>,
    /// The name of the project to enter; the token's own when absent.
    pub project: Option<String>,
}

/// What a probe compares with and how long it may take.
#[derive(Debug, Clone)]
pub struct Expected {
    pub profile: Profile,
    pub port_fingerprint: String,
    /// From the first packet to the last answer.
    pub time_max: Duration,
}

/// Redis, by PING, its role and its stamp.
pub async fn redis(
    target: &ProbeTarget,
    config: &RedisConfig,
    expected: &Expected,
) -> ProbeFinding {
    probe(Service::Redis, target, expected, |stream, begun| {
        redis::speak(stream, begun, config, expected)
    })
    .await
}

/// The configuration keeps its journal on this machine.
pub fn redis_not_used() -> ProbeFinding {
    ProbeFinding {
        service: Service::Redis,
        address: None,
        state: ServiceState::NotUsed,
        latency_us: None,
        detail: "the journal is embedded: on this machine's own disk".to_owned(),
        next: None,
        identity: None,
    }
}

/// The agents' port: its health page, then a WebSocket handshake, then who is there.
pub async fn websocket(
    target: &ProbeTarget,
    credentials: &Credentials,
    expected: &Expected,
) -> ProbeFinding {
    let target = reachable(target);
    let again = &target;
    probe(Service::WebSocket, &target, expected, |stream, _| {
        websocket::speak(stream, again, credentials, expected)
    })
    .await
}

/// Which coordinator has the agents' port, asked of its health page alone; `None` when it is no
/// coordinator, hides behind TLS, or does not say so within `time_ms_max`.
pub async fn coordinator(target: &ProbeTarget, time_ms_max: u64) -> Option<ServiceIdentity> {
    let target = reachable(target);
    let asked = async {
        let stream = link::open(&target).await.ok()?;
        websocket::identity(stream, &target).await.ok()
    };
    let answered = tokio::time::timeout(Duration::from_millis(time_ms_max), asked).await;
    answered.ok().flatten()
}

/// The page that Prometheus scrapes. The token is shown only where it is asked for.
pub async fn metrics(
    target: &ProbeTarget,
    path: &str,
    token: Option<&Secret>,
    expected: &Expected,
) -> ProbeFinding {
    let target = reachable(target);
    let again = &target;
    probe(Service::Metrics, &target, expected, |stream, begun| {
        metrics::speak(stream, begun, again, (path, token), expected)
    })
    .await
}

/// What went well enough to say more than a failure.
struct Said {
    state: ServiceState,
    latency: Duration,
    detail: String,
    next: Option<String>,
    identity: Option<ServiceIdentity>,
}

/// Why there was no answer of the protocol.
#[derive(Debug)]
struct ProbeFailure {
    state: ServiceState,
    detail: String,
    next: Option<String>,
}

impl ProbeFailure {
    fn new(state: ServiceState, detail: impl Into<String>) -> Self {
        Self {
            state,
            detail: said(&detail.into()),
            next: None,
        }
    }

    fn wrong(detail: impl Into<String>) -> Self {
        Self::new(ServiceState::WrongService, detail)
    }

    fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

impl ServiceState {
    /// Whether there is nothing to do about it.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Running | Self::NotUsed)
    }

    /// As people read it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::NotUsed => "not used",
            Self::NotReady => "not ready",
            Self::WrongService => "wrong service",
            Self::WrongEnvironment => "wrong environment",
            Self::Unauthorised => "unauthorised",
            Self::NotRunning => "not running",
            Self::Unreachable => "unreachable",
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl fmt::Display for ServiceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "coord {}, node {}, {}",
            self.version, self.node, self.environment
        )
    }
}

/// A client cannot connect to "all addresses"; a service that listens on all also listens on loopback.
pub fn reachable(target: &ProbeTarget) -> ProbeTarget {
    let mut target = target.clone();
    target.endpoint = target.endpoint.from_here();
    target
}

/// Connects and talks, both within the same time limit; reports which of the two timed out.
async fn probe<F>(
    service: Service,
    target: &ProbeTarget,
    expected: &Expected,
    speak: impl FnOnce(Stream, Instant) -> F,
) -> ProbeFinding
where
    F: Future<Output = Result<Said, ProbeFailure>>,
{
    let begun = Instant::now();
    let deadline = begun + expected.time_max;
    let late = |what: &str| {
        let waited = expected.time_max.as_millis();
        ProbeFailure::new(
            ServiceState::Unreachable,
            format!("{what} within {waited} ms"),
        )
    };
    let answered = match tokio::time::timeout_at(deadline, link::open(target)).await {
        Err(_) => Err(late("no connection")),
        Ok(Err(failure)) => Err(failure),
        Ok(Ok(stream)) => match tokio::time::timeout_at(deadline, speak(stream, begun)).await {
            Ok(answered) => answered,
            Err(_) => Err(late("it accepts connections, but gave no answer")),
        },
    };
    finding(service, target, answered)
}

fn finding(
    service: Service,
    target: &ProbeTarget,
    answered: Result<Said, ProbeFailure>,
) -> ProbeFinding {
    let address = target.endpoint.to_string();
    match answered {
        Ok(answer) => ProbeFinding {
            service,
            address: Some(address),
            state: answer.state,
            latency_us: Some(u64::try_from(answer.latency.as_micros()).unwrap_or(u64::MAX)),
            detail: answer.detail,
            next: answer.next,
            identity: answer.identity,
        },
        Err(failure) => ProbeFinding {
            service,
            next: failure.next.or_else(|| next_step(service, failure.state)),
            address: Some(address),
            state: failure.state,
            latency_us: None,
            detail: failure.detail,
            identity: None,
        },
    }
}

/// The default next step of a probe.
fn next_step(service: Service, state: ServiceState) -> Option<String> {
    let variable = service.variable();
    let text = match (state, service) {
        (ServiceState::NotRunning, Service::Redis) => {
            "start Redis there, or check REDIS_HOST and REDIS_PORT".to_owned()
        }
        (ServiceState::NotRunning, _) => {
            format!("start it with `coord serve`, or check {variable}")
        }
        (ServiceState::Unreachable, _) => {
            "check the host, its name and the firewall in between; the service may hang".to_owned()
        }
        (ServiceState::WrongService, _) => {
            format!(
                "find the program with `coord ports who`, stop it, or set another port with {variable}"
            )
        }
        _ => return None,
    };
    Some(text)
}

/// The state that another environment than ours makes of an answer; `None` when it is ours.
fn other_environment(theirs: &str, expected: &Expected) -> Option<(ServiceState, String)> {
    let ours = expected.profile.name();
    let next = format!(
        "it is {}: use that profile, or set the addresses of the {ours} services",
        said(theirs)
    );
    (theirs != ours).then_some((ServiceState::WrongEnvironment, next))
}

/// Text of a stranger, shortened and without control characters.
fn said(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let line: String = line.take(SAID_CHARS_MAX).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_asked_on_loopback() {
        for (given, asked) in [
            ("0.0.0.0", "127.0.0.1:8768"),
            ("::", "[::1]:8768"),
            ("192.0.2.1", "192.0.2.1:8768"),
            ("gateway", "gateway:8768"),
        ] {
            let target = ProbeTarget {
                endpoint: Endpoint {
                    host: given.parse().expect("a host"),
                    port: Profile::Development.port(Service::WebSocket),
                },
                tls: None,
            };
            assert_eq!(reachable(&target).endpoint.to_string(), asked);
        }
    }

    #[test]
    fn what_strangers_say_is_short_and_harmless() {
        assert_eq!(said(" a\u{1b}[31mb\r\n"), "a [31mb");
        assert_eq!(said(&"x".repeat(10_000)).len(), SAID_CHARS_MAX);
    }
}
