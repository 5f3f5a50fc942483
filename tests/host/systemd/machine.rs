//! A machine that boots: a container with a systemd of its own, and commands that run in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

use super::disk::Disk;
use crate::support::{PATIENCE, POLL};

/// Where the program under test is in the machine, before it is installed.
pub const PROGRAM: &str = "/opt/coord";

/// A booted machine; it ends with this value, and nothing of it stays.
#[derive(Debug)]
pub struct Machine {
    container: Child,
    /// Its process 1, as it is called here.
    leader: u32,
    disk: Disk,
    folder: TempDir,
}

impl Machine {
    /// Boots one, and waits until it is up.
    pub fn boot() -> Self {
        Self::boot_suite("bookworm")
    }

    /// The same of another suite of Debian, which brings another systemd.
    pub fn boot_suite(suite: &str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "only root can boot a container"
        );
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::over(&root(suite), folder.path());
        let container = disk.boot(folder.path());
        let mut machine = Self {
            container,
            leader: 0,
            disk,
            folder,
        };
        machine.wait(&["running"]);
        machine
    }

    /// Shuts it down as it should be, and boots it again. Its disk is as it was.
    pub fn reboot(&mut self) {
        self.ok(&["systemctl", "--no-block", "poweroff"]);
        self.container.wait().unwrap();
        self.start_again();
    }

    /// Ends everything in it at once, and boots it again.
    pub fn lose_power(&mut self) {
        self.end();
        self.start_again();
    }

    fn start_again(&mut self) {
        self.container = self.disk.boot(self.folder.path());
        // A unit that failed is nothing to stop a box.
        self.wait(&["running", "degraded"]);
    }

    fn wait(&mut self, states: &[&str]) {
        self.leader = self.until("its first process", Self::first_process);
        self.until("it to be up", |it| {
            let state = it.run(&["systemctl", "is-system-running"]).ok()?;
            let state = String::from_utf8(state.stdout).unwrap();
            states.contains(&state.trim()).then_some(())
        });
    }

    /// The kernel ends everything in it with its first process, and nspawn with that.
    fn end(&mut self) {
        if let Ok(pid) = i32::try_from(self.leader)
            && pid > 0
        {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        } else {
            let _ = self.container.kill();
        }
        let _ = self.container.wait();
    }

    /// A command that runs in the machine, as root.
    pub fn command(&self, words: &[&str]) -> Command {
        let leader = self.leader.to_string();
        let mut command = Command::new("nsenter");
        command
            .args([
                "--target", &leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--",
            ])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command. The error is that it could not be run at all.
    pub fn run(&self, words: &[&str]) -> io::Result<Output> {
        self.command(words).output()
    }

    /// Runs a command that must succeed, and gives what it printed.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words).unwrap();
        assert!(
            output.status.success(),
            "{words:?}: {output:?}\n{}",
            self.log()
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs lines of shell that must succeed.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        self.ok(&["sh", "-euc", script])
    }

    /// One property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        let text = self.ok(&["systemctl", "show", "--value", "--property", name, unit]);
        text.trim_end().to_owned()
    }

    /// Waits until a property of coord.service is as wanted.
    pub fn service(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let what = format!("another {name} of coord.service");
        self.until(&what, |it| {
            Some(it.property("coord.service", name)).filter(|it| wanted(it))
        })
    }

    /// The log of the service, and of systemd about it.
    pub fn log(&self) -> String {
        self.log_of("coord.service")
    }

    /// The log of a unit since the last boot, and of systemd about it.
    pub fn log_of(&self, unit: &str) -> String {
        let words = [
            "journalctl",
            "--no-pager",
            "--boot",
            "--output=cat",
            "--unit",
            unit,
        ];
        let output = self.run(&words).unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Writes a file in the machine.
    pub fn write(&self, path: &str, mode: &str, text: &str) {
        let local = self.folder.path().join("file");
        fs::write(&local, text).unwrap();
        let inside = format!("/proc/{}/root{path}", self.leader);
        fs::create_dir_all(Path::new(&inside).parent().unwrap()).unwrap();
        fs::copy(&local, &inside).unwrap();
        self.ok(&["chmod", mode, path]);
    }

    /// Does something in the network of the machine.
    pub fn network<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        self.beside(work, || ())
    }

    /// Does something in the network of the machine, and something else meanwhile.
    pub fn beside<T: Send>(
        &self,
        work: impl AsyncFnOnce() -> T + Send,
        meanwhile: impl FnOnce(),
    ) -> T {
        within_network_of(self.leader, work, meanwhile)
    }

    /// What is called 1 in the machine, as it is called here.
    pub fn leader(&self) -> u32 {
        self.leader
    }

    /// Looks again and again until `look` finds something.
    pub fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            if let Some(found) = look(self) {
                return found;
            }
            thread::sleep(POLL);
        }
        let console = fs::read_to_string(self.folder.path().join("console"));
        panic!("waited in vain for {what}\n{}\n{console:?}", self.log())
    }

    /// The one that is called 1 in there.
    fn first_process(&self) -> Option<u32> {
        let pid = self.container.id();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let children =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
        let children: Vec<String> = children.collect();
        let pids = children.iter().flat_map(|line| line.split_whitespace());
        pids.filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status
                .lines()
                .any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Does something in the network of a process, and something else meanwhile.
pub fn within_network_of<T: Send>(
    process: u32,
    work: impl AsyncFnOnce() -> T + Send,
    meanwhile: impl FnOnce(),
) -> T {
    let namespace = fs::File::open(format!("/proc/{process}/ns/net")).unwrap();
    thread::scope(|scope| {
        // A thread of its own, since a thread is in one network only.
        let thread = scope.spawn(|| {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(work())
        });
        meanwhile();
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The system that is booted, made when it is not there yet.
fn root(suite: &str) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = sources.join(format!("target/boot/{suite}-2"));
    let script = sources.join("tests/host/systemd/root");
    let made = Command::new(script).arg(&root).arg(suite).output().unwrap();
    assert!(
        made.status.success(),
        "the system to boot cannot be made: {made:?}"
    );
    root
}
