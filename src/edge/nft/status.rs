//! What is loaded, compared with what was applied and with what is configured; and the file in which a
//! privileged helper leaves it for the coordinator, which has no privileges.

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
use crate::edge::firewall::{self, Counter};

/// The version of the board's form.
const BOARD_FORMAT: u32 = 1;
/// Far more than all counters take.
const BOARD_BYTES_MAX: u64 = 64 * 1024;
const COUNTERS_MAX: usize = 64;
const COUNTER_NAME_BYTES_MAX: usize = 64;
const BOARD_MODE: u32 = 0o644;
const BOARD_FOLDER_MODE: u32 = 0o755;

/// How the loaded table stands to what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableState {
    /// Nothing is loaded, and nothing was applied.
    Absent,
    /// What is loaded is what the configuration asks for.
    AsConfigured,
    /// What is loaded is what was applied, but the configuration asks for something else, or for what
    /// cannot be.
    Outdated,
    /// Somebody changed the table since it was applied.
    ChangedByOthers,
    /// It was applied and is gone.
    Gone,
    /// There is a table of our name that nobody applied since the box started.
    Unknown,
}

/// What the next start of the box loads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reboot {
    /// What the configuration asks for: it was confirmed, or there was nothing to confirm yet.
    #[default]
    Configured,
    /// The rules last confirmed, which are not those of the configuration.
    LastConfirmed,
    /// Nothing: the only rules that were tried were never confirmed.
    Nothing,
    /// What was kept cannot be read, so it is what the configuration asks for.
    Unreadable,
}

/// Everything there is to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "it is printed as it stands, and each is a question of its own"
)]
pub struct FirewallReport {
    pub state: TableState,
    pub drift: bool,
    /// A change waits for its confirmation.
    pub pending: bool,
    /// There is a process that will undo it.
    pub guarded: bool,
    /// The last change was undone, because nobody confirmed it.
    pub reverted: bool,
    /// The configuration makes no rules: it is contradictory, or cannot be read.
    pub configuration_wrong: bool,
    pub reboot: Reboot,
    pub counters: Vec<Counter>,
    /// What others changed, line by line; empty when nothing.
    pub changed: String,
    /// What applying would change, line by line; empty when nothing.
    pub to_apply: String,
}

/// What a board says; the newest reading of the privileged helper.
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

/// Why a board is not believed.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    #[error("{0}")]
    NotOurs(&'static str),
    #[error("it is not what the helper writes")]
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

    /// Whether somebody should look.
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
    /// Looks; changes nothing. `wanted` is what the configuration asks for, if it makes any rules.
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
            changed: firewall::difference(was, loaded, ("applied", "loaded")),
            to_apply: firewall::difference(
                source,
                text.unwrap_or(source),
                ("applied", "configured"),
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
    /// Understands what the helper wrote, if it is that, and nothing else.
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

/// Leaves the board where everybody may read it. Its folder must be one that nobody else writes to.
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
        let why = "its folder can be written to by others, or is not this user's";
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
        return Err(BoardError::NotOurs("it is not root's"));
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
