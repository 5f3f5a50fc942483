//! While a wrapper stands still, so does its command, and what was lost meanwhile is not worked on.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::json;

use super::beats::{BEATS, Beats};
use super::coord::{Cli, Running};
use crate::support::{Client, Coordinator, until};

/// What is held by each wrapper, and how it is taken away from it.
const WRAPPERS: [Wrapper; 3] = [Wrapper::Lease, Wrapper::Task, Wrapper::Port];

#[derive(Debug, Clone, Copy)]
enum Wrapper {
    Lease,
    Task,
    Port,
}

struct Scene {
    coordinator: Coordinator,
    ann: Cli,
    bob: Cli,
    operator: Client,
}

impl Scene {
    async fn new() -> Self {
        let coordinator = Coordinator::start().await;
        let ann = Cli::agent(&coordinator, "ann").await;
        let bob = Cli::agent(&coordinator, "bob").await;
        let token = coordinator.token("root", "operator").await;
        let operator = Client::connect(coordinator.port(), &token).await;
        Self {
            coordinator,
            ann,
            bob,
            operator,
        }
    }

    fn folder(&self) -> &Path {
        self.coordinator.folder()
    }

    async fn start(&self, wrapper: Wrapper) -> (Running, Beats) {
        let folder = self.folder();
        Beats::clear(folder);
        let words: &[&str] = match wrapper {
            Wrapper::Lease => &["lease", "run", "--kill-after", "100ms", "name:x"],
            Wrapper::Task => {
                self.ann
                    .run(folder, &["task", "submit", "x"])
                    .await
                    .check(0);
                &["task", "work", "--once", "--kill-after", "100ms"]
            }
            Wrapper::Port => &[
                "ports",
                "run",
                "--lease",
                "--host",
                "here",
                "--kill-after",
                "100ms",
                "--pool",
                "21000-21999",
                "--id",
                "x",
            ],
        };
        let command = ["--", "sh", "-c", BEATS];
        let running = self.ann.start(folder, &[words, &command[..]].concat());
        (running, Beats::in_folder(folder).await)
    }

    /// Takes away what the wrapper holds, and gives it to Bob.
    async fn give_to_bob(&mut self, wrapper: Wrapper) {
        let folder = self.coordinator.folder().to_owned();
        if let Wrapper::Task = wrapper {
            let tasks = self
                .bob
                .json(&folder, &["task", "list", "--state", "claimed"])
                .await;
            let task = &tasks["tasks"][0]["task"];
            self.operator
                .call("task.cancel", json!({ "task": task }))
                .await
                .unwrap();
            self.operator
                .call("task.retry", json!({ "task": task }))
                .await
                .unwrap();
            let task = task.to_string();
            self.bob
                .run(&folder, &["task", "claim", &task])
                .await
                .check(0);
            return;
        }
        let leases = self
            .bob
            .json(&folder, &["lease", "list", "--agent", "ann"])
            .await;
        // A port that another program holds at the moment stays leased for a while, outside of any session.
        let mut leases = leases["leases"].as_array().unwrap().iter();
        let lease = leases.find(|lease| lease["session"].is_u64()).unwrap();
        let revoke = json!({ "lease": lease["lease"] });
        self.operator.call("lease.revoke", revoke).await.unwrap();
        let resource = lease["resources"][0].as_str().unwrap();
        self.bob
            .run(&folder, &["lease", "acquire", resource])
            .await
            .check(0);
    }
}

/// What stands still with its wrapper and was not lost goes on with it.
#[tokio::test]
async fn a_stopped_wrapper_stops_its_command_and_goes_on_with_it() {
    let scene = Scene::new().await;
    for wrapper in WRAPPERS {
        let (running, beats) = scene.start(wrapper).await;
        running.signal(Signal::SIGSTOP);
        beats.stand_still().await;
        running.signal(Signal::SIGCONT);
        beats.beat().await;
        assert!(beats.woke(), "{wrapper:?}");
        running.signal(Signal::SIGTERM);
        beats.end().await;
        running.done().await;
    }
}

#[tokio::test]
async fn what_was_lost_to_somebody_else_meanwhile_never_runs_again() {
    let mut scene = Scene::new().await;
    for wrapper in WRAPPERS {
        let (running, beats) = scene.start(wrapper).await;
        running.signal(Signal::SIGSTOP);
        beats.stand_still().await;
        scene.give_to_bob(wrapper).await;
        running.signal(Signal::SIGCONT);
        beats.end().await;
        assert!(!beats.woke(), "{wrapper:?}");
        running.done().await.check(7).says("lost");
    }
}

#[tokio::test]
async fn a_wrapper_that_is_killed_while_it_stands_still_leaves_nothing() {
    let scene = Scene::new().await;
    for wrapper in WRAPPERS {
        let (running, beats) = scene.start(wrapper).await;
        running.signal(Signal::SIGSTOP);
        beats.stand_still().await;
        running.signal(Signal::SIGKILL);
        beats.end().await;
        assert!(!beats.woke(), "{wrapper:?}");
    }
}

/// A debugger stops a process by other means than a signal that others see.
#[tokio::test]
async fn a_wrapper_in_a_debugger_stops_its_command() {
    let scene = Scene::new().await;
    let (running, beats) = scene.start(Wrapper::Lease).await;
    let pid = running.pid();
    let (stopped, is_stopped) = tokio::sync::oneshot::channel();
    let (go, going) = std::sync::mpsc::sync_channel(1);
    // Only the thread that attached may let go.
    let debugger = std::thread::spawn(move || {
        ptrace::attach(pid).unwrap();
        let status = waitpid(pid, None).unwrap();
        assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
        stopped.send(()).unwrap();
        going.recv().unwrap();
        ptrace::detach(pid, None).unwrap();
    });
    is_stopped.await.unwrap();
    beats.stand_still().await;
    go.send(()).unwrap();
    debugger.join().unwrap();
    beats.beat().await;
}

/// A cgroup that freezes what is in it: version 1 or 2, whichever this machine has.
struct Freezer {
    folder: PathBuf,
    file: &'static str,
    words: [&'static str; 2],
}

impl Freezer {
    fn new(name: &str) -> Self {
        let name = format!("coord-test-{name}-{}", std::process::id());
        let one = Path::new("/sys/fs/cgroup/freezer");
        let two = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let two = two
            .iter()
            .find(|it| Path::new(it).join("cgroup.procs").exists());
        let (folder, file, words) = if one.exists() {
            (one.join(name), "freezer.state", ["FROZEN", "THAWED"])
        } else {
            let two = two.expect("there is a freezer of version 1, or a tree of version 2");
            (Path::new(two).join(name), "cgroup.freeze", ["1", "0"])
        };
        fs::create_dir(&folder).expect("only root makes cgroups, and runs this test");
        Self {
            folder,
            file,
            words,
        }
    }

    fn take(&self, pid: Pid) {
        let taken = fs::write(self.folder.join("cgroup.procs"), pid.to_string());
        // What ends meanwhile need not be frozen.
        let ended = taken
            .as_ref()
            .is_err_and(|error| error.raw_os_error() == Some(3));
        assert!(ended || taken.is_ok(), "{taken:?}");
    }

    /// A process and all below it. What is started meanwhile is where its parent is by the second look.
    fn take_all(&self, root: Pid) {
        for _ in 0..2 {
            for pid in tree(root) {
                self.take(pid);
            }
        }
    }

    fn freezes(&self, frozen: bool) {
        let word = self.words[usize::from(!frozen)];
        fs::write(self.folder.join(self.file), word).unwrap();
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.freezes(false);
        let others = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for pid in others.lines() {
            let root = self.folder.parent().unwrap().join("cgroup.procs");
            let _ = fs::write(root, pid);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("not root: nothing can be frozen here");
    }
    root
}

#[tokio::test]
async fn a_frozen_wrapper_stops_its_command() {
    if !is_root() {
        return;
    }
    let mut scene = Scene::new().await;
    let freezer = Freezer::new("alone");
    let (running, beats) = scene.start(Wrapper::Task).await;
    freezer.take(running.pid());
    freezer.freezes(true);
    beats.stand_still().await;
    scene.give_to_bob(Wrapper::Task).await;
    freezer.freezes(false);
    beats.end().await;
    assert!(!beats.woke());
    running.done().await.check(7);
}

/// Everything is thawed at once, the command too: it is stopped before anything else, then ended.
#[tokio::test]
async fn what_was_frozen_with_its_command_asks_before_it_goes_on() {
    if !is_root() {
        return;
    }
    let mut scene = Scene::new().await;
    let freezer = Freezer::new("all");
    let (running, beats) = scene.start(Wrapper::Lease).await;
    freezer.take_all(running.pid());
    freezer.freezes(true);
    scene.give_to_bob(Wrapper::Lease).await;
    // Longer than the command may run without being allowed to again.
    until("the permit to run out", async || {
        (beats_age(scene.folder()) > 1_500).then_some(())
    })
    .await;
    freezer.freezes(false);
    beats.end().await;
    running.done().await.check(7);
}

/// How many milliseconds ago the last beat was.
fn beats_age(folder: &Path) -> u128 {
    let modified = fs::metadata(folder.join("beat"))
        .unwrap()
        .modified()
        .unwrap();
    modified.elapsed().unwrap_or_default().as_millis()
}

/// A process and all its descendants.
fn tree(root: Pid) -> Vec<Pid> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            if fields.split(' ').nth(1) == Some(&parent.to_string()) {
                found.push(Pid::from_raw(pid));
            }
        }
    }
    found
}

/// The process between a wrapper and its command is nobody's business, but it can be killed.
#[tokio::test]
async fn a_guard_that_is_killed_takes_its_command_along() {
    let scene = Scene::new().await;
    for wrapper in WRAPPERS {
        let (running, beats) = scene.start(wrapper).await;
        let guard = tree(running.pid())[1];
        nix::sys::signal::kill(guard, Signal::SIGKILL).unwrap();
        beats.end().await;
        running.done().await.check(126).says("guard");
    }
}
