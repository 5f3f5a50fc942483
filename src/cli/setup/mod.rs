//! `coord setup`: makes agents' CLIs use the coordinator, and takes that back.
//!
//! Everything is read and worked out before anything is written, so that a broken file stops setup before it
//! changed another one. Files are edited in place ([`text`]), and what they were like is kept ([`store`]).

mod access;
mod change;
mod claude;
mod clone_files;
mod codex;
mod codex_trust;
mod entries;
mod front;
mod gemini;
mod guard;
mod opencode;
mod place;
mod program;
mod question;
mod removal;
mod report;
mod site;
mod slug;
mod store;
mod target;
mod text;

use super::error::CliError;
use super::exit::Exit;
use super::install;
use super::output::Output;
use super::shell::Shell;
use crate::client::ClientError;
use crate::engine::ids::ProjectName;
use access::TokenSource;
use change::Change;
use report::Report;
use store::Store;

pub(super) use access::Access;
pub(super) use codex::VARIABLES as CODEX_VARIABLES;
pub(super) use codex_trust::{HookTrust, hooks_of};
pub(super) use entries::Entry;
pub(super) use front::Front;
pub(super) use guard::is_there as is_guarded;
pub(super) use place::find as find_file;
pub(super) use program::{hook, is_hook};
pub(super) use site::Site;
pub(super) use target::{Content, Target};

/// The arguments of `coord setup`.
#[derive(Debug, Clone, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are flags, each asked for by itself"
)]
pub(super) struct SetupArgs {
    /// What to set up; without a name, setup asks for each of those that are installed
    #[arg(value_name = "WHAT")]
    fronts: Vec<Front>,
    /// Change the files of the user, which count in all repositories, not those of this repository
    #[arg(long)]
    user: bool,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take everything out again; files that nobody changed since are as they were, byte for byte
    #[arg(long)]
    remove: bool,
    /// Refuse edits while the coordinator is away, where the CLI can
    #[arg(long, conflicts_with = "remove")]
    strict: bool,
    /// Tell Codex to trust our hooks, which it skips otherwise until the user does so in its window
    #[arg(long, conflicts_with = "remove")]
    trust_hooks: bool,
}

pub(super) async fn run(args: &SetupArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let mut site = Site::find(shell.environment, args.user, args.strict)?;
    let store = Store::new(site.backups());
    if args.remove {
        return removal::run(args, &site, &store, shell);
    }
    let fronts = question::fronts(args, &site, &shell.out)?;
    if let Some(clone) = &site.clone {
        // Strictness is a policy of the repository; another run without the flag does not end it.
        site.strict |= clone_files::is_strict(clone);
    }
    let access = Access::find(shell, &site)?;
    let project = match &site.clone {
        Some(clone) => Some(clone_files::project(
            clone,
            shell.connection.project.as_deref(),
        )?),
        None => None,
    };
    let mut report = Report::new(args, &store);
    for target in targets(&site, &fronts, project.as_ref())? {
        report.changes.push(Change::putting(&target, &store)?);
    }
    // The file of the client is written last, because it names the token; a fault in it must show now.
    let client = client_change(&access, &site, true, &store)?;
    if args.dry_run {
        report.changes.extend(client);
        report.would(&access, &site, &fronts, project.as_ref());
        report.show(&mut shell.out)?;
        return Ok(Exit::Ok);
    }
    reach(&access, &site, project.as_ref(), &mut report, &shell.out).await?;
    let has_token = Access::token_file(&site).exists();
    report
        .changes
        .extend(client_change(&access, &site, has_token, &store)?);
    report.carry_out(site.project()?.map(|clone| &*clone.root), &store)?;
    if fronts.contains(&Front::Git) {
        guard::install(&site, &mut report)?;
    }
    if fronts.contains(&Front::Codex) {
        codex_trust::after_setup(args, &site, &store, &mut report).await;
    }
    if !site.of_user {
        for front in &fronts {
            report.note_all(front.trusts());
        }
    }
    report.show(&mut shell.out)?;
    Ok(report.exit())
}

fn client_change(
    access: &Access,
    site: &Site<'_>,
    has_token: bool,
    store: &Store,
) -> Result<Option<Change>, CliError> {
    let target = access.client_target(site, has_token)?;
    target
        .map(|target| Change::putting(&target, store))
        .transpose()
}

/// The files to write: those of the CLIs, and then what all of them need in the clone.
fn targets(
    site: &Site<'_>,
    fronts: &[Front],
    project: Option<&ProjectName>,
) -> Result<Vec<Target>, CliError> {
    let mut targets = Vec::new();
    for front in fronts {
        targets.extend(front.targets(site)?);
    }
    if let Some(clone) = site.project()? {
        let inside = targets.iter().filter(|target| target.within.is_some());
        let files: Vec<_> = inside.map(|target| &*target.path).collect();
        targets.extend(clone_files::exclude_target(clone, &files));
    }
    if let (Some(clone), Some(project)) = (&site.clone, project) {
        targets.extend(clone_files::config_target(site, clone, project));
    }
    Ok(targets)
}

/// Gives the user a token, and the repository a project. What only an operator can do is left to be done.
async fn reach(
    access: &Access,
    site: &Site<'_>,
    project: Option<&ProjectName>,
    report: &mut Report,
    out: &Output<'_>,
) -> Result<(), CliError> {
    let source = access.token_source();
    if source == TokenSource::Variable && !access.keep_token(site)? {
        let file = Access::token_file(site);
        let what = format!(
            "{} has another token than COORD_TOKEN; remove the file to use the variable's",
            file.display()
        );
        report.left(Exit::Denied, what);
    }
    if let Err(error) = access.reach().await {
        if !matches!(error, ClientError::Connect { .. }) {
            return Err(error.into());
        }
        if !question::starts_coordinator(access, site, out)? {
            report.unreachable(access, &error);
            return Ok(());
        }
        install::start_for_user(site.environment)?;
        question::until_reached(access).await?;
    }
    // The operator's token may be there only since the coordinator was started.
    let is_lacking = matches!(source, TokenSource::Operator | TokenSource::None);
    if is_lacking && !Access::token_file(site).exists() {
        if access.has_operator() {
            access.make_token(site).await?;
            report.did("created a token with seats for", Access::agent(site));
        } else {
            let command = Access::token_command(site);
            report.left(Exit::Denied, format!("the operator runs `{command}`"));
        }
    }
    if let Some(project) = project {
        match access.make_project(site, project).await {
            Ok(true) => {}
            Ok(false) => report.did("created project", project),
            Err(CliError::Client(error)) if error.exit() == Exit::Denied => {
                let command = format!("the operator runs `coord project create {project}`");
                // Somebody may have done so, which only the project's own list tells.
                if !access.has_project(site, project).await {
                    report.left(Exit::Denied, command);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
