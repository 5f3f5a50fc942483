//! Another machine, at the other end of a cable.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

use tokio::net::TcpStream;

use super::machine::{Machine, within_network_of};
use crate::support::until;

/// The machine, as it is reached from outside, and who reaches it.
pub const MACHINE: &str = "10.77.0.1";
const OWN: &str = "10.77.0.2";

/// A network of its own; it goes with the process that keeps it.
#[derive(Debug)]
pub struct Outside {
    keeper: Child,
    /// The keeper ends when this is closed.
    stdin: Option<ChildStdin>,
}

impl Outside {
    /// Lays a cable from the machine. It is gone when the machine boots again.
    pub fn of(machine: &Machine) -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = keeper.stdin.take();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        let (here, there) = (keeper.id().to_string(), machine.leader().to_string());
        let add = ["link", "add", "wan", "type", "veth", "peer", "name", "far"];
        ip(&there, &[&add[..], &["netns", &here]].concat());
        for (process, name, address) in [(&there, "wan", MACHINE), (&here, "far", OWN)] {
            ip(
                process,
                &["address", "add", &format!("{address}/24"), "dev", name],
            );
            ip(process, &["link", "set", name, "up"]);
        }
        Self { keeper, stdin }
    }

    /// Whether a connection to the machine comes about; `dropped` tells when it was turned away.
    pub fn reaches(&self, port: u16, dropped: impl Fn() -> bool + Send + Sync) -> bool {
        let address: SocketAddr = format!("{MACHINE}:{port}").parse().unwrap();
        let connect = async || {
            let dropped = async || {
                until("a packet to be dropped", async || dropped().then_some(())).await;
            };
            tokio::select! {
                connected = TcpStream::connect(address) => {
                    connected.unwrap();
                    true
                }
                () = dropped() => false,
            }
        };
        within_network_of(self.keeper.id(), connect, || ())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ended with its input.
        let _ = self.keeper.wait();
    }
}

/// Runs `ip` of this system in the network of a process.
#[track_caller]
fn ip(process: &str, words: &[&str]) {
    let output = Command::new("nsenter")
        .args(["--net", "--target", process, "ip"])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "ip {words:?}: {output:?}");
}
