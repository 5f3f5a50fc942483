//! The answer of a request that waits, as a stream of events: signs of progress, then the answer.
//!
//! The stream does the work itself while the client reads it, so no task and no queue is left when the client
//! is gone. What one stream says fits into the buffer of a socket.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::PROGRESS_MS;
use super::caller::{Caller, Pending};
use super::dispatch::{Request, timed};
use super::era::Era;
use super::incoming::Incoming;
use super::tools::ToolSet;
use crate::metrics::ToolMetrics;

#[derive(Serialize)]
struct ProgressFrame<'a> {
    jsonrpc: &'static str,
    method: &'static str,
    params: ProgressParams<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgressParams<'a> {
    progress_token: &'a RawValue,
    /// Seconds.
    progress: u64,
    message: &'static str,
}

/// A notification that the request is alive.
pub(super) fn progress(token: &RawValue, seconds: u64) -> String {
    let frame = ProgressFrame {
        jsonrpc: "2.0",
        method: "notifications/progress",
        params: ProgressParams {
            progress_token: token,
            progress: seconds,
            message: "waiting",
        },
    };
    serde_json::to_string(&frame).expect("wire types always encode as JSON")
}

pub(super) fn beats() -> Interval {
    let period = Duration::from_millis(PROGRESS_MS);
    let mut beats = interval_at(Instant::now() + period, period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

/// A stream under way.
struct Underway {
    /// `None`: the answer was given.
    answer: Option<Pending<'static, String>>,
    beats: Interval,
    started: Instant,
    token: Box<RawValue>,
}

/// The answer to a request that has been read once and accepted, as a stream.
pub(super) fn stream(
    metrics: ToolMetrics,
    mut caller: impl Caller + 'static,
    text: String,
    (era, tools): (Era, ToolSet),
    token: &RawValue,
) -> Response {
    let answer = async move {
        let incoming = match Incoming::read(&text) {
            Ok(incoming) => incoming,
            Err((id, fault)) => return fault.encode(id),
        };
        let request = Request {
            incoming: &incoming,
            era,
            tools,
        };
        match (timed(&metrics, &request, &mut caller).await, incoming.id) {
            (Ok(result), Some(id)) => result.encode(id, era),
            (Ok(_), None) => String::new(),
            (Err(fault), id) => fault.encode(id),
        }
    };
    let underway = Underway {
        answer: Some(Box::pin(answer)),
        beats: beats(),
        started: Instant::now(),
        token: token.to_owned(),
    };
    let body = Body::from_stream(stream::unfold(underway, next));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    // Without it nginx keeps the events back until the answer is whole.
    let unbuffered = [("x-accel-buffering", "no")];
    (headers, unbuffered, body).into_response()
}

async fn next(mut underway: Underway) -> Option<(Result<Bytes, Infallible>, Underway)> {
    let answer = underway.answer.as_mut()?;
    let message = tokio::select! {
        biased;
        answer = answer => {
            underway.answer = None;
            answer
        }
        _ = underway.beats.tick() => {
            progress(&underway.token, underway.started.elapsed().as_secs())
        }
    };
    let event = format!("event: message\ndata: {message}\n\n");
    Some((Ok(event.into()), underway))
}
