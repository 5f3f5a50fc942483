//! A handle to one process (a pidfd), which never refers to a later process with the same number.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A handle to a process: process numbers are reused, a handle is not.
#[derive(Debug)]
pub struct Handle(OwnedFd);

/// How a process is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSignal {
    /// The process may clean up first, or ignore it.
    Term,
    /// The kernel ends it.
    Kill,
}

impl Handle {
    /// Opens a handle to the process that has this number now. Inspect the process after that, so that the
    /// result belongs to the handle. `None` if there is no process; an error on kernels before Linux 5.3.
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => Ok(Some(Self(descriptor))),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends it a signal; one that has ended needs none.
    pub fn end(&self, how: EndSignal) -> io::Result<()> {
        let signal = match how {
            EndSignal::Term => Signal::TERM,
            EndSignal::Kill => Signal::KILL,
        };
        match pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl EndSignal {
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Kill => "KILL",
        }
    }
}
