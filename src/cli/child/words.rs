//! Messages between a wrapper and its guard: one JSON text a line, on a socket.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{SendFlags, send};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// From the wrapper to its guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The command may run; the first one starts it.
    Run(Permit),
    /// Stop the command and all its descendants until the next permit.
    StandStill,
    /// Pass this signal on to the command's process group.
    Signal(i32),
    /// End everything: TERM now, KILL after the time that the guard was started with.
    End,
    /// End everything at once, without letting any process run again.
    Kill,
}

/// Until when the command may run without a new permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Permit {
    /// In milliseconds of the boot clock, which continues while the machine is suspended.
    pub(super) until_ms: u64,
    /// Also continue processes that the guard did not stop: after Ctrl-Z, the terminal stopped them.
    pub(super) wake_all: bool,
    /// Make the command's group the terminal's foreground group.
    pub(super) foreground: bool,
}

/// From the guard to its wrapper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum GuardReport {
    Started {
        pid: i32,
    },
    NotStarted {
        errno: i32,
    },
    /// Everything is stopped: on request, or because no permit came in time.
    StandsStill,
    /// The command was stopped, and not by the guard.
    Halted {
        signal: i32,
    },
    /// The command has ended, with this wait status. What it started may still be ending.
    Ended {
        status: i32,
    },
    /// The last report.
    Finished(Leftovers),
}

/// Descendants of a command that still existed when it had ended, as names for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leftovers {
    /// Ended by the guard.
    pub(super) ended: Vec<String>,
    /// Could not be ended.
    pub(super) remain: Vec<String>,
}

/// One end of the socket.
#[derive(Debug)]
pub(super) struct GuardTalk {
    reader: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

/// The other side exists but does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deaf;

impl GuardTalk {
    pub(super) fn over(socket: OwnedFd) -> std::io::Result<Self> {
        let socket = UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        let (reader, writer) = tokio::net::UnixStream::from_std(socket)?.into_split();
        Ok(Self {
            reader: BufReader::new(reader).lines(),
            writer,
        })
    }

    /// Never waits: lines are short and few, so a full socket means that the other side does not read.
    pub(super) fn say(&mut self, words: &impl Serialize) -> Result<(), Deaf> {
        let mut line = serde_json::to_vec(words).expect("these words always encode as JSON");
        line.push(b'\n');
        let socket: &tokio::net::UnixStream = self.writer.as_ref();
        // A direct write, because the runtime does not know yet that a new socket is writable.
        match send(socket, &line, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(written) if written == line.len() => Ok(()),
            // The other side ended; its earlier messages can still be read, and then the end.
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(()),
            Ok(_) | Err(_) => Err(Deaf),
        }
    }

    /// The other side's next message; `None` after it ended. Cancel-safe.
    pub(super) async fn hear<W: for<'de> Deserialize<'de>>(&mut self) -> Option<W> {
        let line = self.reader.next_line().await.ok()??;
        serde_json::from_str(&line).ok()
    }
}
