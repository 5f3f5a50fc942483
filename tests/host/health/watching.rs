//! `coord health --watch`, from before a coordinator runs until after it.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::ChildStdout;

use super::command::Health;
use crate::support::{Coordinator, within};

/// Reads on until a line has all the words; gives the lines on the way.
async fn read_until(lines: &mut Lines<BufReader<ChildStdout>>, words: &[&str]) -> Vec<String> {
    let mut read = Vec::new();
    within("a line of the watch", async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it goes on");
            let found = words.iter().all(|word| line.contains(word));
            read.push(line);
            if found {
                return read;
            }
        }
    })
    .await
}

#[tokio::test]
async fn each_change_is_a_line() {
    let mut coordinator = Coordinator::start().await;
    let health = Health::of(&coordinator);
    let mut command = health.command(&["health", "--watch", "--interval", "100ms"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = read_until(&mut lines, &["Prometheus", "running"]).await;
    assert_eq!(first.len(), 3, "one line for each service: {first:?}");
    coordinator.kill().await;
    read_until(&mut lines, &["Prometheus", "not running"]).await;
    coordinator.restart().await;
    read_until(&mut lines, &["WebSocket", ": running"]).await;
    coordinator.kill().await;
    read_until(&mut lines, &["WebSocket", "not running"]).await;
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    let status = within("the watch to end", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(1), "the last round was not well");
}

#[tokio::test]
async fn a_terminal_is_redrawn() {
    let health = Health::nowhere();
    let coord = env!("CARGO_BIN_EXE_coord");
    let line = format!("exec {coord} health --watch --interval 100ms");
    // Gives the command a terminal, and passes on what it draws.
    let mut command = health.command_of("script", &["-qec", &line, "/dev/null"]);
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn();
    let child = child
        .as_mut()
        .expect("script is installed: apt-get install bsdutils");
    let mut screen = child.stdout.take().unwrap();
    let mut drawn = String::new();
    within("a third drawing", async {
        while drawn.matches("\u{1b}[2J").count() < 3 {
            let mut bytes = [0; 1024];
            let count = screen.read(&mut bytes).await.unwrap();
            assert!(count > 0, "it ended: {drawn}");
            drawn.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    })
    .await;
    let drawings: Vec<&str> = drawn.split("\u{1b}[2J").collect();
    for whole in &drawings[1..3] {
        for word in ["SERVICE", "not used", "not running", "next for"] {
            assert!(whole.contains(word), "{word:?} is not in {whole}");
        }
    }
    child.kill().await.unwrap();
}
