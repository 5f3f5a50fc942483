//! Why the firewall could not be looked at or changed.

use std::io;
use std::path::PathBuf;

/// What failed and why; [`NftError::next_step`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error("nft is not installed: it is in none of {searched}")]
    Missing { searched: String },
    #[error("this process may not change the firewall: it has no CAP_NET_ADMIN")]
    NotPermitted,
    #[error("this kernel has no nf_tables, or a part of it that the rules need: {said}")]
    NoKernel { said: String },
    #[error("nft refuses it: {said}")]
    Refused { said: String },
    #[error("nft took longer than {ms} ms and was stopped")]
    TimedOut { ms: u64 },
    #[error("nft printed more than {bytes} bytes")]
    TooMuch { bytes: u64 },
    #[error("nft could not be run")]
    Run(#[source] io::Error),
    #[error("nft printed what is not its JSON")]
    Reply(#[source] serde_json::Error),
    #[error("failed to {what} {path}")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not a folder that only its owner, this user, enters: {why}")]
    OpenFolder { path: PathBuf, why: String },
    #[error("{path} cannot be used: {why}")]
    Damaged { path: PathBuf, why: &'static str },
    #[error("the rules are loaded, but could not be kept for the next start")]
    NotKept(#[source] Box<NftError>),
    #[error("it cannot be confirmed: the rules could not be kept for the next start")]
    NotConfirmed(#[source] Box<NftError>),
    #[error("it cannot be confirmed: whoever applied it was stopped before the rules were loaded")]
    NeverLoaded,
    #[error("nothing is loaded: the rules that were tried were never confirmed")]
    NeverConfirmed,
    #[error("an earlier change waits for its confirmation")]
    Pending,
    #[error("nothing waits for a confirmation{}", if *.reverted { ": the last change was undone, because nobody confirmed it in time" } else { "" })]
    NothingPending { reverted: bool },
    #[error(
        "the process that would undo the change did not get ready, so nothing was changed: {why}"
    )]
    NotArmed { why: String },
    #[error("the interface {0} does not exist")]
    NoInterface(String),
    #[error("this would cut off the session it is applied from: {peer} on port {port}")]
    CutsOff { peer: String, port: u16 },
}

impl NftError {
    /// What to do about it.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "install it: apt-get install nftables",
            Self::NotPermitted => "run it as root, or with CAP_NET_ADMIN",
            Self::NoKernel { .. } => {
                "load its modules (modprobe nf_tables), or boot a kernel with CONFIG_NF_TABLES"
            }
            Self::Refused { .. } => {
                "`coord firewall render` shows the rules; an older nft or kernel may lack a feature"
            }
            Self::TimedOut { .. } | Self::TooMuch { .. } | Self::Run(_) | Self::Reply(_) => {
                "try `nft list table inet coord` by hand"
            }
            Self::File { .. } => "check the folder's owner, and that its disk is not full",
            Self::OpenFolder { .. } => "remove it, or make it root's with mode 700",
            Self::Damaged { .. } => "`coord firewall apply` writes it anew",
            Self::NotKept(_) => {
                "a reboot loads the rules of before; mend the cause, then run `coord firewall apply` again"
            }
            Self::NotConfirmed(_) => {
                "the change is undone in time; mend the cause and confirm it before that, or apply it again"
            }
            Self::NeverLoaded => {
                "wait until it is undone (`coord firewall status`), then apply it again"
            }
            Self::NeverConfirmed => {
                "`coord firewall apply --confirm 60s`, then `coord firewall confirm`"
            }
            Self::Pending => "`coord firewall confirm` keeps it; otherwise it is undone by itself",
            Self::NothingPending { .. } => "`coord firewall status` tells what is loaded",
            Self::NotArmed { .. } => "try again, or apply without --confirm from a local console",
            Self::NoInterface(_) => {
                "`ip link` lists them; correct firewall.interfaces, or, for one that comes later, \
                 use --missing-interfaces"
            }
            Self::CutsOff { .. } => {
                "let its network in (firewall.ssh_from, firewall.ssh_ports, firewall.deny), or use \
                 --cut-off"
            }
        }
    }

    pub(super) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
