//! `coord protocol`.

use super::error::CliError;
use super::output::Output;
use crate::driver::limits::DriverLimits;
use crate::protocol::{openrpc, reference};

#[derive(Debug, clap::Args)]
pub(super) struct ProtocolArgs {
    /// As a page to read
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(args: &ProtocolArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let document = document();
    match args.markdown {
        true => write!(out.sink(), "{}", reference::markdown(&document))?,
        false if out.style().json => out.json(&document)?,
        false => writeln!(out.sink(), "{document:#}")?,
    }
    Ok(())
}

/// The interface with all limits that a client meets.
pub(super) fn document() -> serde_json::Value {
    openrpc::document(env!("CARGO_PKG_VERSION"), &DriverLimits::default().table())
}
