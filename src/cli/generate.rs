//! `coord completions` and `coord man`: generated from the command line's definition.

use std::fs;
use std::path::{Path, PathBuf};

use clap_complete::Shell as Flavour;

use super::error::CliError;
use super::input::check_place;
use super::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write the pages of all commands to this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(flavour: Flavour, out: &mut Output<'_>) -> Result<(), CliError> {
    refuse_json(out, "completions are a shell script, not JSON")?;
    // Into memory first: the generator panics when a write fails.
    let mut script = Vec::new();
    clap_complete::generate(flavour, &mut super::definition(), "coord", &mut script);
    out.sink().write_all(&script)?;
    Ok(())
}

pub(super) fn man(args: &ManArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let mut definition = super::definition();
    definition.build();
    if let Some(folder) = &args.dir {
        check_place(folder)?;
        return pages(&definition, folder)
            .map_err(|error| CliError::input(format!("write to {}", folder.display()), error));
    }
    refuse_json(out, "a man page is not JSON")?;
    Ok(out.sink().write_all(&page(&definition)?)?)
}

fn refuse_json(out: &Output<'_>, what: &str) -> Result<(), CliError> {
    if out.style().json {
        return Err(CliError::usage(what, "leave out --json"));
    }
    Ok(())
}

/// One page for each command, named like git's: `coord-task-work.1`.
fn pages(command: &clap::Command, folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let name = command.get_display_name().unwrap_or(command.get_name());
    fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    let own = |c: &&clap::Command| c.get_name() != "help";
    command
        .get_subcommands()
        .filter(own)
        .try_for_each(|subcommand| pages(subcommand, folder))
}

fn page(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    // The short closing text would hide the table of exit codes.
    let command = command.clone().after_help(None::<&str>);
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut definition = crate::cli::definition();
        definition.build();
        pages(&definition, folder.path()).expect("the pages can be written");
        for name in ["coord", "coord-task", "coord-task-work", "coord-lease-run"] {
            let page = fs::read_to_string(folder.path().join(format!("{name}.1")));
            let page = page.expect("the page is there");
            assert!(page.contains(".SH NAME"), "{name}");
        }
        let main = fs::read_to_string(folder.path().join("coord.1")).expect("it is there");
        assert!(main.contains("Exit codes"));
    }
}
