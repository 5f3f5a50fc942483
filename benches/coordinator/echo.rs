//! A raw TCP echo server, as a process of its own: what any server on this runtime must spend.
//!
//! The benchmark starts itself again for it. For so many bytes read it writes so many back; the
//! sizes are those of the request and reply it is compared with.

use std::net::SocketAddr;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::process::Process;
use crate::support::server::free_address;

const ASKED: &str = "--echo-server";
/// The same as the coordinator's.
const READ_BUFFER_BYTES: usize = 4 * 1024;

#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub address: SocketAddr,
    pub request_bytes: usize,
    pub reply_bytes: usize,
}

/// Starts the server and waits until it listens.
pub fn start(request_bytes: usize, reply_bytes: usize) -> (Process, SocketAddr) {
    let address = free_address();
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    let numbers = [request_bytes.to_string(), reply_bytes.to_string()];
    command.arg(ASKED).arg(address.to_string()).args(numbers);
    let process = Process::start(command.stdin(Stdio::null()));
    while std::net::TcpStream::connect(address).is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    (process, address)
}

/// Whether this process is to be the server.
pub fn asked_for() -> Option<Sizes> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, asked, address, request, reply] = arguments.as_slice() else {
        return None;
    };
    (asked == ASKED).then_some(Sizes {
        address: address.parse().ok()?,
        request_bytes: request.parse().ok()?,
        reply_bytes: reply.parse().ok()?,
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
        loop {
            let (stream, _) = listener.accept().await.expect("connections can be taken");
            tokio::spawn(echo(stream, sizes));
        }
    })
}

async fn echo(mut stream: TcpStream, sizes: Sizes) {
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let reply = vec![b'x'; sizes.reply_bytes];
    let mut read = 0;
    loop {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => read += count,
            _ => return,
        }
        while read >= sizes.request_bytes {
            read -= sizes.request_bytes;
            if stream.write_all(&reply).await.is_err() {
                return;
            }
        }
    }
}
