//! The metrics port: the page must parse, and carry our build info. Where it asks who is there, the token is shown to
//! what already answered like a coordinator.

use axum::http::StatusCode;
use tokio::time::Instant;

use super::exposition::{self, Sample};
use super::http::{self, HttpAnswer};
use super::link::{self, Stream};
use super::{
    Expected, ProbeFailure, ProbeTarget, Said, ServiceState, other_environment, said, websocket,
};
use crate::config::Secret;

/// The metric that every coordinator has and nobody else.
const BUILD_INFO: &str = "coord_build_info";

pub(super) async fn speak(
    stream: Stream,
    mut begun: Instant,
    target: &ProbeTarget,
    (path, token): (&str, Option<&Secret>),
    expected: &Expected,
) -> Result<Said, ProbeFailure> {
    let authority = target.endpoint.to_string();
    let mut answer = http::get(stream, &authority, path, None).await?;
    if answer.status == StatusCode::UNAUTHORIZED && answer.is_ours() && token.is_some() {
        begun = Instant::now();
        let stream = link::open(target).await?;
        answer = http::get(stream, &authority, path, token).await?;
    }
    let latency = begun.elapsed();
    let info = build_info(&answer, path, token.is_some())?;
    let label = |name: &str| info.labels.get(name).map_or("", String::as_str);
    let environment = label("environment");
    let other = other_environment(environment, expected);
    let (state, next) = match other {
        Some((state, next)) => (state, Some(next)),
        None => (ServiceState::Running, None),
    };
    let (version, environment) = (said(label("version")), said(environment));
    Ok(Said {
        state,
        latency,
        detail: format!("metrics of coord {version}, {environment}"),
        next,
        identity: None,
    })
}

fn build_info(answer: &HttpAnswer, path: &str, with_token: bool) -> Result<Sample, ProbeFailure> {
    let guarded = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
    if answer.is_ours() && guarded.contains(&answer.status) {
        let detail = format!("{}: {}", answer.shown(), answer.why());
        let next = if with_token {
            "give the operator's token (COORD_TOKEN, --token-file), or the one of metrics.token"
        } else {
            "run it as the coordinator's user, or give the operator's token (COORD_TOKEN, --token-file)"
        };
        return Err(ProbeFailure::new(ServiceState::Unauthorised, detail).next(next));
    }
    if answer.is_ours() && answer.status == StatusCode::FORBIDDEN {
        return Err(websocket::other_name(answer));
    }
    if answer.is_ours() && answer.status == StatusCode::SERVICE_UNAVAILABLE {
        let detail = format!("{}: {}", answer.shown(), answer.why());
        return Err(ProbeFailure::new(ServiceState::NotReady, detail)
            .next("wait: it serves no metrics yet"));
    }
    if !answer.status.is_success() {
        let failure = ProbeFailure::wrong(format!("{} at {path}", answer.shown()));
        return Err(if answer.is_ours() {
            failure.next(
                "a coordinator answers, but has no such page: check METRICS_PATH and METRICS_PORT",
            )
        } else {
            failure
        });
    }
    let none = |why: String| ProbeFailure::wrong(format!("{}: {why}", answer.shown()));
    let page = std::str::from_utf8(&answer.body);
    let page = page.map_err(|_| none("the page is not text".to_owned()))?;
    let found = exposition::find(page, BUILD_INFO);
    let found = found.map_err(|line| none(format!("line {line} is not in Prometheus' format")))?;
    found.ok_or_else(|| none(format!("metrics of another program, without {BUILD_INFO}")))
}
