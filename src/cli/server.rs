//! `coord status`, `ping`, `backup`, and `call` for everything else.

use std::io;

use tokio::time::Instant;

use super::client::Reply;
use super::duration::Millis;
use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, Paint};
use super::shell::Shell;
use super::table::one_line;
use crate::protocol::admin::{
    MqttStatus, PushStatus, ServerBackupParams, ServerBackupResult, ServerStatusResult,
};
use crate::protocol::operations::Operation;
use crate::protocol::session::{Empty, PingResult};

/// Calls an operation by its name.
#[derive(Debug, clap::Args)]
pub(super) struct CallArgs {
    /// The operation, such as task.list; `coord protocol` lists them
    method: String,
    /// Its parameters, a JSON object
    #[arg(default_value = "{}")]
    params: String,
    /// How long the operation itself may wait, in addition to the usual timeout
    #[arg(long, value_name = "DURATION", default_value = "0")]
    wait: Millis,
}

#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The file name, without folders [default: made from the position]
    name: Option<String>,
}

pub(super) async fn status(shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let operation = Operation::ServerStatus;
    shell.print(operation, &Empty {}, show_status).await?;
    Ok(Exit::Ok)
}

fn show_status(out: &mut Output<'_>, status: &ServerStatusResult) -> io::Result<()> {
    let good = out.paint(Paint::Good, "running");
    let uptime = Millis(status.uptime_ms);
    out.line(format_args!("{good} for {uptime}"))?;
    // Coordinators of earlier versions do not send it.
    if !status.status.is_empty() && status.status != "ready" {
        out.field("status", one_line(&status.status.replace('_', " ")))?;
    }
    if let Some(waits) = &status.waiting_for {
        out.field("waits for", one_line(waits))?;
    }
    out.field("node", &status.node)?;
    out.field(
        "version",
        format_args!("{} (protocol {})", status.version, status.protocol),
    )?;
    out.field("environment", &status.environment)?;
    if let Some(ports) = &status.port_fingerprint {
        out.field("ports", ports)?;
    }
    out.field("journal", &status.journal)?;
    out.field("connections", status.connections)?;
    if let Some(push) = &status.push {
        show_push(out, push)?;
    }
    if let Some(mqtt) = &status.mqtt {
        show_mqtt(out, mqtt)?;
    }
    let project = &status.project;
    out.field("project", &project.project)?;
    out.field("cursor", project.cursor)?;
    let (present, known) = (project.agents_present, project.agents);
    out.field("agents", format_args!("{present} present, {known} known"))?;
    out.field("sessions", project.sessions)?;
    out.field(
        "tasks",
        format_args!(
            "{} blocked, {} ready, {} claimed, {} done, {} dead",
            project.tasks_blocked,
            project.tasks_ready,
            project.tasks_claimed,
            project.tasks_done,
            project.tasks_dead
        ),
    )?;
    out.field("leases", project.leases)?;
    out.field(
        "messages",
        format_args!("{} waiting", project.messages_waiting),
    )?;
    out.field(
        "context",
        format_args!("{} entries", project.context_entries),
    )?;
    match &status.state_hash {
        Some(hash) => out.field("state", hash),
        None => Ok(()),
    }
}

fn show_push(out: &mut Output<'_>, push: &PushStatus) -> io::Result<()> {
    let (state, lag) = (push.state.replace('_', " "), Millis(push.lag_ms));
    let (state, waiting) = (one_line(&state), push.backlog_records);
    out.field(
        "push",
        format_args!("{state}, {lag} behind, {waiting} waiting"),
    )?;
    match &push.remark {
        Some(remark) => out.field("receiver", one_line(remark)),
        None => Ok(()),
    }
}

fn show_mqtt(out: &mut Output<'_>, mqtt: &MqttStatus) -> io::Result<()> {
    let state = if mqtt.connected {
        format!("connected to {}, events: {}", mqtt.broker, mqtt.events)
    } else {
        format!("not connected to {}", mqtt.broker)
    };
    out.field("mqtt", one_line(&state))?;
    if let Some(problem) = &mqtt.problem {
        out.field("mqtt problem", one_line(problem))?;
    }
    if mqtt.takeovers == 0 {
        return Ok(());
    }
    let text = "times that another client with the same client id took the connection over";
    out.field("takeovers", format_args!("{} {text}", mqtt.takeovers))
}

/// The shown time does not include connecting.
pub(super) async fn ping(shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let mut client = shell.client().await?;
    let started = Instant::now();
    let reply: Reply<PingResult> = client.call(Operation::Ping, &Empty {}).await?;
    let micros = started.elapsed().as_micros();
    client.close().await;
    let (whole, rest) = (micros / 1_000, micros % 1_000);
    let sentence = format!("answered in {whole}.{rest:03} ms");
    shell.out.reply(&reply, |out, _| out.done(sentence))?;
    Ok(Exit::Ok)
}

pub(super) async fn backup(args: BackupArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let params = ServerBackupParams { name: args.name };
    let written = |out: &mut Output<'_>, backup: &ServerBackupResult| {
        let (path, records, bytes) = (&backup.path, backup.records, backup.bytes);
        let sentence =
            format_args!("{path} on the coordinator's host: {records} records, {bytes} bytes");
        out.made(path, sentence)
    };
    let operation = Operation::ServerBackup;
    shell.print(operation, &params, written).await?;
    Ok(Exit::Ok)
}

/// Known operations get a request id and are retried where that is safe; others are sent as given.
pub(super) async fn call(args: CallArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let params = super::input::json(&args.params, "the parameters")?;
    let params = params.as_json().to_owned();
    let mut client = shell.client().await?;
    let raw = match Operation::by_name(&args.method) {
        Some(operation) => client.call_raw(operation, params, args.wait.0).await?,
        None => {
            client
                .call_verbatim(&args.method, &params, args.wait.0)
                .await?
        }
    };
    client.close().await;
    shell.out.raw(&raw)?;
    Ok(Exit::Ok)
}
