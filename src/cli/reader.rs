//! Watches the reader of stdout: a command that follows events must end when its reader is gone, not at the
//! next event, which may come tomorrow.

use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::watch;

use super::error::CliError;

/// Returns an error when stdout has no reader any more. Never returns for a file.
pub(super) async fn gone() -> CliError {
    static GONE: OnceLock<watch::Receiver<bool>> = OnceLock::new();
    let mut gone = GONE.get_or_init(|| watch_closing(io::stdout())).clone();
    // Without a thread (none could be started), this never returns.
    if gone.wait_for(|gone| *gone).await.is_err() {
        std::future::pending::<()>().await;
    }
    CliError::Output(io::ErrorKind::BrokenPipe.into())
}

/// A thread that reports when the other end is closed. `poll` reports that without a read or a write, and for
/// every kind of stdout; the runtime cannot do both.
fn watch_closing(fd: impl AsFd + Send + 'static) -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    let look = move || {
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::empty())];
        loop {
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Err(_) => return,
                Ok(_) => break,
            }
        }
        // The waiting side may have ended.
        let _ = tell.send(true);
    };
    // Without a thread, the next printed line fails instead.
    let _ = thread::Builder::new().name("stdout".into()).spawn(look);
    told
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    async fn is_told(mut told: watch::Receiver<bool>) {
        told.wait_for(|gone| *gone).await.expect("it is told");
    }

    #[tokio::test]
    async fn a_closed_pipe_is_noticed_though_nothing_is_written() {
        let (reader, writer) = io::pipe().expect("a pipe can be made");
        let told = watch_closing(writer);
        assert!(!*told.borrow());
        drop(reader);
        is_told(told).await;
    }

    #[tokio::test]
    async fn a_full_pipe_and_a_socket_too() {
        let (reader, mut writer) = io::pipe().expect("a pipe can be made");
        writer.write_all(b"unread").expect("there is space");
        let told = watch_closing(writer);
        drop(reader);
        is_told(told).await;
        let (ours, theirs) = UnixStream::pair().expect("a pair can be made");
        let told = watch_closing(ours);
        drop(theirs);
        is_told(told).await;
    }

    #[tokio::test]
    async fn a_file_has_no_reader_who_could_go() {
        let file = tempfile::tempfile().expect("a temporary file can be made");
        let told = watch_closing(file);
        // A pipe that is closed later is told earlier.
        let (reader, writer) = io::pipe().expect("a pipe can be made");
        let later = watch_closing(writer);
        drop(reader);
        is_told(later).await;
        assert!(!*told.borrow());
    }
}
