//! Compares the loaded rules with the applied and the configured ones. A privileged helper writes the result
//! to a file (the board) for the coordinator, which has no privileges.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use super::change;
use super::error::NftError;
use super::folder::{self, Folder, MODE_OTHERS_WRITE};
use super::kept::{Keep, KeptRules, Rules};
use super::revert;
use super::run::Nft;
use crate::difference;
use crate::edge::firewall::{self, Counter};

/// The version of the board's form.
const BOARD_FORMAT: u32 = 1;
/// Far more than all counters take.
const BOARD_BYTES_MAX: u64 = 64 * 1024;
/// Lines that are shown around a difference of the rules.
const CONTEXT_LINES: usize = 2;
const COUNTERS_MAX: usize = 64;
const COUNTER_NAME_BYTES_MAX: usize = 64;
const BOARD_MODE: u32 = 0o644;
const BOARD_FOLDER_MODE: u32 = 0o755;

/// The state of the loaded table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableState {
    /// Nothing is loaded or applied.
    Absent,
    /// The loaded rules match the configuration.
    AsConfigured,
    /// The loaded rules are the applied ones, but the configuration differs or yields no rules.
    Outdated,
    /// Another program changed the table since it was applied.
    ChangedByOthers,
    /// The table was applied, and was deleted since.
    Gone,
    /// A table with our name exists that was not applied since boot.
    Unknown,
}

/// What the next boot loads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reboot {
    /// The rules of the configuration: they were confirmed, or nothing was confirmed yet.
    #[default]
    Configured,
    /// The rules last confirmed, which differ from the configuration.
    LastConfirmed,
    /// Nothing: the only applied rules were never confirmed.
    Nothing,
    /// The rules of the configuration, because the saved ones cannot be read.
    Unreadable,
}

/// The full status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "it is printed as it stands, and each is a question of its own"
)]
pub struct FirewallReport {
    pub state: TableState,
    pub drift: bool,
    /// A change waits for confirmation.
    pub pending: bool,
    /// There is a process that will undo it.
    pub guarded: bool,
    /// The last change was undone, because it was not confirmed.
    pub reverted: bool,
    /// The configuration yields no rules: it is contradictory, or cannot be read.
    pub configuration_wrong: bool,
    pub reboot: Reboot,
    pub counters: Vec<Counter>,
    /// The diff of changes by other programs; empty if there are none.
    pub changed: String,
    /// The diff that applying would make; empty if there is none.
    pub to_apply: String,
}

/// The content of a board: the latest reading of the privileged helper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    format: u32,
    /// How long the box had been up when it was written, which no clock that is set can change.
    pub uptime_ms: u64,
    pub state: TableState,
    pub pending: bool,
    #[serde(default)]
    pub configuration_wrong: bool,
    #[serde(default)]
    pub reboot: Reboot,
    pub counters: Vec<Counter>,
}

/// Why a board is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    #[error("{0}")]
    NotOurs(&'static str),
    #[error("it was not written by the helper")]
    Form(#[from] serde_json::Error),
}

impl TableState {
    pub const ALL: [Self; 6] = [
        Self::Absent,
        Self::AsConfigured,
        Self::Outdated,
        Self::ChangedByOthers,
        Self::Gone,
        Self::Unknown,
    ];

    /// Whether the state needs attention.
    pub fn is_drift(self) -> bool {
        !matches!(self, Self::Absent | Self::AsConfigured)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::AsConfigured => "as_configured",
            Self::Outdated => "outdated",
            Self::ChangedByOthers => "changed_by_others",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }
}

impl FirewallReport {
    /// Reads the status; changes nothing. `wanted` are the rules of the configuration, if it yields any.
    pub async fn look(
        nft: &Nft,
        folder: &Folder,
        keep: &Keep,
        wanted: Option<&Rules>,
    ) -> Result<Self, NftError> {
        let _lock = folder.lock()?;
        let listing = change::listing(nft).await?;
        let applied = folder.applied()?;
        let text = wanted.map(|wanted| wanted.text.as_str());
        let state = match (&listing, &applied) {
            (None, None) => TableState::Absent,
            (None, Some(_)) => TableState::Gone,
            (Some(_), None) => TableState::Unknown,
            (Some(listing), Some(applied)) if applied.listing != *listing => {
                TableState::ChangedByOthers
            }
            (Some(_), Some(applied)) if text != Some(&applied.rules.text) => TableState::Outdated,
            (Some(_), Some(_)) => TableState::AsConfigured,
        };
        let counters = match &listing {
            Some(_) => firewall::counters(&nft.counters().await?).map_err(NftError::Reply)?,
            None => Vec::new(),
        };
        let pending = folder.pending()?.is_some();
        let loaded = listing.as_deref().unwrap_or_default();
        let (was, source) = applied.as_ref().map_or((loaded, ""), |applied| {
            (applied.listing.as_str(), applied.rules.text.as_str())
        });
        Ok(Self {
            state,
            drift: state.is_drift(),
            pending,
            guarded: pending && revert::is_guarded(folder),
            reverted: folder.is_reverted(),
            configuration_wrong: wanted.is_none(),
            reboot: Reboot::of(keep, wanted),
            counters,
            changed: difference::unified(was, loaded, ("applied", "loaded"), CONTEXT_LINES),
            to_apply: difference::unified(
                source,
                text.unwrap_or(source),
                ("applied", "configured"),
                CONTEXT_LINES,
            ),
        })
    }

    /// The board for the coordinator.
    pub fn board(&self) -> Result<Board, BoardError> {
        Ok(Board {
            format: BOARD_FORMAT,
            uptime_ms: uptime_ms()?,
            state: self.state,
            pending: self.pending,
            configuration_wrong: self.configuration_wrong,
            reboot: self.reboot,
            counters: self.counters.clone(),
        })
    }
}

impl Reboot {
    fn of(keep: &Keep, wanted: Option<&Rules>) -> Self {
        match keep.read() {
            Err(_) => Self::Unreadable,
            Ok(None) => Self::Configured,
            Ok(Some(KeptRules::Nothing)) => Self::Nothing,
            Ok(Some(KeptRules::Rules(kept))) => {
                let same = wanted.is_some_and(|it| it.policy_sha256 == kept.policy_sha256);
                if same {
                    Self::Configured
                } else {
                    Self::LastConfirmed
                }
            }
        }
    }
}

impl Board {
    /// Parses what the helper wrote, and refuses anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, BoardError> {
        if bytes.len() as u64 > BOARD_BYTES_MAX {
            return Err(BoardError::NotOurs("it is too long"));
        }
        let board: Self = serde_json::from_slice(bytes)?;
        if board.format != BOARD_FORMAT {
            return Err(BoardError::NotOurs("it is of another version"));
        }
        let named = |counter: &Counter| {
            let allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            (1..=COUNTER_NAME_BYTES_MAX).contains(&counter.name.len())
                && counter.name.bytes().all(allowed)
        };
        if board.counters.len() > COUNTERS_MAX || !board.counters.iter().all(named) {
            return Err(BoardError::NotOurs("its counters are not the firewall's"));
        }
        Ok(board)
    }

    /// How long ago it was written.
    pub fn age_ms(&self) -> io::Result<u64> {
        Ok(uptime_ms()?.saturating_sub(self.uptime_ms))
    }
}

/// Writes the board, readable by all. No other user may be able to write to its folder.
pub fn write_board(path: &Path, board: &Board) -> Result<(), BoardError> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.ok_or(BoardError::NotOurs("it has no folder"))?;
    match DirBuilder::new().mode(BOARD_FOLDER_MODE).create(parent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let metadata = parent.symlink_metadata()?;
    let own = metadata.uid() == nix::unistd::geteuid().as_raw();
    if !metadata.is_dir() || !own || metadata.mode() & MODE_OTHERS_WRITE != 0 {
        let why = "its folder is writable by others, or belongs to another user";
        return Err(BoardError::NotOurs(why));
    }
    let bytes = serde_json::to_vec(board)?;
    Ok(folder::replace(path, &bytes, BOARD_MODE)?)
}

/// Reads the board; `None` when there is none. Whoever wrote it, no more is read than it can have, and
/// nothing but a plain file of root's, or of this user's, is believed.
pub fn read_board(path: &Path) -> Result<Option<Board>, BoardError> {
    // A pipe would block, a link could lead anywhere.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(BoardError::NotOurs("it is not a plain file"));
    }
    if metadata.uid() != 0 && metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(BoardError::NotOurs("it does not belong to root"));
    }
    let mut bytes = Vec::new();
    file.take(BOARD_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Board::parse(&bytes).map(Some)
}

/// Asked of the kernel without `/proc`, most of which the coordinator's unit does not see.
fn uptime_ms() -> io::Result<u64> {
    let uptime = nix::sys::sysinfo::sysinfo()
        .map_err(io::Error::from)?
        .uptime();
    Ok(u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX))
}
