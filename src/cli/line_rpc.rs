//! JSON-RPC with a program over its streams, one message a line.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A program that answers requests. It ends with this.
#[derive(Debug)]
pub(super) struct LineRpc {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    calls: u64,
}

impl LineRpc {
    /// Why it could not be started or asked is told as the end of a sentence about the program.
    pub(super) fn start(command: &mut Command) -> Result<Self, String> {
        let command = command
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let child = command.spawn();
        let mut child = child.map_err(|error| format!("cannot be run: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("has no streams".to_owned());
        };
        Ok(Self {
            _child: child,
            input,
            output: BufReader::new(output).lines(),
            calls: 0,
        })
    }

    pub(super) async fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.calls += 1;
        let id = self.calls;
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&call).await?;
        loop {
            let line = self.output.next_line().await;
            let line = line.map_err(|error| format!("cannot be read: {error}"))?;
            let line = line.ok_or("ended without an answer")?;
            if line.len() > LINE_BYTES_MAX {
                return Err(format!("answers {method} with too much"));
            }
            // Logs may stand between answers.
            let mut answer: Value = serde_json::from_str(&line).unwrap_or_default();
            if answer["id"] != id {
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(format!(
                    "answers {method} with an error: {}",
                    error["message"].as_str().unwrap_or("it does not say why")
                )),
                None => Ok(answer["result"].take()),
            };
        }
    }

    pub(super) async fn notify(&mut self, method: &str) -> Result<(), String> {
        self.send(&json!({ "jsonrpc": "2.0", "method": method }))
            .await
    }

    async fn send(&mut self, message: &Value) -> Result<(), String> {
        let line = format!("{message}\n");
        let sent = self.input.write_all(line.as_bytes()).await;
        sent.map_err(|error| format!("cannot be asked: {error}"))
    }
}
