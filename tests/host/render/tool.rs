//! The programs that renderings are for, and `coord` itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A folder of the checkout.
pub(crate) fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that `tests/run` installs, of the system or of target/foreign.
pub(crate) fn program(name: &str) -> Command {
    let own = checkout().join("target/foreign/bin").join(name);
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let system = folders.iter().map(|folder| Path::new(folder).join(name));
    let found = std::iter::once(own)
        .chain(system)
        .find(|path| path.exists());
    let found = found.unwrap_or_else(|| panic!("{name} is missing: run tests/run once"));
    let mut command = Command::new(found);
    command
        .env_clear()
        .env("PATH", folders.join(":"))
        .env("HOME", "/nonexistent");
    command
}

/// `coord` with nothing but these variables.
pub(crate) fn coord(folder: &Path, line: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coord"));
    command
        .args(line)
        .current_dir(folder)
        .env_clear()
        .env("HOME", "/home/user")
        .envs(variables.iter().copied());
    command
}

/// What a command prints; it must end well.
#[track_caller]
pub(crate) fn printed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Renders into a file of a folder.
#[track_caller]
pub(crate) fn render(
    folder: &Path,
    file: &str,
    line: &[&str],
    variables: &[(&str, &str)],
) -> PathBuf {
    let file = folder.join(file);
    let line: Vec<&str> = ["--quiet", "render"]
        .into_iter()
        .chain(line.iter().copied())
        .collect();
    let line = [line.as_slice(), &["--output", file.to_str().unwrap()]].concat();
    let said = printed(&mut coord(folder, &line, variables));
    assert_eq!(said, "");
    assert!(!fs::read_to_string(&file).unwrap().is_empty());
    file
}

/// A server of a test, which never outlives it.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM first, so that one with workers takes them along.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}
