//! Watches an attempt while its command runs: reports progress, notices its loss.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::child_output::ChildProgress;
use crate::cli::child::Question;
use crate::cli::client::{Client, ClientError, Notice, Reply};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::table::one_line;
use crate::protocol::error::ErrorKind;
use crate::protocol::operations::Operation;
use crate::protocol::task::{ClaimView, RenewResult, TaskGetParams, TaskProgressParams, TaskView};

/// The shortest time between two progress reports; a later report replaces an unsent one.
const PROGRESS_MS_MIN: u64 = 1_000;

/// Returns when the attempt is lost, with the reason; until then reports progress, and answers questions
/// whether it still holds.
pub(super) async fn watch(
    client: &mut Client,
    claim: &ClaimView,
    mut reports: mpsc::Receiver<ChildProgress>,
    mut questions: mpsc::Receiver<Question>,
) -> CliError {
    let mut waiting: Option<ChildProgress> = None;
    let mut next_report = Instant::now();
    loop {
        let notice = tokio::select! {
            notice = client.notice() => Some(notice),
            Some(question) = questions.recv() => {
                match check(client, claim).await {
                    Some(gone) => return gone,
                    // The asking side may have been stopped meanwhile.
                    None => drop(question.send(())),
                }
                None
            }
            Some(progress) = reports.recv() => {
                waiting = Some(progress);
                None
            }
            () = sleep_until(next_report), if waiting.is_some() => {
                next_report = Instant::now() + Duration::from_millis(PROGRESS_MS_MIN);
                let progress = waiting.take().unwrap_or_default();
                report(client, claim, progress).await.err().map(Err)
            }
        };
        let gone = match notice {
            Some(Ok(Notice::TaskLost(lost)))
                if lost.task == claim.task && lost.fence == claim.fence =>
            {
                let reason = one_line(&lost.reason);
                Some(CliError::unmet(
                    Exit::StaleFence,
                    format!("the attempt is lost: {reason}"),
                ))
            }
            Some(Ok(Notice::Resumed)) => check(client, claim).await,
            None | Some(Ok(_)) => None,
            Some(Err(error)) if error.kind() == Some(ErrorKind::StaleFence) => {
                Some(CliError::unmet(Exit::StaleFence, error.to_string()))
            }
            Some(Err(error)) => Some(error.into()),
        };
        if let Some(gone) = gone {
            return gone;
        }
    }
}

/// A refused progress report does not end the work; a lost attempt does.
async fn report(
    client: &mut Client,
    claim: &ClaimView,
    progress: ChildProgress,
) -> Result<(), ClientError> {
    let params = TaskProgressParams {
        task: claim.task,
        fence: claim.fence,
        percent: progress.percent,
        note: progress.note,
        request_id: None,
    };
    let reply: Result<Reply<RenewResult>, ClientError> =
        client.call(Operation::TaskProgress, &params).await;
    match reply {
        Err(error)
            if error
                .kind()
                .is_some_and(|kind| kind != ErrorKind::StaleFence) =>
        {
            Ok(())
        }
        other => other.map(drop),
    }
}

/// The notice of a lost attempt may have been missed while the connection was lost or this process was
/// stopped.
async fn check(client: &mut Client, claim: &ClaimView) -> Option<CliError> {
    let params = TaskGetParams { task: claim.task };
    let task: Result<Reply<TaskView>, ClientError> = client.call(Operation::TaskGet, &params).await;
    match task {
        Ok(reply)
            if reply
                .value
                .attempt
                .as_ref()
                .is_some_and(|a| a.fence == claim.fence) =>
        {
            None
        }
        Err(error) if error.kind().is_none() => Some(error.into()),
        Ok(_) | Err(_) => {
            let text = "the attempt was lost while this process was disconnected or stopped";
            Some(CliError::unmet(Exit::StaleFence, text))
        }
    }
}
