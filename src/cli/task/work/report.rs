//! Reports of the worker about an attempt: to the coordinator, and on its own output.

use serde_json::json;

use super::Worker;
use crate::cli::client::{ClientError, Reply};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::task::child_output::{Tail, note_of};
use crate::clock::boot_ms;
use crate::engine::ids::Note;
use crate::engine::payload::Payload;
use crate::protocol::error::ErrorKind;
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;
use crate::protocol::task::{
    ClaimView, TaskCompleteParams, TaskCompleteResult, TaskFailParams, TaskFailResult,
    TaskReleaseParams,
};

impl Worker<'_, '_> {
    pub(super) async fn complete(
        &mut self,
        claim: &ClaimView,
        stdout: Tail,
    ) -> Result<Option<ClaimView>, CliError> {
        let goes_on = self.left > 0 && self.ending.is_none();
        let cut = stdout.cut;
        let result = json!({ "exit_code": 0, "stdout": stdout.text(), "stdout_cut": cut });
        let mut params = TaskCompleteParams {
            task: claim.task,
            fence: claim.fence,
            result: Some(payload(&result)),
            next: goes_on.then(|| self.args.filter.params()),
            request_id: None,
        };
        let operation = Operation::TaskComplete;
        self.asked_at_ms = boot_ms();
        let mut reply = self.client.call(operation, &params).await;
        if let Err(error) = &reply
            && error.kind() == Some(ErrorKind::LimitExceeded)
        {
            // The work is done; an output over the limit must not make it run again.
            self.out().note(format_args!(
                "task {}: {error}; completed without its output",
                claim.task
            ));
            params.result = Some(payload(&json!({ "exit_code": 0, "stdout_cut": true })));
            reply = self.client.call(operation, &params).await;
        }
        let reply: Option<TaskCompleteResult> = self.settled(claim, reply).await?;
        let Some(reply) = reply else {
            return Ok(None);
        };
        self.tell(claim, "done", Some(Exit::Ok))?;
        Ok(reply.next)
    }

    pub(super) async fn fail(
        &mut self,
        claim: &ClaimView,
        exit: Exit,
        stderr: Tail,
    ) -> Result<Option<ClaimView>, CliError> {
        let params = TaskFailParams {
            task: claim.task,
            fence: claim.fence,
            error: failure(exit, &stderr.text()),
            retry: true,
            request_id: None,
        };
        let reply = self.client.call(Operation::TaskFail, &params).await;
        let reply: Option<TaskFailResult> = self.settled(claim, reply).await?;
        if let Some(reply) = reply {
            let word = if reply.dead { "dead" } else { "failed" };
            self.tell(claim, word, Some(exit))?;
        }
        Ok(None)
    }

    pub(super) async fn give_back(
        &mut self,
        claim: &ClaimView,
        exit: Exit,
    ) -> Result<Option<ClaimView>, CliError> {
        let given = self
            .settle::<Empty>(Operation::TaskRelease, &release(claim))
            .await?;
        if given.is_some() {
            self.tell(claim, "given back", Some(exit))?;
        }
        Ok(None)
    }

    pub(super) async fn settle<R: serde::de::DeserializeOwned>(
        &mut self,
        operation: Operation,
        params: &TaskReleaseParams,
    ) -> Result<Option<R>, CliError> {
        match self.client.call(operation, params).await {
            Ok(reply) => Ok(Some(reply.value)),
            Err(error) if error.kind().is_some() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A report that came too late becomes a note, and the worker continues with the next task.
    pub(super) async fn settled<R>(
        &mut self,
        claim: &ClaimView,
        reply: Result<Reply<R>, ClientError>,
    ) -> Result<Option<R>, CliError> {
        let error = match reply {
            Ok(reply) => return Ok(Some(reply.value)),
            Err(error) => error,
        };
        let gone = matches!(error, ClientError::SessionGone { .. });
        if !gone
            && !matches!(
                error.kind(),
                Some(ErrorKind::StaleFence | ErrorKind::NotFound)
            )
        {
            return Err(error.into());
        }
        self.out()
            .note(format_args!("task {}: not reported: {error}", claim.task));
        self.last = Exit::StaleFence;
        if gone {
            self.reopen().await?;
        }
        Ok(None)
    }

    /// One line for each attempt: for people on stderr, for programs on stdout.
    pub(super) fn tell(
        &mut self,
        claim: &ClaimView,
        outcome: &str,
        exit: Option<Exit>,
    ) -> Result<(), CliError> {
        let code = exit.map(Exit::code);
        let out = self.out();
        if out.style().json {
            out.json(&json!({
                "task": claim.task, "attempt": claim.attempt, "outcome": outcome, "exit_code": code,
            }))?;
        } else {
            let code = code
                .map(|code| format!(", exit code {code}"))
                .unwrap_or_default();
            out.note(format_args!("task {}: {outcome}{code}", claim.task));
        }
        Ok(())
    }
}

pub(super) fn release(claim: &ClaimView) -> TaskReleaseParams {
    TaskReleaseParams {
        task: claim.task,
        fence: claim.fence,
        request_id: None,
    }
}

/// The exit code and the end of stderr.
fn failure(exit: Exit, stderr: &str) -> Note {
    let code = exit.code();
    let stderr = stderr.trim();
    let text = match stderr {
        "" => format!("exit code {code}"),
        _ => format!("exit code {code}: {stderr}"),
    };
    note_of(&text).expect("a text that is not empty makes a note")
}

fn payload(value: &serde_json::Value) -> Payload {
    let raw = serde_json::value::to_raw_value(value).expect("a value always encodes as JSON");
    Payload::new(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::task::child_output::STDERR_TAIL_BYTES_MAX;

    #[test]
    fn a_failure_tells_the_code_and_fits() {
        assert_eq!(failure(Exit::Child(3), "").as_str(), "exit code 3");
        assert_eq!(
            failure(Exit::Child(3), "boom\n").as_str(),
            "exit code 3: boom"
        );
        let long = "ü".repeat(STDERR_TAIL_BYTES_MAX / 2);
        assert!(failure(Exit::Child(255), &long).as_str().ends_with('ü'));
    }
}
