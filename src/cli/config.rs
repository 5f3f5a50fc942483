//! `coord config show | check | schema | example`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::error::CliError;
use super::text::{self, Safe};
use crate::config::env::NotUnicode;
use crate::config::{
    ClientConfig, Config, ConfigErrors, Environment, Flags, Invoker, Warning, example, schema, show,
};

/// Shows and checks the configuration; starts nothing.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Shows each setting's value and where it came from; secrets are masked
    Show {
        #[command(flatten)]
        flags: Flags,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Reports every problem of a file; environment and flags are ignored
    Check {
        file: String,
        /// The file is a client.toml
        #[arg(long)]
        client: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Prints the JSON Schema of the file
    Schema {
        /// Of client.toml
        #[arg(long)]
        client: bool,
    },
    /// Prints a file with every setting, commented out and explained
    Example,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigCommandError {
    #[error("the configuration is invalid")]
    Config(#[from] ConfigErrors),
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

impl ConfigCommand {
    /// The same with JSON where that was asked for.
    pub(super) fn in_json(mut self, wanted: bool) -> Result<Self, CliError> {
        match &mut self {
            Self::Show { json, .. } | Self::Check { json, .. } => *json |= wanted,
            Self::Example if wanted => {
                let next = "leave out --json; `coord config schema` prints JSON";
                return Err(CliError::usage("the example is a TOML file", next));
            }
            Self::Schema { .. } | Self::Example => {}
        }
        Ok(self)
    }
}

/// Exits with 0, or with 1 when `check` found something wrong.
pub fn run(
    command: ConfigCommand,
    environment: &dyn Environment,
    invoker: Invoker,
    out: &mut dyn Write,
) -> Result<ExitCode, ConfigCommandError> {
    match command {
        ConfigCommand::Show { flags, json } => {
            let config = Config::load(&flags, environment, invoker)?;
            if json {
                let shown = format!("{:#}", show::json(&config));
                writeln!(out, "{}", text::json_lines(&shown))?;
            } else {
                write!(out, "{}", text::lines(&show::text(&config)))?;
            }
        }
        ConfigCommand::Check { file, client, json } => {
            let environment = FileOnly(environment);
            let checked = if client {
                check_client(file, &environment)
            } else {
                check_server(file, &environment, invoker)
            };
            return Ok(report(&checked, json, out)?);
        }
        ConfigCommand::Schema { client } => {
            let schema = if client {
                schema::client()
            } else {
                schema::server()
            };
            writeln!(out, "{:#}", schema.to_value())?;
        }
        ConfigCommand::Example => write!(out, "{}", example::render())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Only the file counts, not this shell's variables. The variables of the home folder stay, because default
/// paths need them.
struct FileOnly<'a>(&'a dyn Environment);

impl Environment for FileOnly<'_> {
    fn variable(&self, name: &str) -> Result<Option<String>, NotUnicode> {
        match name {
            "HOME" | "XDG_STATE_HOME" => self.0.variable(name),
            _ => Ok(None),
        }
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn system_folder(&self) -> Option<PathBuf> {
        None
    }

    fn hostname(&self) -> Option<String> {
        self.0.hostname()
    }
}

fn check_server(
    file: String,
    environment: &dyn Environment,
    invoker: Invoker,
) -> Result<Vec<Warning>, ConfigErrors> {
    Config::load(&Flags::of_file(file), environment, invoker).map(|config| config.warnings)
}

fn check_client(file: String, environment: &dyn Environment) -> Result<Vec<Warning>, ConfigErrors> {
    ClientConfig::load(&Flags::of_file(file), environment).map(|config| config.warnings)
}

fn report(
    checked: &Result<Vec<Warning>, ConfigErrors>,
    json: bool,
    out: &mut dyn Write,
) -> io::Result<ExitCode> {
    let (problems, warnings) = match checked {
        Ok(warnings) => (&[][..], warnings.as_slice()),
        Err(errors) => (errors.problems(), &[][..]),
    };
    if json {
        let found = json!({ "problems": problems, "warnings": warnings });
        writeln!(out, "{}", text::json_lines(&format!("{found:#}")))?;
    } else {
        let mut out = Safe::lines(&mut *out);
        for problem in problems {
            writeln!(out, "{problem}")?;
        }
        for warning in warnings {
            writeln!(out, "warning: {warning}")?;
        }
        if checked.is_ok() {
            writeln!(out, "the configuration is valid")?;
        }
    }
    Ok(if checked.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
