//! MCP over a pair of streams: one message a line. Requests run at the same time, so that a wait holds up none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::caller::Caller;
use super::dispatch::{Request, introduces, kind_in};
use super::era::Era;
use super::fault::{Fault, INVALID_REQUEST};
use super::incoming::Incoming;
use super::sse::{beats, progress};
use super::tools::ToolSet;

/// Gives each request a caller of its own.
pub type Callers = Arc<dyn Fn() -> Box<dyn Caller> + Send + Sync>;

/// The most bytes of a message.
const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// Requests at once.
const REQUESTS_MAX: usize = 64;
/// How long answers may take after the input has ended.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages that wait to be written.
const OUTPUTS_MAX: usize = 64;

/// Serves until the input ends.
pub async fn serve(
    callers: Callers,
    mut input: impl AsyncBufRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let (outputs, mut written) = mpsc::channel::<String>(OUTPUTS_MAX);
    let mut server = Server {
        callers,
        outputs,
        running: JoinSet::new(),
        by_id: BTreeMap::new(),
    };
    let mut line = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(message) = written.recv() => write(&mut output, message).await?,
            Some(_) = server.running.join_next() => {}
            // What was read of a line stays in `line` when another branch is taken.
            read = read_line(&mut input, &mut line) => match read? {
                Line::End => return finish(server, written, output).await,
                Line::TooLong => {
                    let what = format!("a message has at most {MESSAGE_BYTES_MAX} bytes");
                    server.say(Fault::new(INVALID_REQUEST, what).encode(None));
                    line.clear();
                }
                Line::Whole => {
                    server.take(&line);
                    line.clear();
                }
            },
        }
    }
}

async fn write(output: &mut (impl AsyncWrite + Unpin), mut message: String) -> std::io::Result<()> {
    message.push('\n');
    output.write_all(message.as_bytes()).await?;
    output.flush().await
}

/// Writes the answers to what was asked before the input ended. What waits for something is dropped.
async fn finish(
    server: Server,
    mut written: mpsc::Receiver<String>,
    mut output: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let Server {
        outputs, running, ..
    } = server;
    // The requests under way have the only senders that are left.
    drop(outputs);
    let writing = async {
        while let Some(message) = written.recv().await {
            write(&mut output, message).await?;
        }
        Ok(())
    };
    let written = timeout(END_TIMEOUT, writing).await;
    drop(running);
    written.unwrap_or(Ok(()))
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads to the end of a line. Of one that is too long, the rest is read and dropped.
async fn read_line(
    input: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<Line> {
    loop {
        let left = (MESSAGE_BYTES_MAX + 1).saturating_sub(line.len() as u64);
        if left == 0 {
            return skip_line(input).await;
        }
        let read = (&mut *input).take(left).read_until(b'\n', line).await?;
        if line.last() == Some(&b'\n') {
            return Ok(Line::Whole);
        }
        if read == 0 {
            return Ok(if line.is_empty() {
                Line::End
            } else {
                Line::Whole
            });
        }
    }
}

async fn skip_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Line> {
    loop {
        let buffer = input.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(Line::TooLong);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |at| at + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(Line::TooLong);
        }
    }
}

struct Server {
    callers: Callers,
    outputs: mpsc::Sender<String>,
    running: JoinSet<()>,
    by_id: BTreeMap<String, AbortHandle>,
}

impl Server {
    fn take(&mut self, line: &[u8]) {
        let text = match std::str::from_utf8(line) {
            Ok(text) if text.trim().is_empty() => return,
            Ok(text) => text.trim().to_owned(),
            Err(_) => {
                return self.say(Fault::invalid_request("the message is not UTF-8").encode(None));
            }
        };
        let incoming = match Incoming::read(&text) {
            Ok(incoming) => incoming,
            Err((id, fault)) => return self.say(fault.encode(id)),
        };
        let Some(id) = incoming.id else {
            return self.notified(&incoming);
        };
        self.by_id.retain(|_, running| !running.is_finished());
        if self.running.len() >= REQUESTS_MAX {
            let what = format!("{REQUESTS_MAX} requests are under way: wait for an answer");
            return self.say(Fault::new(INVALID_REQUEST, what).encode(Some(id)));
        }
        let id = id.get().to_owned();
        let (caller, outputs) = ((self.callers)(), self.outputs.clone());
        let running = self.running.spawn(answer(caller, text, outputs));
        self.by_id.insert(id, running);
    }

    /// Stops a request that the client no longer wants. It gets no answer.
    fn notified(&mut self, incoming: &Incoming<'_>) {
        let named = incoming.params.request_id.map(RawValue::get);
        let cancelled = named.filter(|_| incoming.method == "notifications/cancelled");
        if let Some(running) = cancelled.and_then(|id| self.by_id.remove(id)) {
            running.abort();
        }
    }

    fn say(&mut self, message: String) {
        let outputs = self.outputs.clone();
        // The loop writes only between messages, so it must not wait here for itself.
        self.running.spawn(async move {
            let _ = outputs.send(message).await;
        });
    }
}

/// Answers one request, with signs of progress where the client asked for them. Sending fails only when the loop
/// has ended, and then nobody reads.
async fn answer(mut caller: Box<dyn Caller>, text: String, outputs: mpsc::Sender<String>) {
    let Ok(incoming) = Incoming::read(&text) else {
        return;
    };
    let Some(id) = incoming.id else { return };
    let answered = async {
        let era = Era::of(&incoming)?;
        if introduces(&incoming) {
            caller.introduce(kind_in(&incoming)).await;
        }
        let request = Request {
            incoming: &incoming,
            era,
            tools: ToolSet::Chosen,
        };
        let result = if request.is_fixed() {
            request.fixed()?
        } else {
            request.called(&mut *caller).await?
        };
        Ok::<_, Fault>(result.encode(id, era))
    };
    let mut answered = std::pin::pin!(answered);
    let (mut beats, started) = (beats(), tokio::time::Instant::now());
    let answer = loop {
        tokio::select! {
            biased;
            answer = answered.as_mut() => break answer,
            _ = beats.tick(), if incoming.progress_token().is_some() => {
                let token = incoming.progress_token().map(|token| {
                    progress(token, started.elapsed().as_secs())
                });
                if let Some(message) = token {
                    let _ = outputs.send(message).await;
                }
            }
        }
    };
    let text = answer.unwrap_or_else(|fault| fault.encode(Some(id)));
    let _ = outputs.send(text).await;
}
