//! `coord health push`: would the receiver take the metrics of this machine?

use std::io;
use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use crate::app;
use crate::causes;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Paint};
use crate::cli::shell::Shell;
use crate::cli::table::one_line;
use crate::clock;
use crate::config::{Config, Flags, Invoker, PushConfig, PushProtocol};
use crate::link::LinkError;
use crate::push::sender::Request;
use crate::push::transport::{Said, Transport, TransportError};

/// From here on the receiver's clock is used instead of ours.
const OFFSET_TOLD_MS: u64 = 60_000;
/// From here on nothing is sent.
const OFFSET_HELD_MS: u64 = 600_000;

#[derive(Debug, clap::Args)]
pub(super) struct PushArgs {
    #[command(flatten)]
    flags: Flags,
}

/// As it is printed with `--json`.
#[derive(Debug, Serialize)]
struct PushReport {
    well: bool,
    url: String,
    state: &'static str,
    /// The status of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<u16>,
    latency_ms: u64,
    /// The receiver's clock minus ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_offset_ms: Option<i64>,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'static str>,
}

pub(super) async fn run(args: &PushArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    // Nothing is bound here, so privileged ports are no problem.
    let config = Config::load(&args.flags, shell.environment, Invoker::from(0))?;
    for warning in &config.warnings {
        shell.out.note(format_args!("warning: {warning}"));
    }
    let Some(push) = config.push else {
        let what = "the configuration names no receiver of metrics";
        return Err(CliError::usage(what, "set push.url (COORD_PUSH_URL)"));
    };
    let report = look(push).await?;
    if shell.out.style().json {
        shell.out.json(&report)?;
    } else {
        show(&report, &mut shell.out)?;
    }
    Ok(if report.well { Exit::Ok } else { Exit::Failed })
}

async fn look(push: PushConfig) -> Result<PushReport, CliError> {
    let (url, protocol) = (push.url.to_string(), push.protocol);
    let request = Request::empty(protocol);
    let request = request.map_err(|error| CliError::input("make a request", error))?;
    let mut transport = Transport::new(Arc::new(push), &app::user_agent());
    let begun = Instant::now();
    let said = transport.send(request).await;
    let latency = begun.elapsed();
    let wall_ms = clock::wall_ms();
    let date_ms = said.as_ref().ok().and_then(|said| said.answer.date_ms);
    let offset = date_ms.map(|date| i128::from(date) + 500 - i128::from(wall_ms));
    let clock_offset_ms = offset.and_then(|offset| i64::try_from(offset).ok());
    let judged = match &said {
        Ok(said) => of_answer(said, protocol, clock_offset_ms),
        Err(error) => of_failure(error),
    };
    let (state, detail, next) = judged;
    Ok(PushReport {
        well: state == "running",
        url,
        state,
        http: said.ok().map(|said| said.answer.status),
        latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        clock_offset_ms,
        detail,
        next,
    })
}

/// A state, what was found, and what to do.
type Judged = (&'static str, String, Option<&'static str>);

fn of_answer(said: &Said, protocol: PushProtocol, offset_ms: Option<i64>) -> Judged {
    let answer = &said.answer;
    let told = format!("HTTP {} {}", answer.status, said.text);
    let told = told.trim_end().to_owned();
    let unauthorised = |next| ("unauthorised", told.clone(), Some(next));
    match answer.status {
        // Some receivers reject what has no samples, and that shows that they would take some.
        200..=299 | 400 | 409 | 413 | 422 => {}
        401 | 407 => return unauthorised("check push.user and push.password, or push.token"),
        403 => {
            return unauthorised(
                "give these credentials the right to write, or check push.headers",
            );
        }
        404 | 405 => {
            let next =
                "check the path in push.url; a Prometheus needs --web.enable-remote-write-receiver";
            return ("wrong_service", told, Some(next));
        }
        300..=399 => {
            let next =
                "write the address that it redirects to into push.url; redirects are not followed";
            return ("wrong_service", told, Some(next));
        }
        415 => {
            let next = "set push.protocol = \"1.0\", and check the path in push.url";
            return ("wrong_service", told, Some(next));
        }
        _ => {
            return (
                "not_ready",
                told,
                Some("it asks for patience: look at the receiver's own log"),
            );
        }
    }
    let off_by = offset_ms.map(i64::unsigned_abs);
    if off_by.is_some_and(|off_by| off_by > OFFSET_HELD_MS) {
        let next = "correct the clock of this machine (timedatectl), or the receiver's: nothing is sent before";
        let detail = format!("the clocks differ by {} s", offset_ms.unwrap_or(0) / 1_000);
        return ("clock_wrong", detail, Some(next));
    }
    let mut detail = "it takes remote write".to_owned();
    if protocol == PushProtocol::V2 && !answer.counts_samples {
        detail.push_str(", but only 1.0, which is used then");
    }
    let next = if off_by.is_some_and(|off_by| off_by > OFFSET_TOLD_MS) {
        Some(
            "correct the clock of this machine (timedatectl): the receiver's time is used meanwhile",
        )
    } else if off_by.is_none() {
        Some("it sends no Date, so nobody checks the clock of this machine")
    } else {
        None
    };
    ("running", detail, next)
}

fn of_failure(error: &TransportError) -> Judged {
    let detail = causes::one_line(error);
    let (state, next) = match error {
        TransportError::Link(LinkError::Unknown { .. }) => (
            "unreachable",
            "check the name in push.url, and the name servers of this machine",
        ),
        TransportError::Link(LinkError::Connect(_)) | TransportError::Timeout => (
            "unreachable",
            "check host and port in push.url, and the firewalls in between",
        ),
        // A server of TLS 1.3 says so only after the handshake.
        _ if is_about_our_certificate(&detail) => (
            "unauthorised",
            "check push.certificate_file and push.key_file: it wants a certificate that it trusts",
        ),
        TransportError::Link(LinkError::Tls(_)) => (
            "untrusted",
            "check that push.url is for https, and that push.ca_file has its authority",
        ),
        TransportError::Credentials(_) => ("unauthorised", "correct the file or setting"),
        TransportError::Http(_) => ("wrong_service", "check scheme and port in push.url"),
    };
    (state, detail, Some(next))
}

/// Servers have several alerts for a client's certificate that is missing or that they do not trust.
fn is_about_our_certificate(detail: &str) -> bool {
    let alert = detail.split("received fatal alert: ").nth(1);
    alert.is_some_and(|alert| alert.contains("ertificate") || alert.contains("UnknownCA"))
}

fn show(report: &PushReport, out: &mut Output<'_>) -> io::Result<()> {
    let paint = if report.well { Paint::Good } else { Paint::Bad };
    let state = out.paint(paint, &report.state.replace('_', " "));
    out.field("receiver", &report.url)?;
    out.field("state", state)?;
    out.field("detail", one_line(&report.detail))?;
    out.field("latency", format_args!("{} ms", report.latency_ms))?;
    if let Some(offset_ms) = report.clock_offset_ms {
        #[allow(clippy::cast_precision_loss, reason = "shown in seconds")]
        let offset_s = offset_ms as f64 / 1e3;
        out.field(
            "clock",
            format_args!("the receiver's is {offset_s:+.1} s from ours"),
        )?;
    }
    match report.next {
        Some(next) => out.field("next", next),
        None => Ok(()),
    }
}
