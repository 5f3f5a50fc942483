//! `coord protocol`.

use super::error::CliError;
use super::output::Output;
use crate::config::settings::{self, Count, Setting};
use crate::driver::limits::DriverLimits;
use crate::mcp;
use crate::mqtt;
use crate::protocol::{openrpc, reference};

#[derive(Debug, clap::Args)]
pub(super) struct ProtocolArgs {
    /// Print a Markdown page
    #[arg(long)]
    markdown: bool,
    /// Print the Markdown page of the tools for models (MCP)
    #[arg(long, conflicts_with = "markdown")]
    mcp: bool,
    /// Print the topics and payloads of MQTT as an AsyncAPI document
    #[arg(long, conflicts_with_all = ["markdown", "mcp"])]
    mqtt: bool,
}

pub(super) fn run(args: &ProtocolArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    if (args.markdown || args.mcp) && out.style().json {
        let next = "leave out --json, or --markdown and --mcp";
        return Err(CliError::usage("a Markdown page is not JSON", next));
    }
    if args.mcp {
        write!(out.sink(), "{}", mcp::reference::markdown())?;
        return Ok(());
    }
    let document = if args.mqtt {
        mqtt::reference::document(env!("CARGO_PKG_VERSION"))
    } else {
        document()
    };
    match args.markdown {
        true => write!(out.sink(), "{}", reference::markdown(&document))?,
        false if out.style().json => out.json(&document)?,
        false => writeln!(out.sink(), "{document:#}")?,
    }
    Ok(())
}

/// The limits of the listener, which an operator can set.
const LISTENER: [&Setting<Count>; 4] = [
    &settings::CONNECTIONS_MAX,
    &settings::MESSAGE_BYTES_MAX,
    &settings::HANDSHAKE_TIMEOUT_MS,
    &settings::PING_INTERVAL_MS,
];

/// The interface with all limits that a client meets, at their defaults.
pub fn document() -> serde_json::Value {
    let driver = DriverLimits::default().table();
    let listener = LISTENER.map(listener_limit);
    let listener = listener
        .iter()
        .map(|(name, value, about)| (*name, *value, about.as_str()));
    let limits: Vec<_> = driver.into_iter().chain(listener).collect();
    openrpc::document(env!("CARGO_PKG_VERSION"), &limits)
}

fn listener_limit(limit: &'static Setting<Count>) -> (&'static str, u64, String) {
    let (_, name) = limit.section_and_leaf();
    let (doc, set_by) = (
        limit.doc.trim_end_matches('.'),
        limit.variables.join("`, `"),
    );
    (
        name,
        limit.kind.default,
        format!("{doc}; `{set_by}` sets it."),
    )
}
