//! The firewall on this box: runs `nft`, keeps what was applied, undoes what nobody confirmed, and
//! looks at what is loaded. What the rules are is decided in `firewall`.
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
//! All of it is in a folder that only root enters, and gone after a reboot, as the rules are. Whoever
//! changes something holds its lock. What a reboot loads is in another folder, `kept.json`.

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
