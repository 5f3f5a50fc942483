//! `coord ports table`.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::ports::{table_json, table_markdown, table_text};

/// Looks at ports.
#[derive(Debug, clap::Subcommand)]
pub enum PortsCommand {
    /// Shows which service has which port in which profile
    Table {
        /// Print the table as Markdown
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: &PortsCommand, out: &mut dyn Write) -> io::Result<ExitCode> {
    match command {
        PortsCommand::Table { markdown: true, .. } => write!(out, "{}", table_markdown())?,
        PortsCommand::Table { json: true, .. } => writeln!(out, "{:#}", table_json())?,
        PortsCommand::Table { .. } => write!(out, "{}", table_text())?,
    }
    Ok(ExitCode::SUCCESS)
}
