//! What a user needs so that every CLI finds the coordinator: an agent's token in a file of the user, and the
//! client's file that names it. CLIs start programs with few variables, so variables alone are not enough.

mod client_file;
mod grants;

use std::path::{Path, PathBuf};

use super::program::quoted;
use super::site::Site;
use super::slug::slug;
use crate::cli::error::CliError;
use crate::cli::shell::Shell;
use crate::client::{Client, ClientError, Target as Connection};
use crate::config::{
    ClientConfig, ConfigErrors, Environment, Flags, Secret, Source, client_file_place, settings,
};
use crate::engine::ids::Principal;

/// The name of an agent whose user has none.
const NAMELESS: &str = "agents";
/// What no coordinator ever gave out.
const WRONG_TOKEN: &str = "coord-setup";

/// How this user reaches the coordinator.
#[derive(Debug)]
pub(in crate::cli) struct Access {
    pub(in crate::cli) config: ClientConfig,
    flags: Flags,
    file: PathBuf,
    /// The client's file names setup's own file of the token, which is gone.
    lost_token: bool,
}

/// Where the token of agents comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum TokenSource {
    /// The client's file names one already.
    ClientFile,
    /// A flag or a variable names this file.
    File(PathBuf),
    /// A variable holds it.
    Variable,
    /// There is none but the operator's.
    Operator,
    None,
}

impl Access {
    pub(in crate::cli) fn find(shell: &Shell<'_>, site: &Site<'_>) -> Result<Self, CliError> {
        let flags = shell.connection.flags()?;
        let file = Self::client_file(shell, site)?;
        let lost_token = client_file::names_lost_token(&file, &Self::token_file(site));
        let config = load(&flags, site.environment, lost_token)?;
        Ok(Self {
            config,
            flags,
            file,
            lost_token,
        })
    }

    /// The client's file, whether it can be read or not.
    pub(in crate::cli) fn client_file(
        shell: &Shell<'_>,
        site: &Site<'_>,
    ) -> Result<PathBuf, CliError> {
        let flags = shell.connection.flags()?;
        let file = client_file_place(flags.config.as_deref(), site.environment);
        let file = file.unwrap_or_else(|| site.config_home().join("coord/client.toml"));
        let file = std::path::absolute(&file);
        file.map_err(|error| CliError::input("tell the current folder", error))
    }

    pub(in crate::cli) fn token_source(&self) -> TokenSource {
        let source = self.config.origins.source(&settings::CLIENT_TOKEN);
        let Some(token) = &self.config.token else {
            return TokenSource::None;
        };
        match (source, token.file()) {
            _ if self.config.is_operator_by_default() => TokenSource::Operator,
            (Source::File { .. }, _) => TokenSource::ClientFile,
            (_, Some(file)) => TokenSource::File(absolute(file)),
            (_, None) => TokenSource::Variable,
        }
    }

    /// The file that setup puts a token into.
    pub(in crate::cli) fn token_file(site: &Site<'_>) -> PathBuf {
        site.config_home().join("coord/agent.token")
    }

    /// Who the agents are. Seats tell their windows apart.
    pub(in crate::cli) fn agent(site: &Site<'_>) -> Principal {
        let names = ["USER", "LOGNAME"].into_iter();
        let mut names = names.filter_map(|name| site.environment.variable(name).ok().flatten());
        let name = names.find_map(|name| slug(&name).parse().ok());
        name.unwrap_or_else(|| NAMELESS.parse().expect("it is a name"))
    }

    /// The command by which an operator makes a token.
    pub(in crate::cli) fn token_command(site: &Site<'_>) -> String {
        let file = Self::token_file(site);
        let file = quoted(&file.display().to_string());
        format!(
            "coord token create {} --seats --out {file}",
            Self::agent(site)
        )
    }

    /// Whether this user can read the operator's token.
    pub(in crate::cli) fn has_operator(&self) -> bool {
        let file = self.config.operator_token.as_ref();
        file.is_some_and(|file| std::fs::File::open(file).is_ok())
    }

    /// A connection as the operator if this user can be one, or else with the user's own token.
    async fn operator(&self, site: &Site<'_>) -> Result<Client, CliError> {
        let mut flags = self.flags.clone();
        if let Some(file) = self
            .config
            .operator_token
            .as_ref()
            .filter(|_| self.has_operator())
        {
            flags.set(&settings::CLIENT_TOKEN, file.to_str());
        }
        self.connect(&flags, site).await
    }

    /// The token's own project is as good as any other.
    async fn connect(&self, flags: &Flags, site: &Site<'_>) -> Result<Client, CliError> {
        let config = load(flags, site.environment, self.lost_token)?;
        let config = ClientConfig {
            project: None,
            seat: None,
            ..config
        };
        Ok(Client::connect(Connection::new(config)?).await?)
    }

    /// Whether a coordinator answers at all; with a token that it refuses, it does.
    pub(in crate::cli) async fn reach(&self) -> Result<(), ClientError> {
        let config = ClientConfig {
            token: self
                .config
                .token
                .clone()
                .or_else(|| Some(Secret::new(WRONG_TOKEN))),
            project: None,
            seat: None,
            ..self.config.clone()
        };
        match Client::connect(Connection::new(config)?).await {
            Ok(client) => {
                client.close().await;
                Ok(())
            }
            Err(ClientError::Unauthenticated { .. } | ClientError::Forbidden { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn load(
    flags: &Flags,
    environment: &dyn Environment,
    lost_token: bool,
) -> Result<ClientConfig, ConfigErrors> {
    if lost_token {
        return ClientConfig::load_without_token_file(flags, environment);
    }
    ClientConfig::load(flags, environment)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
