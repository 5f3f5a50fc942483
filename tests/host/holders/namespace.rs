//! A network namespace with nothing in it but loopback, and processes in it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use tempfile::TempDir;

/// A namespace; it goes with the process that was started for it.
#[derive(Debug)]
pub(crate) struct Namespace {
    keeper: Child,
    /// The keeper ends when this is closed.
    stdin: Option<ChildStdin>,
    /// How a process enters it.
    enter: &'static [&'static str],
    folder: TempDir,
}

/// A program in a namespace; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program(pub(crate) Child);

impl Namespace {
    pub(crate) fn new() -> Self {
        // Without root a user namespace is needed to own a network namespace.
        let enter = &["--preserve-credentials", "--user", "--net"];
        Self::made(&["--map-root-user", "--net"], enter)
    }

    /// One in which other users can have processes too.
    pub(crate) fn of_many_users() -> Self {
        let root = nix::unistd::geteuid().is_root();
        assert!(root, "processes of two users are needed: run this as root");
        Self::made(&["--net"], &["--net"])
    }

    fn made(unshare: &[&str], enter: &'static [&'static str]) -> Self {
        let mut keeper = Command::new("unshare")
            .args(unshare)
            .args(["sh", "-c"])
            .arg("ip link set lo up && echo up && exec cat")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = keeper.stdin.take();
        let mut line = String::new();
        let stdout = keeper.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "unshare and ip make a network namespace");
        let folder = tempfile::tempdir().unwrap();
        Self {
            keeper,
            stdin,
            enter,
            folder,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command that runs in the namespace.
    pub(crate) fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(self.enter)
            .arg("--target")
            .arg(self.keeper.id().to_string())
            .arg(program)
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.folder.path())
            .env("COORD_STATE_DIR", self.folder.path().join("state"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn coord(&self, words: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_coord"), words);
        command.output().unwrap()
    }

    /// Starts a program and waits until its first line of output says that it listens.
    pub(crate) fn listener(&self, program: &str, words: &[&str]) -> Program {
        let mut command = self.command(program, words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{program} {words:?} says nothing");
        // What it says later goes nowhere, and must not stop it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Program(child)
    }

    /// Python that listens on an address of a family and says so.
    pub(crate) fn python(&self, family: &str, host: &str, port: u16) -> Program {
        let script = format!(
            "import socket, time\n\
             s = socket.socket(socket.{family})\n\
             s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
             if s.family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)\n\
             s.bind(('{host}', {port})); s.listen(); print('up', flush=True)\n\
             while True: time.sleep(60)\n"
        );
        self.listener("python3", &["-c", &script])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ended with its input.
        let _ = self.keeper.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
