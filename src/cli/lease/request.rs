//! What a lease is asked for with: resources, mode and note, read once and sent as often as it takes.

use crate::cli::client::{Client, ClientError, Reply};
use crate::cli::error::CliError;
use crate::cli::resources::{self, FileListArgs, ResourceWord, TreeArgs};
use crate::cli::shell::Shell;
use crate::engine::ids::{Note, TreeName};
use crate::protocol::lease::{LeaseAcquireParams, LeaseAcquireResult, ModeParam};
use crate::protocol::operations::Operation;
use crate::protocol::resource::ResourceRequestParam;

const LONG_HELP: &str = "path:GLOB, file:PATH, name:NAME, port:HOST:NUMBER, or any port of a pool: port:HOST:FIRST-LAST

A glob without a wildcard in its last segment also covers all below it: path:src is the folder and all in it. file: names one file, and no character is special; with a slash at its end it is a folder and all in it. In a repository, paths are relative to the current folder; paths that begin with :/, as path::/src, are relative to its root.";

/// What to hold, and how.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HoldArgs {
    #[arg(
        help = "path:GLOB, file:PATH, name:NAME, port:HOST:NUMBER, or any port of a pool: port:HOST:FIRST-LAST",
        long_help = LONG_HELP,
        required_unless_present = "files_from",
        value_name = "RESOURCE"
    )]
    resources: Vec<ResourceWord>,
    #[command(flatten)]
    list: FileListArgs,
    /// Other agents may hold it shared at the same time
    #[arg(long)]
    pub(super) shared: bool,
    /// What the lease is for; other agents see it
    #[arg(long)]
    pub(super) note: Option<Note>,
    #[command(flatten)]
    tree: TreeArgs,
}

impl HoldArgs {
    pub(super) fn asked(&self, shell: &Shell<'_>) -> Result<Asked, CliError> {
        Ok(Asked {
            resources: resources::requested(&self.resources, &self.list, &shell.out)?,
            mode: mode(self.shared),
            note: self.note.clone(),
            tree: self.tree.named(shell)?,
        })
    }
}

/// What is asked for, read and resolved once.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    resources: Vec<ResourceRequestParam>,
    mode: ModeParam,
    note: Option<Note>,
    tree: Option<TreeName>,
}

impl Asked {
    pub(super) fn params(&self, ttl_ms: Option<u64>, wait_ms: Option<u64>) -> LeaseAcquireParams {
        LeaseAcquireParams {
            resources: self.resources.clone(),
            mode: self.mode,
            ttl_ms,
            wait_ms,
            note: self.note.clone(),
            tree: self.tree.clone(),
            request_id: None,
        }
    }
}

pub(super) fn mode(shared: bool) -> ModeParam {
    if shared {
        ModeParam::Shared
    } else {
        ModeParam::Exclusive
    }
}

pub(in crate::cli) async fn acquire_with(
    client: &mut Client,
    params: &LeaseAcquireParams,
) -> Result<Reply<LeaseAcquireResult>, ClientError> {
    let wait_ms = params.wait_ms.unwrap_or_default();
    let operation = Operation::LeaseAcquire;
    client.call_waiting(operation, params, wait_ms).await
}
