//! A child process that ends with its owner, and what the kernel says it used.

use std::fs;
use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a process may take to end once it was told to.
const END_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program can be started"))
    }

    /// One whose input and output are pipes.
    pub fn talking(command: &mut Command) -> (Self, ChildStdin, ChildStdout) {
        let mut child = command.spawn().expect("the program can be started");
        let input = child.stdin.take().expect("its input is a pipe");
        let output = child.stdout.take().expect("its output is a pipe");
        (Self(child), input, output)
    }

    /// Processor time of all its threads so far, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of(&self.0.id().to_string())
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.expect("the kernel tells VmRSS") * 1024
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Ends it in order, and waits until it is gone.
    pub fn stop(&mut self) {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        let _ = kill(pid, Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < END_TIMEOUT {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.stop();
        }
    }
}

/// Processor time of this process so far, in seconds: of the clients.
pub fn own_cpu_seconds() -> f64 {
    cpu_seconds_of("self")
}

/// Processor time of all children that have ended so far, in seconds; the kernel tells it in hundredths.
pub fn children_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").expect("this process runs");
    let (_, fields) = text.rsplit_once(") ").expect("the name stands in brackets");
    let mut fields = fields.split(' ').skip(13).map(str::parse::<f64>);
    let [user, system] = [fields.next(), fields.next()].map(|it| it.and_then(Result::ok));
    user.zip(system)
        .map_or(0.0, |(user, system)| (user + system) / 100.0)
}

fn cpu_seconds_of(process: &str) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.expect("the process runs");
    let nanoseconds = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}
