//! `coord lease release`: one lease, or resources that `ensure` took.

use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::resources::{self, FileListArgs, ResourceWord, TreeArgs};
use crate::cli::shell::Shell;
use crate::engine::ids::{FencingToken, LeaseId};
use crate::protocol::lease::{LeaseReleaseParams, LeaseReleaseResult};
use crate::protocol::operations::Operation;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReleaseArgs {
    #[arg(required_unless_present_any = ["resources", "files_from"], requires = "fence")]
    lease: Option<LeaseId>,
    /// The fencing token that `acquire` gave
    #[arg(long, requires = "lease")]
    fence: Option<FencingToken>,
    /// Release these resources, if `ensure` took them; a folder stands for the files in it
    #[arg(long = "resource", value_name = "RESOURCE", conflicts_with = "lease")]
    resources: Vec<ResourceWord>,
    #[command(flatten)]
    list: FileListArgs,
    #[command(flatten)]
    tree: TreeArgs,
}

pub(super) async fn run(args: ReleaseArgs, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let resources = match args.lease {
        Some(_) => Vec::new(),
        None => resources::named(&args.resources, &args.list, &shell.out)?,
    };
    let params = LeaseReleaseParams {
        lease: args.lease,
        fence: args.fence,
        resources,
        tree: args.tree.named(shell)?,
        request_id: None,
    };
    let show = |out: &mut Output<'_>, result: &LeaseReleaseResult| {
        let text = match (args.lease, result.released.unwrap_or_default()) {
            (Some(lease), _) => format!("released lease {lease}"),
            (None, 1) => "released 1 resource".to_owned(),
            (None, count) => format!("released {count} resources"),
        };
        out.done(text)
    };
    let operation = Operation::LeaseRelease;
    shell.print(operation, &params, show).await?;
    Ok(())
}
