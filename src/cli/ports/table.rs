//! `coord ports table`.

use std::io::{self, Write};

use crate::edge::ports::{table_json, table_markdown, table_text};

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct TableArgs {
    /// Print the table as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: TableArgs, out: &mut dyn Write) -> io::Result<()> {
    match args {
        TableArgs { markdown: true, .. } => write!(out, "{}", table_markdown()),
        TableArgs { json: true, .. } => writeln!(out, "{:#}", table_json()),
        TableArgs { .. } => write!(out, "{}", table_text()),
    }
}
