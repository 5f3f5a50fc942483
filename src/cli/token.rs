//! `coord token`.
//!
//! A secret is shown once, and only on purpose: on a terminal, in a file of mode 0600, or to a program that
//! asked with `--json` or `--print`. So it does not end in a log by accident.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::client::Reply;
use super::duration::{Millis, ago, ahead};
use super::error::CliError;
use super::exit::Exit;
use super::input::check_place;
use super::output::{Output, done};
use super::shell::Shell;
use super::table::{Table, joined, or_nothing};
use crate::engine::ids::{Principal, ProjectName, TokenId};
use crate::protocol::admin::{
    RoleParam, TokenCreateParams, TokenCreateResult, TokenListResult, TokenRevokeParams, TokenView,
};
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;

/// Only its owner may read it.
const SECRET_FILE_MODE: u32 = 0o600;

#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Creates a token
    ///
    /// The secret is shown only this once: on a terminal, or on any output with --print or --json. With --out
    /// it is written to a file that only its owner may read.
    Create(CreateArgs),
    /// Lists tokens, without their secrets
    List,
    /// Revokes a token; its connections are closed
    Revoke {
        /// The token's id, as `coord token list` shows it
        token: TokenId,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// The agent that connects with this token
    agent: Principal,
    /// What the token allows
    #[arg(long, value_enum, default_value_t)]
    role: RoleArg,
    /// A project that the token allows; may be repeated [default: all]
    #[arg(long = "for-project", value_name = "NAME")]
    projects: Vec<ProjectName>,
    /// The token expires after this time [default: never]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<Millis>,
    /// Each connection may name a seat, and is then an agent of its own, AGENT/SEAT
    #[arg(long)]
    seats: bool,
    /// Write the secret to this new file, mode 0600
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    out: Option<PathBuf>,
    /// Print only the secret, even if the output is not a terminal
    #[arg(long)]
    print: bool,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(super) enum RoleArg {
    /// Reads
    Observer,
    /// Works
    #[default]
    Agent,
    /// Administers
    Operator,
}

pub(super) async fn run(command: TokenCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match command {
        TokenCommand::Create(args) => create(args, shell).await?,
        TokenCommand::List => {
            let operation = Operation::TokenList;
            shell.print(operation, &Empty {}, show_list).await?;
        }
        TokenCommand::Revoke { token } => {
            let params = TokenRevokeParams {
                token: token.clone(),
                request_id: None,
            };
            let revoked = done::<Empty>(format!("revoked token {token}"));
            let operation = Operation::TokenRevoke;
            shell.print(operation, &params, revoked).await?;
        }
    }
    Ok(Exit::Ok)
}

/// The destination is checked before the secret is created.
async fn create(args: CreateArgs, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let file = match &args.out {
        Some(path) => Some(TokenFile::create(path)?),
        None if args.print || shell.out.style().json || io::stdout().is_terminal() => None,
        None => {
            return Err(CliError::usage(
                "the output is not a terminal, and a secret must not end in a log",
                "give --out FILE, or --print to write the secret to this output",
            ));
        }
    };
    let params = TokenCreateParams {
        agent: args.agent,
        role: args.role.into(),
        projects: (!args.projects.is_empty()).then(|| args.projects.into_iter().collect()),
        ttl_ms: args.ttl.map(|ttl| ttl.0),
        seats: args.seats,
    };
    let reply: Reply<TokenCreateResult> = shell.call(Operation::TokenCreate, &params).await?;
    let made = &reply.value;
    match file {
        Some(file) => {
            let path = file.path.clone();
            file.write(&made.secret)?;
            let shown = path.display();
            let public = serde_json::json!({
                "token": made.token, "agent": made.agent, "secret_file": path,
            });
            if shell.out.style().json {
                return Ok(shell.out.json(&public)?);
            }
            if shell.out.style().quiet {
                return Ok(shell.out.line(&made.token)?);
            }
            shell.out.line(format_args!(
                "token {} for {}: {shown}",
                made.token, made.agent
            ))?;
            let hint = format_args!("the agent uses it with COORD_TOKEN_FILE={shown}");
            shell.out.note(hint);
        }
        None => show_secret(&reply, args.print, &mut shell.out)?,
    }
    Ok(())
}

fn show_secret(
    reply: &Reply<TokenCreateResult>,
    print: bool,
    out: &mut Output<'_>,
) -> io::Result<()> {
    out.reply(reply, |out, made| {
        out.line(&made.secret)?;
        if !print {
            out.note(format_args!(
                "token {} for {}: the secret is not shown again; the agent uses it as COORD_TOKEN, or in a file \
                 that COORD_TOKEN_FILE names",
                made.token, made.agent
            ));
        }
        Ok(())
    })
}

fn show_list(out: &mut Output<'_>, list: &TokenListResult) -> io::Result<()> {
    let mut table = Table::new(&["TOKEN", "AGENT", "ROLE", "PROJECTS", "MADE", "RUNS OUT"]);
    for token in &list.tokens {
        table.row(&[
            token.token.to_string(),
            agent_of(token),
            role_name(token.role).to_owned(),
            token
                .projects
                .as_ref()
                .map_or_else(|| "all".to_owned(), joined),
            ago(list.now_ms, token.created_at_ms),
            or_nothing(token.expires_at_ms.map(|at| ahead(list.now_ms, at))),
        ]);
    }
    out.table(&table, "no tokens")
}

/// As connections of the token may be called.
fn agent_of(token: &TokenView) -> String {
    let seats = if token.seats { "[/SEAT]" } else { "" };
    format!("{}{seats}", token.agent)
}

fn role_name(role: RoleParam) -> &'static str {
    match role {
        RoleParam::Observer => "observer",
        RoleParam::Agent => "agent",
        RoleParam::Operator => "operator",
    }
}

impl From<RoleArg> for RoleParam {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Observer => Self::Observer,
            RoleArg::Agent => Self::Agent,
            RoleArg::Operator => Self::Operator,
        }
    }
}

/// A new file that only its owner may read; removed again if no secret is written to it.
pub(super) struct TokenFile {
    path: PathBuf,
    file: std::fs::File,
    written: bool,
}

impl TokenFile {
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        check_place(path)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(SECRET_FILE_MODE);
        let file = options
            .open(path)
            .map_err(|error| CliError::input(format!("make {}", path.display()), error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            written: false,
        })
    }

    pub(super) fn write(mut self, secret: &str) -> Result<(), CliError> {
        let write = writeln!(self.file, "{secret}").and_then(|()| self.file.sync_all());
        let failed = |error| CliError::input(format!("write {}", self.path.display()), error);
        write.map_err(failed)?;
        self.written = true;
        Ok(())
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        if !self.written {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_file_is_the_owners_alone_and_new() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("token");
        let file = TokenFile::create(&path).expect("the file is new");
        file.write("s3cret").expect("it can be written");
        let mode = std::fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, SECRET_FILE_MODE);
        assert!(TokenFile::create(&path).is_err(), "it is not overwritten");
        assert_eq!(
            std::fs::read_to_string(&path).expect("it is there"),
            "s3cret\n"
        );
    }

    #[test]
    fn a_secret_file_that_got_no_secret_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("token");
        drop(TokenFile::create(&path).expect("the file is new"));
        assert!(!path.exists());
    }
}
