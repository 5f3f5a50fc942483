//! A receiver by hand, which answers as a test says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use cli_coordinator::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::remote_write::{Sample, decode};
use crate::support::until;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Stub {
    got: Arc<Mutex<Vec<Got>>>,
    /// Answers for the next requests; afterwards it is `usual`.
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

pub(crate) const TAKEN: &str = "HTTP/1.1 204 No Content\r\nX-Prometheus-Remote-Write-Samples-Written: 0\r\ncontent-length: 0\r\n";

impl Stub {
    /// Serves until the test ends; the port is that of the listener.
    pub(crate) async fn start() -> (Self, u16) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stub = Self::default();
        let serving = stub.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (stub, port)
    }

    pub(crate) fn answer(&self, answer: impl Into<Vec<u8>>) {
        self.answers.lock().unwrap().push_back(answer.into());
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until so many requests with samples came.
    pub(crate) async fn data(&self, count: usize) -> Vec<Got> {
        until("requests with samples", async || {
            let data: Vec<Got> = self
                .got()
                .into_iter()
                .filter(|got| !got.samples.is_empty())
                .collect();
            (data.len() >= count).then_some(data)
        })
        .await
    }

    /// All answers that were prepared were given.
    pub(crate) async fn emptied(&self) {
        until("all answers to be given", async || {
            self.answers.lock().unwrap().is_empty().then_some(())
        })
        .await;
    }

    async fn serve(self, mut stream: TcpStream) {
        while let Some(got) = read(&mut stream).await {
            self.got.lock().unwrap().push(got);
            let planned = self.answers.lock().unwrap().pop_front();
            let now = UNIX_EPOCH + Duration::from_millis(clock::wall_ms());
            let date = httpdate::fmt_http_date(now);
            let usual = || format!("{TAKEN}Date: {date}\r\n\r\n").into_bytes();
            let closes = planned
                .as_ref()
                .is_some_and(|answer| !answer.starts_with(b"HTTP/1.1 2"));
            let answer = planned.unwrap_or_else(usual);
            if stream.write_all(&answer).await.is_err() || closes {
                return;
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Got> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> = headers
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    let samples = decode(&headers["x-prometheus-remote-write-version"], &body);
    Some(Got {
        line,
        headers,
        samples,
    })
}
