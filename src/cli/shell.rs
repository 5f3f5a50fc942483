//! What a command needs around it: where to connect, where to print.

use std::cell::Cell;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::client::seat::{self, SystemProcesses};
use super::client::{Client, Reply, Target, encode};
use super::error::CliError;
use super::output::{Output, note};
use super::repository::Repository;
use crate::config::{ClientConfig, Environment, Flags, Source, settings};
use crate::engine::ids::{JournalTime, ProjectName};
use crate::protocol::operations::Operation;
use crate::protocol::session::{Empty, PingResult};

/// Where the coordinator is, and as whom to speak. Given before or after the command.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionFlags {
    #[arg(
        help = "The coordinator's address, such as wss://gateway:8766/ws [env: COORD_URL]",
        long,
        global = true,
        value_name = "URL"
    )]
    pub(super) url: Option<String>,
    #[arg(
        help = "The file that holds the token [env: COORD_TOKEN_FILE, or COORD_TOKEN for the token itself]",
        long,
        global = true,
        value_name = "FILE"
    )]
    pub(super) token_file: Option<PathBuf>,
    #[arg(
        help = "The project to work in [env: COORD_PROJECT]",
        long,
        global = true,
        value_name = "NAME"
    )]
    pub(super) project: Option<String>,
    #[arg(
        help = "Which seat of the token's agent to be [env: COORD_SEAT]",
        long,
        global = true,
        value_name = "NAME",
        hide_short_help = true
    )]
    pub(super) seat: Option<String>,
    #[arg(
        help = "Accept the one certificate with this SHA-256 [env: COORD_TLS_FINGERPRINT]",
        long,
        global = true,
        value_name = "SHA256",
        hide_short_help = true
    )]
    pub(super) tls_fingerprint: Option<String>,
    #[arg(
        help = "Accept certificates that these signed, as PEM [env: COORD_TLS_CA_FILE]",
        long = "tls-ca-file",
        visible_alias = "tls-ca",
        global = true,
        value_name = "FILE",
        hide_short_help = true
    )]
    pub(super) tls_ca_file: Option<PathBuf>,
    #[arg(
        help = "The file with these settings, in place of the user's client.toml [env: COORD_CLIENT_CONFIG]",
        long,
        global = true,
        value_name = "FILE",
        hide_short_help = true
    )]
    pub(super) client_config: Option<PathBuf>,
}

/// What a command needs around it.
pub(super) struct Shell<'a> {
    pub(super) connection: ConnectionFlags,
    pub(super) environment: &'a dyn Environment,
    pub(super) out: Output<'a>,
    /// Whether it is worth a remark that the command acts as the operator because nothing else was said.
    pub(super) tells_operator: Cell<bool>,
}

/// The project that the clone around the current folder names, if any.
fn project_here() -> Result<Option<ProjectName>, CliError> {
    let folder = std::env::current_dir().ok();
    let Some(clone) = folder.and_then(|folder| Repository::around(&folder)) else {
        return Ok(None);
    };
    let settings = clone.settings().map_err(|what| {
        CliError::usage(
            what,
            "look at it with `git config --local --get-regexp ^coord`",
        )
    })?;
    Ok(settings.project)
}

impl Shell<'_> {
    /// What flags, environment and file say. The clone that the command runs in may name the project, in the
    /// configuration that nobody can commit; only a flag or a variable has more to say.
    pub(super) fn config(&self) -> Result<ClientConfig, CliError> {
        let mut config = ClientConfig::load(&self.connection.flags()?, self.environment)?;
        let source = config.origins.source(&settings::CLIENT_PROJECT);
        if !matches!(source, Source::Flag { .. } | Source::Variable { .. }) {
            config.project = project_here()?.or(config.project);
        }
        Ok(config)
    }

    /// Where the coordinator is, and at which seat to connect.
    pub(super) fn target(&self) -> Result<Target, CliError> {
        let config = self.config()?;
        for warning in &config.warnings {
            self.out.note(format_args!("warning: {warning}"));
        }
        if config.is_operator_by_default() && self.tells_operator.take() {
            self.out.note(
                "acting as the operator, with the token of the state directory, because no other was given: \
                 COORD_TOKEN_FILE or --token-file names an agent's",
            );
        }
        let hint = seat::find(self.environment, &SystemProcesses, std::process::id());
        Ok(Target::new(config)?.with_seat_hint(hint.as_ref()))
    }

    /// Connects to the coordinator that flags, environment and file name.
    pub(super) async fn client(&self) -> Result<Client, CliError> {
        let mut client = Client::connect(self.target()?).await?;
        let style = self.out.style();
        if !style.json && !style.quiet {
            client.on_stale(|stale_ms| {
                note(format_args!(
                    "the coordinator does not reach the shared journal: this is as of {} s ago",
                    stale_ms / 1_000
                ));
            });
        }
        Ok(client)
    }

    /// Whether this user has a token for the coordinator that flags, environment and file name.
    pub(super) fn has_token(&self) -> Result<bool, CliError> {
        let config = ClientConfig::load(&self.connection.flags()?, self.environment)?;
        Ok(config.token.is_some())
    }

    /// One call on a connection of its own.
    pub(super) async fn call<R: DeserializeOwned>(
        &self,
        operation: Operation,
        params: &impl Serialize,
    ) -> Result<Reply<R>, CliError> {
        let raw = self.ask(operation, encode(params), 0).await?;
        Ok(Reply::read(operation, raw)?)
    }

    /// The same for texts: the types of parameters and answer would make a copy of it for each operation.
    async fn ask(
        &self,
        operation: Operation,
        params: String,
        wait_ms: u64,
    ) -> Result<Box<RawValue>, CliError> {
        let mut client = self.client().await?;
        let raw = client.call_text(operation, params, wait_ms).await?;
        client.close().await;
        Ok(raw)
    }

    async fn ask_at(
        &self,
        operation: Operation,
        params: String,
    ) -> Result<(Box<RawValue>, JournalTime), CliError> {
        let mut client = self.client().await?;
        let raw = client.call_text(operation, params, 0).await?;
        let ping: Reply<PingResult> = client.call(Operation::Ping, &Empty {}).await?;
        client.close().await;
        Ok((raw, ping.value.now_ms))
    }

    /// Calls one operation and prints its answer: as it came with `--json`, else as `show` says. Gives the
    /// answer, for remarks and exit codes that depend on it.
    pub(super) async fn print<R: DeserializeOwned>(
        &mut self,
        operation: Operation,
        params: &impl Serialize,
        show: impl FnOnce(&mut Output<'_>, &R) -> io::Result<()>,
    ) -> Result<R, CliError> {
        self.print_waiting(operation, params, 0, show).await
    }

    /// The same for an operation that itself waits up to `wait_ms`.
    pub(super) async fn print_waiting<R: DeserializeOwned>(
        &mut self,
        operation: Operation,
        params: &impl Serialize,
        wait_ms: u64,
        show: impl FnOnce(&mut Output<'_>, &R) -> io::Result<()>,
    ) -> Result<R, CliError> {
        let raw = self.ask(operation, encode(params), wait_ms).await?;
        let reply = Reply::read(operation, raw)?;
        self.out.reply(&reply, show)?;
        Ok(reply.value)
    }

    /// The same for an answer that does not say what time it is: a ping on the same connection does.
    pub(super) async fn print_at<R: DeserializeOwned>(
        &mut self,
        operation: Operation,
        params: &impl Serialize,
        show: impl FnOnce(&mut Output<'_>, &R, JournalTime) -> io::Result<()>,
    ) -> Result<R, CliError> {
        let (raw, now) = self.ask_at(operation, encode(params)).await?;
        let reply = Reply::read(operation, raw)?;
        self.out.reply(&reply, |out, value| show(out, value, now))?;
        Ok(reply.value)
    }
}

impl ConnectionFlags {
    /// What a command that is run needs to talk to the same coordinator: what flags said here.
    pub(super) fn for_child(
        &self,
        client: &Client,
        project: &ProjectName,
    ) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![
            ("COORD_URL", client.url().to_string().into()),
            ("COORD_PROJECT", project.to_string().into()),
        ];
        let paths = [
            ("COORD_TOKEN_FILE", &self.token_file),
            ("COORD_TLS_CA_FILE", &self.tls_ca_file),
            ("COORD_CLIENT_CONFIG", &self.client_config),
        ];
        for (name, path) in paths {
            if let Some(path) = path {
                // The command may change its folder.
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                variables.push((name, path.into()));
            }
        }
        if let Some(seat) = &self.seat {
            variables.push(("COORD_SEAT", seat.into()));
        }
        if let Some(fingerprint) = &self.tls_fingerprint {
            variables.push(("COORD_TLS_FINGERPRINT", fingerprint.into()));
        }
        variables
    }

    pub(super) fn flags(&self) -> Result<Flags, CliError> {
        let mut flags = Flags::default();
        flags.config = text(self.client_config.as_ref())?;
        flags.set(&settings::CLIENT_URL, self.url.as_ref());
        flags.set(&settings::CLIENT_TOKEN, text(self.token_file.as_ref())?);
        flags.set(&settings::CLIENT_PROJECT, self.project.as_ref());
        flags.set(&settings::CLIENT_SEAT, self.seat.as_ref());
        flags.set(
            &settings::CLIENT_TLS_CA_FILE,
            text(self.tls_ca_file.as_ref())?,
        );
        flags.set(
            &settings::CLIENT_TLS_FINGERPRINT,
            self.tls_fingerprint.as_ref(),
        );
        Ok(flags)
    }
}

/// Paths are [`PathBuf`]s for the sake of shell completion; the configuration wants text.
fn text(path: Option<&PathBuf>) -> Result<Option<String>, CliError> {
    let Some(path) = path else { return Ok(None) };
    let text = path.to_str().ok_or_else(|| {
        let what = format!("the path {} is not UTF-8", path.display());
        CliError::usage(what, "give the file another name")
    })?;
    Ok(Some(text.to_owned()))
}
