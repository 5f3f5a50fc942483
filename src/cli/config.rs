//! `coord config show | check | schema | example`, and the flags a coordinator is configured with.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::error::CliError;
use super::text::{self, Safe};
use crate::config::env::NotUnicode;
use crate::config::{
    ClientConfig, ClientFlags, Config, ConfigErrors, Environment, Flags, Invoker, Warning, example,
    schema, show,
};

/// Looks at the configuration without starting anything.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Shows each setting's value and where it came from; secrets are masked
    Show {
        #[command(flatten)]
        flags: Box<ConfigFlags>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Says everything that is wrong with a file, whatever environment and flags would override
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

/// The flags of `coord serve` and `coord config show`. Texts, because only the configuration itself
/// knows what is right, and reports all that is wrong at once.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigFlags {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// production, staging, development or testing
    #[arg(long)]
    pub profile: Option<String>,
    /// The folder for journal, snapshots and operator token
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// A file that holds the operator's token
    #[arg(long, value_name = "FILE")]
    pub operator_token_file: Option<String>,
    /// How this coordinator calls itself
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// The address agents connect to
    #[arg(long, value_name = "HOST")]
    pub websocket_host: Option<String>,
    /// The port agents connect to
    #[arg(long, value_name = "PORT")]
    pub websocket_port: Option<String>,
    /// Serve wss:
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub websocket_tls: Option<String>,
    /// The certificate chain, as PEM
    #[arg(long, value_name = "FILE")]
    pub tls_certificate_file: Option<String>,
    /// The private key, as PEM
    #[arg(long, value_name = "FILE")]
    pub tls_key_file: Option<String>,
    /// More names by which clients may address this coordinator
    #[arg(long, value_name = "HOST,…")]
    pub allowed_hosts: Vec<String>,
    /// Web pages that may connect
    #[arg(long, value_name = "ORIGIN,…")]
    pub allowed_origins: Vec<String>,
    /// Serve ws: off loopback without encryption
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_plaintext: Option<String>,
    /// The address Prometheus scrapes
    #[arg(long, value_name = "HOST")]
    pub metrics_host: Option<String>,
    /// The port Prometheus scrapes
    #[arg(long, value_name = "PORT")]
    pub metrics_port: Option<String>,
    /// The path Prometheus scrapes
    #[arg(long, value_name = "PATH")]
    pub metrics_path: Option<String>,
    /// Serve metrics off loopback
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub metrics_allow_plaintext: Option<String>,
    /// More names by which Prometheus may address the metrics
    #[arg(long, value_name = "HOST,…")]
    pub metrics_allowed_hosts: Vec<String>,
    /// A file that holds the URL of Redis
    #[arg(long, value_name = "FILE")]
    pub redis_url_file: Option<String>,
    /// Where Redis runs
    #[arg(long, value_name = "HOST")]
    pub redis_host: Option<String>,
    /// The port of Redis
    #[arg(long, value_name = "PORT")]
    pub redis_port: Option<String>,
    /// The ACL user of Redis
    #[arg(long, value_name = "USER")]
    pub redis_user: Option<String>,
    /// A file that holds the password of Redis
    #[arg(long, value_name = "FILE")]
    pub redis_password_file: Option<String>,
    /// Talk TLS to Redis
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub redis_tls: Option<String>,
    /// off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigCommandError {
    #[error("the configuration is not usable")]
    Config(#[from] ConfigErrors),
    #[error("the output could not be written")]
    Output(#[from] io::Error),
}

impl ConfigCommand {
    /// The same with JSON where that was asked for.
    pub(super) fn in_json(mut self, wanted: bool) -> Result<Self, CliError> {
        match &mut self {
            Self::Show { json, .. } | Self::Check { json, .. } => *json |= wanted,
            Self::Example if wanted => {
                let next = "leave --json out; `coord config schema` is JSON";
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
            let config = Config::load(&(*flags).into(), environment, invoker)?;
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

/// What the file says counts, not what this shell's variables would make of it; where home is
/// does not change that.
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
    let flags = Flags {
        config: Some(file),
        ..Flags::default()
    };
    Config::load(&flags, environment, invoker).map(|config| config.warnings)
}

fn check_client(file: String, environment: &dyn Environment) -> Result<Vec<Warning>, ConfigErrors> {
    let flags = ClientFlags {
        config: Some(file),
        ..ClientFlags::default()
    };
    ClientConfig::load(&flags, environment).map(|config| config.warnings)
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
            writeln!(out, "the configuration is right")?;
        }
    }
    Ok(if checked.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl From<ConfigFlags> for Flags {
    fn from(flags: ConfigFlags) -> Self {
        Self {
            config: flags.config,
            profile: flags.profile,
            state_dir: flags.state_dir,
            operator_token_file: flags.operator_token_file,
            node_name: flags.node_name,
            websocket_host: flags.websocket_host,
            websocket_port: flags.websocket_port,
            websocket_tls: flags.websocket_tls,
            tls_certificate_file: flags.tls_certificate_file,
            tls_key_file: flags.tls_key_file,
            allowed_hosts: flags.allowed_hosts,
            allowed_origins: flags.allowed_origins,
            allow_plaintext: flags.allow_plaintext,
            metrics_host: flags.metrics_host,
            metrics_port: flags.metrics_port,
            metrics_path: flags.metrics_path,
            metrics_allow_plaintext: flags.metrics_allow_plaintext,
            metrics_allowed_hosts: flags.metrics_allowed_hosts,
            redis_url_file: flags.redis_url_file,
            redis_host: flags.redis_host,
            redis_port: flags.redis_port,
            redis_user: flags.redis_user,
            redis_password_file: flags.redis_password_file,
            redis_tls: flags.redis_tls,
            log_level: flags.log_level,
            log_format: flags.log_format,
        }
    }
}
