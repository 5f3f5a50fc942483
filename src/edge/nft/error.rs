//! Why reading or changing the firewall failed.

use std::io;
use std::path::PathBuf;

/// What failed and why; [`NftError::next_step`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error("nft is not installed (searched {searched})")]
    Missing { searched: String },
    #[error("this process may not change the firewall: it has no CAP_NET_ADMIN")]
    NotPermitted,
    #[error("this kernel has no nf_tables, or lacks a part that the rules need: {said}")]
    NoKernel { said: String },
    #[error("nft refused the rules: {said}")]
    Refused { said: String },
    #[error("nft took longer than {ms} ms and was stopped")]
    TimedOut { ms: u64 },
    #[error("nft printed more than {bytes} bytes")]
    TooMuch { bytes: u64 },
    #[error("cannot run nft")]
    Run(#[source] io::Error),
    #[error("nft printed unexpected JSON")]
    Reply(#[source] serde_json::Error),
    #[error("cannot {what} {path}")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} must be a folder of this user that only this user can enter: {why}")]
    OpenFolder { path: PathBuf, why: String },
    #[error("{path} cannot be used: {why}")]
    Damaged { path: PathBuf, why: &'static str },
    #[error("the rules are loaded, but could not be saved for the next boot")]
    NotKept(#[source] Box<NftError>),
    #[error("cannot confirm the change: the rules could not be saved for the next boot")]
    NotConfirmed(#[source] Box<NftError>),
    #[error(
        "cannot confirm the change: the command that applied it was stopped before the rules were loaded"
    )]
    NeverLoaded,
    #[error("loaded no rules: the applied rules were never confirmed")]
    NeverConfirmed,
    #[error("an earlier change waits for confirmation")]
    Pending,
    #[error("no change waits for confirmation{}", if *.reverted { ": the last change was undone, because it was \
        not confirmed in time" } else { "" })]
    NothingPending { reverted: bool },
    #[error("the process that would undo the change did not start, so nothing was changed: {why}")]
    NotArmed { why: String },
    #[error("the interface {0} does not exist")]
    NoInterface(String),
    #[error("the rules would cut off this session: {peer} on port {port}")]
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
            Self::File { .. } => "check the folder's owner, and free space on its disk",
            Self::OpenFolder { .. } => "remove it, or change its owner to root and its mode to 700",
            Self::Damaged { .. } => "`coord firewall apply` writes it again",
            Self::NotKept(_) => {
                "a reboot loads the earlier rules; fix the cause, then run `coord firewall apply` again"
            }
            Self::NotConfirmed(_) => {
                "the change will be undone; fix the cause and confirm it before that, or apply it again"
            }
            Self::NeverLoaded => {
                "wait until it is undone (`coord firewall status`), then apply it again"
            }
            Self::NeverConfirmed => {
                "`coord firewall apply --confirm 60s`, then `coord firewall confirm`"
            }
            Self::Pending => "run `coord firewall confirm` to keep it; otherwise it is undone",
            Self::NothingPending { .. } => "`coord firewall status` shows what is loaded",
            Self::NotArmed { .. } => "try again, or apply without --confirm from a local console",
            Self::NoInterface(_) => {
                "correct firewall.interfaces (`ip link` lists the interfaces), or, if the interface appears \
                 later, use --missing-interfaces"
            }
            Self::CutsOff { .. } => {
                "allow its network (firewall.ssh_from, firewall.ssh_ports, firewall.deny), or use --cut-off"
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
