//! Network namespaces, joined by virtual cables.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A network namespace; it goes with the process that keeps it.
#[derive(Debug)]
pub(crate) struct Space {
    keeper: Child,
    /// The keeper ends when this is closed.
    stdin: Option<ChildStdin>,
}

impl Space {
    /// One with nothing in it but loopback. Without root a user namespace is needed to own it.
    pub(crate) fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]);
        Self::keep(command)
    }

    /// Another one of the same owner, so that a cable can lead there.
    pub(crate) fn beside(other: &Self) -> Self {
        let mut command = other.command("unshare", &["--net"]);
        command.current_dir("/");
        Self::keep(command)
    }

    fn keep(mut command: Command) -> Self {
        let mut keeper = command
            .args(["sh", "-c", "ip link set lo up && echo up && exec cat"])
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = keeper.stdin.take();
        let mut line = String::new();
        let stdout = keeper.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "unshare and ip make a network namespace");
        Self { keeper, stdin }
    }

    /// A command that runs in the namespace, with a clean environment.
    pub(crate) fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--preserve-credentials", "--user", "--net", "--target"])
            .arg(self.keeper.id().to_string())
            .arg(program)
            .args(words)
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null());
        command
    }

    /// Runs a program that must succeed; what it printed.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, words: &[&str]) -> String {
        let output = self.command(program, words).output().unwrap();
        assert_well(&output, &format!("{program} {words:?}"));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `nft` on a text.
    #[track_caller]
    pub(crate) fn nft(&self, folder: &Path, text: &str) {
        let file = folder.join("foreign.nft");
        std::fs::write(&file, text).unwrap();
        self.run("nft", &["-f", file.to_str().unwrap()]);
    }

    /// Lays a cable to another namespace, with these addresses at the two ends.
    pub(crate) fn cable(&self, name: &str, own: &[&str], other: &Self, others: &[&str]) {
        let pid = other.keeper.id().to_string();
        let far = format!("{name}-far");
        let add = [
            "link", "add", name, "type", "veth", "peer", "name", &far, "netns", &pid,
        ];
        self.run("ip", &add);
        for (space, name, addresses) in [(self, name, own), (other, far.as_str(), others)] {
            for address in addresses {
                let add = ["address", "add", address, "dev", name, "nodad"];
                // IPv4 knows no duplicate address detection to leave out.
                let words = if address.contains(':') {
                    &add[..]
                } else {
                    &add[..5]
                };
                space.run("ip", words);
            }
            space.run("ip", &["link", "set", name, "up"]);
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ended with its input.
        let _ = self.keeper.wait();
    }
}

#[track_caller]
pub(crate) fn assert_well(output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{said}", output.status);
}
