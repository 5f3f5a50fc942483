//! Undoes a change that is not confirmed. A separate process waits for that; it starts before the change is
//! made, in its own session, or as a systemd unit. So it survives the end of the command that made the
//! change, and of its terminal and connection.
//!
//! ```text
//! apply ── pending.json, starts ──► revert ── "armed" ──► apply: loads the rules
//!                                     │
//! confirm: removes pending.json ─────►│ ends
//!                          or time ──►│ locks, finds its own pending.json, goes back
//! ```
//!
//! Only `pending.json`, read under the lock, decides; messages only shorten the wait.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use super::change;
use super::error::NftError;
use super::folder::{Folder, PendingChange};
use super::kept::{Keep, KeptRules};
use super::run::Nft;
use crate::edge::firewall;

/// The socket on which the waiting process is told of a confirmation.
const SOCKET: &str = "revert.sock";
/// How long it may take to get ready.
const ARM_MS_MAX: u64 = 10_000;
const MESSAGE_BYTES_MAX: usize = 64;
const ID_BYTES: usize = 8;
/// There while systemd is the init system.
const SYSTEMD: &str = "/run/systemd/system";
const SYSTEMD_RUN: [&str; 2] = ["/usr/bin/systemd-run", "/bin/systemd-run"];

/// How an unconfirmed change is undone.
#[derive(Debug, Clone)]
pub struct Revert {
    pub after_ms: u64,
    /// The program to wait, which is this one, and its words before those that are added:
    /// `--id ID --after-ms N`.
    pub program: PathBuf,
    pub words: Vec<String>,
}

/// The result of confirming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    Kept,
    /// The change is kept, but the waiting process had been killed, so nothing would have undone it.
    KeptUnguarded,
}

/// Keeps the pending change, also after a reboot. If saving fails, it stays pending.
pub async fn confirm(nft: &Nft, folder: &Folder, keep: &Keep) -> Result<Confirmed, NftError> {
    let _lock = folder.lock()?;
    let Some(pending) = folder.pending()? else {
        let reverted = folder.is_reverted();
        return Err(NftError::NothingPending { reverted });
    };
    if !is_loaded(nft, folder, &pending).await? {
        return Err(NftError::NeverLoaded);
    }
    let kept = keep.write(&KeptRules::Rules(pending.rules));
    kept.map_err(|error| NftError::NotConfirmed(Box::new(error)))?;
    Ok(if disarm(folder).await? {
        Confirmed::Kept
    } else {
        Confirmed::KeptUnguarded
    })
}

/// Whether the pending rules were loaded. The command that applied them may have been killed before that, or
/// before it recorded it.
async fn is_loaded(nft: &Nft, folder: &Folder, pending: &PendingChange) -> Result<bool, NftError> {
    let listing = change::listing(nft).await?;
    let noted = folder.applied()?.is_some_and(|applied| {
        applied.rules == pending.rules && Some(&applied.listing) == listing.as_ref()
    });
    let as_before = firewall::restoration(listing.as_deref()) == pending.restoration;
    Ok(noted || (listing.is_some() && !as_before))
}

/// The waiting process: undoes the change `id` after this many milliseconds, unless it is confirmed.
pub async fn run(nft: &Nft, folder: &Folder, id: &str, after_ms: u64) -> Result<(), NftError> {
    // One that systemd started leads a session already.
    let _ = nix::unistd::setsid();
    let own = |pending: &PendingChange| pending.id == id;
    if !folder.pending()?.as_ref().is_some_and(own) {
        return Err(NftError::NothingPending { reverted: false });
    }
    let path = folder.path().join(SOCKET);
    // Nobody is behind it: only one change is pending at a time.
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).map_err(NftError::file("listen on", &path))?;
    let applier = arm_socket(folder, id);
    let told = socket.send_to(id.as_bytes(), &applier).await;
    told.map_err(NftError::file("tell", applier))?;
    let confirmed = async {
        let mut message = [0; MESSAGE_BYTES_MAX];
        loop {
            let length = socket.recv(&mut message).await.unwrap_or_default();
            if message[..length] == *id.as_bytes() {
                return;
            }
        }
    };
    let timed_out = tokio::time::timeout(Duration::from_millis(after_ms), confirmed).await;
    if timed_out.is_ok() {
        return Ok(());
    }
    let _lock = folder.lock()?;
    let Some(pending) = folder.pending()?.filter(own) else {
        return Ok(());
    };
    go_back(nft, folder, &pending).await?;
    // Who is asked for next finds nobody here.
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// Fails while another change waits for confirmation. A change whose process was killed does not count.
pub(super) async fn none_pending(folder: &Folder) -> Result<(), NftError> {
    if folder.pending()?.is_none() {
        return Ok(());
    }
    if is_guarded(folder) {
        return Err(NftError::Pending);
    }
    disarm(folder).await.map(|_| ())
}

/// Whether a process waits to undo the change that is pending.
pub(super) fn is_guarded(folder: &Folder) -> bool {
    let connected = || -> io::Result<()> {
        let socket = std::os::unix::net::UnixDatagram::unbound()?;
        socket.connect(folder.path().join(SOCKET))
    };
    connected().is_ok()
}

/// Starts the waiting process, and returns when it is ready.
pub(super) async fn arm(
    revert: &Revert,
    pending: &PendingChange,
    folder: &Folder,
) -> Result<(), NftError> {
    let path = arm_socket(folder, &pending.id);
    let socket = UnixDatagram::bind(&path).map_err(NftError::file("listen on", &path))?;
    folder.set_pending(Some(pending))?;
    let armed = wait_for(revert, &pending.id, &socket).await;
    // It has served its purpose, one way or the other.
    let _ = std::fs::remove_file(&path);
    if armed.is_err() {
        folder.set_pending(None)?;
    }
    armed
}

/// Ends the waiting process; returns whether there was one.
pub(super) async fn disarm(folder: &Folder) -> Result<bool, NftError> {
    let id = folder.pending()?.map(|pending| pending.id);
    folder.set_pending(None)?;
    let told = async {
        let socket = UnixDatagram::unbound()?;
        let id = id.unwrap_or_default();
        socket
            .send_to(id.as_bytes(), folder.path().join(SOCKET))
            .await
    };
    Ok(told.await.is_ok())
}

pub(super) fn new_id() -> Result<String, NftError> {
    let mut bytes = [0; ID_BYTES];
    let random = getrandom::fill(&mut bytes);
    random.map_err(|error| NftError::NotArmed {
        why: format!("the system gives no random bytes: {error}"),
    })?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// Restores the table that was there before, and its record.
async fn go_back(nft: &Nft, folder: &Folder, pending: &PendingChange) -> Result<(), NftError> {
    if nft.load(&pending.restoration).await.is_ok() {
        folder.set_applied(pending.applied.as_ref())?;
    } else {
        // The text was checked before the change, so this is unexpected. The user may be locked out, so the
        // table is deleted.
        nft.load(&firewall::removal()).await?;
        folder.set_applied(None)?;
    }
    folder.set_reverted(true)?;
    folder.set_pending(None)
}

async fn wait_for(revert: &Revert, id: &str, socket: &UnixDatagram) -> Result<(), NftError> {
    let not_armed = |why: String| NftError::NotArmed { why };
    let mut child = start(revert, id).map_err(|error| not_armed(error.to_string()))?;
    let ready = async {
        let mut message = [0; MESSAGE_BYTES_MAX];
        loop {
            let length = socket.recv(&mut message).await?;
            if message[..length] == *id.as_bytes() {
                return Ok::<(), io::Error>(());
            }
        }
    };
    let failed = async {
        match child.wait().await {
            // `systemd-run` ends when it has handed the work over.
            Ok(status) if status.success() => std::future::pending().await,
            Ok(status) => format!("it ended with {status}"),
            Err(error) => error.to_string(),
        }
    };
    tokio::select! {
        ready = ready => ready.map_err(|error| not_armed(error.to_string())),
        why = failed => Err(not_armed(why)),
        () = tokio::time::sleep(Duration::from_millis(ARM_MS_MAX)) => {
            Err(not_armed(format!("it did not answer within {ARM_MS_MAX} ms")))
        }
    }
}

/// Under systemd the process becomes a unit of its own: one that a login session started would be
/// ended with it.
fn start(revert: &Revert, id: &str) -> io::Result<Child> {
    let systemd_run = SYSTEMD_RUN
        .iter()
        .map(Path::new)
        .find(|path| path.is_file());
    let mut command = match systemd_run.filter(|_| systemd_sees_the_same()) {
        Some(program) => {
            let mut command = Command::new(program);
            command
                .args(["--quiet", "--collect", "--no-ask-password"])
                .arg("--property=NoNewPrivileges=yes")
                .arg(format!("--unit=coord-firewall-revert-{id}"))
                .arg("--")
                .arg(&revert.program);
            command
        }
        None => Command::new(&revert.program),
    };
    command
        .args(&revert.words)
        .args(["--id", id, "--after-ms", &revert.after_ms.to_string()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Whether systemd runs, and a unit of it would find the same network and the same files.
fn systemd_sees_the_same() -> bool {
    let same = |kind: &str| {
        let own = std::fs::read_link(Path::new("/proc/self/ns").join(kind));
        let first = std::fs::read_link(Path::new("/proc/1/ns").join(kind));
        matches!((own, first), (Ok(own), Ok(first)) if own == first)
    };
    Path::new(SYSTEMD).is_dir() && same("net") && same("mnt")
}

fn arm_socket(folder: &Folder, id: &str) -> PathBuf {
    folder.path().join(format!("arm-{id}.sock"))
}
