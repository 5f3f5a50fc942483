//! What a user needs so that every CLI finds the coordinator: an agent's token in a file of the user, and the
//! client's file that names it. CLIs start programs with few variables, so variables alone are not enough.

use std::path::{Path, PathBuf};

use super::program::quoted;
use super::site::Site;
use super::slug::slug;
use super::target::{Content, Target};
use super::text::{Block, Place, toml_fault};
use crate::cli::error::CliError;
use crate::cli::shell::Shell;
use crate::cli::token::TokenFile;
use crate::client::{Client, ClientError, Reply, Target as Connection};
use crate::config::{ClientConfig, Flags, Secret, Source, client_file_place, settings};
use crate::engine::ids::{Principal, ProjectName};
use crate::protocol::admin::{
    ProjectCreateParams, ProjectListResult, RoleParam, TokenCreateParams, TokenCreateResult,
};
use crate::protocol::error::ErrorKind;
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;

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
        let config = ClientConfig::load(&flags, site.environment)?;
        let file = Self::client_file(shell, site)?;
        Ok(Self {
            config,
            flags,
            file,
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

    /// What the client's file must say, if it does not say it yet: what flags and variables say here, and the
    /// file of the token. A file that is not there would make every command fail, so it is named only if
    /// `has_token`.
    pub(in crate::cli) fn client_target(
        &self,
        site: &Site<'_>,
        has_token: bool,
    ) -> Result<Option<Target>, CliError> {
        let there = std::fs::read(&self.file).unwrap_or_default();
        let read = Block::read(&there).map_err(|fault| {
            let what = format!("cannot change {}: {fault}", self.file.display());
            CliError::usage(what, "mend the file first; nothing was written")
        })?;
        let mut lines = owned(&read);
        let others: toml::Table = read.rest().parse().unwrap_or_default();
        let mut say = |key: &str, value: toml::Value| {
            let line = format!("{key} = {value}");
            let start = format!("{key} = ");
            match lines.iter_mut().find(|line| line.starts_with(&start)) {
                Some(there) => *there = line,
                None if others.contains_key(key) => {}
                None => lines.push(line),
            }
        };
        let is_chosen_here = |spec| {
            let source = self.config.origins.source(spec);
            matches!(source, Source::Flag { .. } | Source::Variable { .. })
        };
        if is_chosen_here(&settings::CLIENT_URL) {
            say("url", self.config.url.to_string().into());
        }
        for (spec, key) in [
            (&*settings::CLIENT_TLS_CA_FILE, "tls_ca_file"),
            (&*settings::CLIENT_TLS_FINGERPRINT, "tls_fingerprint"),
        ] {
            let shown = self.config.origins.shown(spec).as_str().map(str::to_owned);
            if let Some(text) = shown.filter(|_| is_chosen_here(spec)) {
                say(key, text.into());
            }
        }
        if is_chosen_here(&settings::CLIENT_ALLOW_PLAINTEXT) {
            let shown = self.config.origins.shown(&settings::CLIENT_ALLOW_PLAINTEXT);
            say(
                "allow_plaintext",
                shown.as_bool().unwrap_or_default().into(),
            );
        }
        let token = match self.token_source() {
            TokenSource::ClientFile => None,
            TokenSource::File(file) => Some(file),
            TokenSource::Variable | TokenSource::Operator | TokenSource::None => {
                Some(Self::token_file(site)).filter(|_| has_token)
            }
        };
        if let Some(file) = token {
            let text = file.to_str().ok_or_else(|| {
                let what = format!("the path {} is not UTF-8", file.display());
                CliError::usage(what, "give the token's file another name")
            })?;
            say("token_file", text.into());
        }
        if lines.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self::target_with(self.file.clone(), lines)))
    }

    /// The client's file with these lines; none takes out what setup put in.
    pub(in crate::cli) fn target_with(path: PathBuf, lines: Vec<String>) -> Target {
        Target {
            front: None,
            path,
            within: None,
            content: Content::Block {
                lines,
                place: Place::Beginning,
                check: toml_fault,
            },
        }
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
        let config = ClientConfig::load(flags, site.environment)?;
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

    /// Makes a token with seats, and writes it to a file that only the user may read.
    pub(in crate::cli) async fn make_token(&self, site: &Site<'_>) -> Result<(), CliError> {
        let path = Self::token_file(site);
        make_folder(&path)?;
        let file = TokenFile::create(&path)?;
        let mut client = self.operator(site).await?;
        let params = TokenCreateParams {
            agent: Self::agent(site),
            role: RoleParam::Agent,
            projects: None,
            ttl_ms: None,
            seats: true,
        };
        let made: Reply<TokenCreateResult> = client.call(Operation::TokenCreate, &params).await?;
        client.close().await;
        file.write(&made.value.secret)
    }

    /// Writes the token of a variable to a file, because not every CLI passes the variable on. `false`: the file
    /// has another token, which is not overwritten.
    pub(in crate::cli) fn keep_token(&self, site: &Site<'_>) -> Result<bool, CliError> {
        let path = Self::token_file(site);
        let token = self.config.token.as_ref().map_or("", Secret::expose);
        if let Ok(there) = std::fs::read_to_string(&path) {
            return Ok(there.trim() == token);
        }
        make_folder(&path)?;
        TokenFile::create(&path)?.write(token)?;
        Ok(true)
    }

    /// Creates the repository's project. Whether it was there already.
    pub(in crate::cli) async fn make_project(
        &self,
        site: &Site<'_>,
        project: &ProjectName,
    ) -> Result<bool, CliError> {
        let mut client = self.operator(site).await?;
        let params = ProjectCreateParams {
            project: project.clone(),
            request_id: None,
        };
        let made: Result<Reply<Empty>, _> = client.call(Operation::ProjectCreate, &params).await;
        client.close().await;
        match made {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == Some(ErrorKind::Conflict) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl Access {
    /// Whether the token of this user opens the project.
    pub(in crate::cli) async fn has_project(&self, site: &Site<'_>, project: &ProjectName) -> bool {
        let Ok(mut client) = self.connect(&self.flags, site).await else {
            return false;
        };
        let list: Result<Reply<ProjectListResult>, _> =
            client.call(Operation::ProjectList, &Empty {}).await;
        client.close().await;
        list.is_ok_and(|list| list.value.projects.contains(project))
    }
}

fn make_folder(file: &Path) -> Result<(), CliError> {
    let Some(folder) = file.parent() else {
        return Ok(());
    };
    let made = std::fs::create_dir_all(folder);
    made.map_err(|error| CliError::input(format!("make {}", folder.display()), error))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn owned(block: &Block) -> Vec<String> {
    let lines = block.lines().unwrap_or_default().into_iter();
    lines.map(str::to_owned).collect()
}
