//! `coord context`.

use std::io;
use std::path::PathBuf;

use super::error::CliError;
use super::exit::Exit;
use super::input;
use super::output::{Output, done};
use super::shell::Shell;
use super::table::{NOTHING, Table, lines};
use crate::engine::ids::{ContextKey, Cursor, Revision};
use crate::engine::payload::Payload;
use crate::protocol::context::{
    ContextDeleteParams, ContextGetParams, ContextListParams, ContextListResult, ContextPutParams,
    ContextPutResult, ContextView, ContextWatchParams,
};
use crate::protocol::operations::Operation;

#[derive(Debug, clap::Subcommand)]
pub(super) enum ContextCommand {
    /// Prints the value of a key
    Get { key: ContextKey },
    /// Writes a value
    Put(PutArgs),
    /// Deletes a key
    Delete {
        key: ContextKey,
        /// Only if the entry has this revision
        #[arg(long, value_name = "N")]
        if_revision: Option<Revision>,
    },
    /// Lists keys
    List {
        /// Only keys that begin with this
        #[arg(default_value = "")]
        prefix: String,
        /// Show the values too
        #[arg(long)]
        values: bool,
        /// Only keys after this one
        #[arg(long, value_name = "KEY")]
        after: Option<ContextKey>,
        /// At most this many
        #[arg(long, value_name = "N")]
        max: Option<u64>,
    },
    /// Prints every change of keys that begin with a prefix, as it happens
    ///
    /// Ends with 0 when the reader of its output is gone.
    Watch {
        #[arg(default_value = "")]
        prefix: String,
        /// Start after this cursor instead of now
        #[arg(long, value_name = "CURSOR")]
        from: Option<Cursor>,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct PutArgs {
    key: ContextKey,
    /// The value, as JSON
    #[arg(required_unless_present = "file")]
    value: Option<String>,
    /// A file that holds the value; - for stdin
    #[arg(long, conflicts_with = "value")]
    file: Option<PathBuf>,
    /// The value is plain text, not JSON
    #[arg(long)]
    text: bool,
    /// Only if the entry has this revision; 0: only if there is none
    #[arg(long, value_name = "N")]
    if_revision: Option<Revision>,
}

pub(super) async fn run(command: ContextCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match command {
        ContextCommand::Get { key } => {
            let params = ContextGetParams { key };
            let show = |out: &mut Output<'_>, entry: &ContextView| {
                let value = entry.value.as_ref().map_or(NOTHING, Payload::as_json);
                out.line(lines(value))
            };
            shell.print(Operation::ContextGet, &params, show).await?;
        }
        ContextCommand::Put(args) => put(args, shell).await?,
        ContextCommand::Delete { key, if_revision } => {
            let params = ContextDeleteParams {
                key: key.clone(),
                if_revision,
                request_id: None,
            };
            let deleted = done::<ContextPutResult>(format!("deleted {key}"));
            let operation = Operation::ContextDelete;
            shell.print(operation, &params, deleted).await?;
        }
        ContextCommand::List {
            prefix,
            values,
            after,
            max,
        } => {
            let params = ContextListParams {
                prefix,
                after,
                values,
                count_max: max,
            };
            let operation = Operation::ContextList;
            shell.print(operation, &params, show_list).await?;
        }
        ContextCommand::Watch { prefix, from } => {
            let mut client = shell.client().await?;
            client.watch(ContextWatchParams { prefix, from }).await?;
            super::events::print(client, &mut shell.out, None).await?;
        }
    }
    Ok(Exit::Ok)
}

async fn put(args: PutArgs, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let text = match (args.value, &args.file) {
        (Some(value), _) => value,
        (None, Some(path)) => input::file(path)?,
        (None, None) => String::new(),
    };
    let value = if args.text {
        input::string(&text)
    } else {
        input::json(&text, "the value")?
    };
    let params = ContextPutParams {
        key: args.key.clone(),
        value,
        if_revision: args.if_revision,
        request_id: None,
    };
    let written = |out: &mut Output<'_>, result: &ContextPutResult| {
        let (key, revision) = (args.key, result.revision);
        out.made(revision, format_args!("{key} has revision {revision}"))
    };
    shell.print(Operation::ContextPut, &params, written).await?;
    Ok(())
}

fn show_list(out: &mut Output<'_>, list: &ContextListResult) -> io::Result<()> {
    let mut table = Table::new(&["KEY", "REVISION", "BY", "VALUE"]);
    for entry in &list.entries {
        table.row(&[
            entry.key.to_string(),
            entry.revision.to_string(),
            entry.written_by.to_string(),
            entry
                .value
                .as_ref()
                .map_or(NOTHING, Payload::as_json)
                .to_owned(),
        ]);
    }
    out.table(&table, "no entries")?;
    if let Some(after) = &list.next_after {
        out.note(format_args!("there are more: --after {after}"));
    }
    Ok(())
}
