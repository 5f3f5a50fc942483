//! `coord project`.

use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, done};
use super::shell::Shell;
use crate::engine::ids::ProjectName;
use crate::protocol::admin::{ProjectCreateParams, ProjectListResult};
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;

#[derive(Debug, clap::Subcommand)]
pub(super) enum ProjectCommand {
    /// Creates a project
    Create {
        // The flag --project has taken the plain name.
        #[arg(id = "new_project", value_name = "PROJECT")]
        project: ProjectName,
    },
    /// Lists the projects that the token opens
    List,
}

pub(super) async fn run(command: ProjectCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match command {
        ProjectCommand::Create { project } => {
            let params = ProjectCreateParams {
                project: project.clone(),
                request_id: None,
            };
            let made = done::<Empty>(format!("created project {project}"));
            shell.print(Operation::ProjectCreate, &params, made).await?;
        }
        ProjectCommand::List => {
            let show = |out: &mut Output<'_>, list: &ProjectListResult| {
                list.projects.iter().try_for_each(|name| out.line(name))
            };
            shell.print(Operation::ProjectList, &Empty {}, show).await?;
        }
    }
    Ok(Exit::Ok)
}
