//! `coord lease ensure`: what a front asks for before a file is touched.

use std::io;

use super::request::mode;
use crate::cli::duration::{Millis, ahead};
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::resources::{self, FileListArgs, ResourceWord, TreeArgs};
use crate::cli::shell::Shell;
use crate::cli::table::one_line;
use crate::engine::ids::Note;
use crate::protocol::lease::{EnsuredView, LeaseEnsureParams, LeaseEnsureResult};
use crate::protocol::operations::Operation;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct EnsureArgs {
    #[arg(
        help = "What to hold: path:GLOB, file:PATH, name:NAME, port:HOST:NUMBER",
        required_unless_present = "files_from",
        value_name = "RESOURCE"
    )]
    resources: Vec<ResourceWord>,
    #[command(flatten)]
    list: FileListArgs,
    /// Other agents may hold it shared at the same time
    #[arg(long)]
    shared: bool,
    /// What the lease is for; other agents see it
    #[arg(long)]
    note: Option<Note>,
    #[command(flatten)]
    tree: TreeArgs,
    /// How long it holds without being ensured again
    #[arg(long, value_name = "DURATION", default_value = crate::cli::TTL_DEFAULT)]
    ttl: Millis,
}

pub(super) async fn run(args: EnsureArgs, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let params = LeaseEnsureParams {
        resources: resources::named(&args.resources, &args.list, &shell.out)?,
        mode: mode(args.shared),
        ttl_ms: Some(args.ttl.0),
        note: args.note,
        tree: args.tree.named(shell)?,
        request_id: None,
    };
    let operation = Operation::LeaseEnsure;
    shell.print(operation, &params, show_ensured).await?;
    Ok(())
}

fn show_ensured(out: &mut Output<'_>, ensured: &LeaseEnsureResult) -> io::Result<()> {
    for lease in &ensured.leases {
        let (id, fence) = (lease.lease, lease.fence);
        if out.style().quiet {
            out.line(format_args!("{id} {fence}"))?;
            continue;
        }
        let how = match lease.how {
            EnsuredView::Held => "held",
            EnsuredView::Renewed => "renewed",
            EnsuredView::Taken => "taken",
        };
        let resources = one_line(&resources::shown(&lease.resources));
        let ends = lease.expires_at_ms.map(|at| ahead(ensured.now_ms, at));
        let ends = ends.map_or_else(
            || "until its session ends".to_owned(),
            |at| format!("ends {at}"),
        );
        out.line(format_args!(
            "{how} {resources}: lease {id} with fence {fence}, {ends}"
        ))?;
    }
    for other in &ensured.elsewhere {
        let sentence = one_line(&other.sentence(ensured.now_ms));
        out.note(format_args!("in another tree: {sentence}"));
    }
    if let Some(more) = ensured.elsewhere_more {
        out.note(format_args!("in other trees: {more} more"));
    }
    Ok(())
}
