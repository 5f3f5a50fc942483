//! A raw TCP echo server, as a process of its own: what any server on this runtime must spend.
//!
//! The benchmark starts itself again for it. For so many bytes read it writes so many back; the
//! sizes are those of the request and reply it is compared with. With a folder it also writes and
//! syncs so many bytes before each reply: the least that a durable answer over TCP can take.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::process::Process;
use crate::support::report::{bare_commit, preallocated};
use crate::support::server::free_address;

const ASKED: &str = "--echo-server";
/// The same as the coordinator's.
const READ_BUFFER_BYTES: usize = 4 * 1024;

#[derive(Debug, Clone)]
pub struct Sizes {
    pub address: SocketAddr,
    pub request_bytes: usize,
    pub reply_bytes: usize,
    /// What is written and synced before a reply, and where.
    pub commit: Option<(usize, PathBuf)>,
}

/// Starts the server and waits until it listens.
pub fn start(
    request_bytes: usize,
    reply_bytes: usize,
    commit: Option<(usize, &Path)>,
) -> (Process, SocketAddr) {
    let address = free_address();
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    let numbers = [request_bytes.to_string(), reply_bytes.to_string()];
    command.arg(ASKED).arg(address.to_string()).args(numbers);
    if let Some((bytes, folder)) = commit {
        command.arg(bytes.to_string()).arg(folder);
    }
    let process = Process::start(command.stdin(Stdio::null()));
    while std::net::TcpStream::connect(address).is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    (process, address)
}

/// Whether this process is to be the server.
pub fn asked_for() -> Option<Sizes> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, asked, address, request, reply, commit @ ..] = arguments.as_slice() else {
        return None;
    };
    let commit = match commit {
        [] => None,
        [bytes, folder] => Some((bytes.parse().ok()?, folder.into())),
        _ => return None,
    };
    (asked == ASKED).then_some(Sizes {
        address: address.parse().ok()?,
        request_bytes: request.parse().ok()?,
        reply_bytes: reply.parse().ok()?,
        commit,
    })
}

pub fn serve(sizes: Sizes) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("the runtime starts").block_on(async move {
        let listener = TcpListener::bind(sizes.address)
            .await
            .expect("the address is free");
        let commit = sizes.commit.as_ref();
        let file = commit.map(|(bytes, folder)| (*bytes, Arc::new(preallocated(folder))));
        loop {
            let (stream, _) = listener.accept().await.expect("connections can be taken");
            tokio::spawn(echo(stream, sizes.clone(), file.clone()));
        }
    })
}

async fn echo(mut stream: TcpStream, sizes: Sizes, file: Option<(usize, Arc<File>)>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let reply = vec![b'x'; sizes.reply_bytes];
    let (mut read, mut replies) = (0, 0);
    loop {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => read += count,
            _ => return,
        }
        while read >= sizes.request_bytes {
            read -= sizes.request_bytes;
            replies += 1;
            if let Some((bytes, file)) = &file {
                bare_commit(file, *bytes, replies);
            }
            if stream.write_all(&reply).await.is_err() {
                return;
            }
        }
    }
}
