//! What a machine keeps from one boot to the next: a layer over a system that stays as it is, in the memory
//! of a process that keeps its mounts to itself.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::machine::PROGRAM;

/// More than all that a test writes.
const LAYER: &str = "\
mount -t tmpfs -o size=1g disk \"$1\"
mkdir \"$1/upper\" \"$1/work\" \"$1/root\"
mount -t overlay overlay -o \"lowerdir=$2,upperdir=$1/upper,workdir=$1/work\" \"$1/root\"
echo ready
exec cat
";

/// It goes with the process that keeps it.
#[derive(Debug)]
pub struct Disk {
    keeper: Child,
    /// The keeper ends when this is closed.
    stdin: Option<ChildStdin>,
    root: String,
}

impl Disk {
    /// An empty layer over this system.
    pub fn over(system: &Path, folder: &Path) -> Self {
        let place = folder.join("disk");
        fs::create_dir(&place).unwrap();
        let mut keeper = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-euc",
                LAYER,
                "sh",
            ])
            .args([&place, system])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = keeper.stdin.take();
        let mut line = String::new();
        let stdout = keeper.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "a layer can be mounted");
        Self {
            keeper,
            stdin,
            root: place.join("root").display().to_string(),
        }
    }

    /// Boots what is on it.
    pub fn boot(&self, folder: &Path) -> Child {
        let console = fs::File::create(folder.join("console")).unwrap();
        Command::new("nsenter")
            .args(["--mount", "--target", &self.keeper.id().to_string()])
            .args(["systemd-nspawn", "--quiet", "--register=no", "--keep-unit"])
            .args(["--private-network", "--console=pipe", "--boot"])
            .arg(format!("--machine=coord-{}", std::process::id()))
            .arg(format!(
                "--bind-ro={}:{PROGRAM}",
                env!("CARGO_BIN_EXE_coord")
            ))
            .args(["--directory", &self.root])
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .stdin(Stdio::null())
            .stdout(console.try_clone().unwrap())
            .stderr(console)
            .spawn()
            .unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ended with its input.
        let _ = self.keeper.wait();
    }
}
