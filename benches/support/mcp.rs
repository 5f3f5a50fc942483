//! Clients of the tools: a connection to `/mcp`, and `coord mcp`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::options::Options;
use super::process::Process;
use super::server::Server;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// A result of a tool, and no error.
fn check(answer: &[u8]) {
    let answer: Value = serde_json::from_slice(answer).expect("answers are JSON");
    let result = &answer["result"];
    assert!(result.is_object() && result["isError"] != true, "{answer}");
}

/// One connection that is kept, as the CLIs keep theirs.
#[derive(Debug)]
pub struct HttpTools {
    stream: TcpStream,
    head: String,
    input: Vec<u8>,
    is_checked: bool,
}

impl HttpTools {
    pub fn connect(server: &Server, token: &str) -> Self {
        let stream = TcpStream::connect(server.address).expect("the coordinator takes connections");
        stream.set_nodelay(true).expect("it is a TCP socket");
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nAccept: application/json\r\n",
            server.address
        );
        Self {
            stream,
            head,
            input: Vec::new(),
            is_checked: false,
        }
    }

    pub fn call(&mut self, body: &str) {
        let length = body.len();
        let sent = format!("{}Content-Length: {length}\r\n\r\n{body}", self.head);
        self.stream.write_all(sent.as_bytes()).expect("it is sent");
        self.input.clear();
        let mut chunk = [0; 8192];
        while !self.is_whole() {
            let count = self.stream.read(&mut chunk).expect("the connection holds");
            assert!(count > 0, "the coordinator closed the connection");
            self.input.extend_from_slice(&chunk[..count]);
        }
    }

    fn is_whole(&mut self) -> bool {
        let Some(end) = self.input.windows(4).position(|four| four == HEAD_END) else {
            return false;
        };
        let head = String::from_utf8_lossy(&self.input[..end]).to_lowercase();
        let length = head.lines().find_map(|line| {
            let value = line.strip_prefix("content-length:")?;
            value.trim().parse::<usize>().ok()
        });
        let body = &self.input[end + HEAD_END.len()..];
        let is_whole = body.len() >= length.expect("the answer has its length");
        if is_whole && !self.is_checked {
            check(body);
            self.is_checked = true;
        }
        is_whole
    }
}

/// `coord mcp`, as a CLI starts it.
#[derive(Debug)]
pub struct StdioTools {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: String,
    is_checked: bool,
    _process: Process,
}

impl StdioTools {
    pub fn start(options: &Options, server: &Server, token: &str) -> Self {
        let mut command = Command::new(&options.server);
        command
            .arg("mcp")
            .env_clear()
            .env("COORD_URL", format!("ws://{}/ws", server.address))
            .env("COORD_TOKEN", token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let (process, input, output) = Process::talking(&mut command);
        Self {
            input,
            output: BufReader::new(output),
            line: String::new(),
            is_checked: false,
            _process: process,
        }
    }

    pub fn call(&mut self, message: &str) {
        let sent = writeln!(self.input, "{message}").and_then(|()| self.input.flush());
        sent.expect("it is sent");
        self.line.clear();
        let read = self.output.read_line(&mut self.line);
        assert!(read.is_ok_and(|count| count > 0), "coord mcp has ended");
        if !self.is_checked {
            check(self.line.as_bytes());
            self.is_checked = true;
        }
    }
}
