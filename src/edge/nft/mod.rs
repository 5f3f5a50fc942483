//! The firewall on this machine: runs `nft`, records the applied rules, undoes unconfirmed changes, and reads
//! what is loaded. The rules themselves are made in `firewall`.
//!
//! ```text
//!               list            check, load
//!   Box ◄──────────────── nft ◄──────────────── one text, on its stdin
//!    │
//!    ├─ applied.json   what was loaded last, and how nft listed it then
//!    ├─ pending.json   what to go back to unless somebody confirms
//!    └─ revert.sock    the process that will go back; it outlives whoever started it
//! ```
//!
//! These files are in a folder that only root can enter, and a reboot deletes them, as it does the rules.
//! Every change holds the folder's lock. The rules for boot are in another folder, in `kept.json`.

mod boot;
mod change;
mod error;
mod folder;
mod kept;
mod revert;
mod run;
pub mod session;
mod status;

pub use boot::{Booted, boot};
pub use change::{Changed, Lasting, Removed, RulesChange, open_leased, remove};
pub use error::NftError;
pub use folder::{Folder, RUNTIME_DIR};
pub use kept::{Keep, Rules, STATE_DIR};
pub use revert::{Confirmed, Revert, confirm, run as wait_and_revert};
pub use run::Nft;
pub use status::{Board, BoardError, FirewallReport, Reboot, TableState, read_board, write_board};
