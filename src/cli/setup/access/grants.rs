//! What setup makes at the coordinator: a token for the user, and the repository's project.

use std::path::Path;

use super::Access;
use crate::cli::error::CliError;
use crate::cli::setup::site::Site;
use crate::cli::token::TokenFile;
use crate::client::Reply;
use crate::config::Secret;
use crate::engine::ids::ProjectName;
use crate::protocol::admin::{
    ProjectCreateParams, ProjectListResult, RoleParam, TokenCreateParams, TokenCreateResult,
};
use crate::protocol::error::ErrorKind;
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;

impl Access {
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
