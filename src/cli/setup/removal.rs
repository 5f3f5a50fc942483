//! `coord setup --remove`.

use std::path::Path;

use super::access::Access;
use super::change::Change;
use super::clone_files;
use super::front::Front;
use super::guard;
use super::report::Report;
use super::site::Site;
use super::store::{Record, Store};
use super::{SetupArgs, Target};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::shell::Shell;

pub(super) fn run(
    args: &SetupArgs,
    site: &Site<'_>,
    store: &Store,
    shell: &mut Shell<'_>,
) -> Result<Exit, CliError> {
    let fronts = match &args.fronts[..] {
        [] => Front::ALL.to_vec(),
        named => named.to_vec(),
    };
    // A configuration that cannot be used must not keep setup from taking its part back.
    let client_file = Access::client_file(shell, site)?;
    let mut report = Report::new(args, store);
    for target in targets(site, &client_file, &fronts, store)? {
        let change = Change::removing(&target, store)?;
        if change.changes() || store.load(&change.real).is_some() {
            report.changes.push(change);
        }
    }
    let guarded = fronts.contains(&Front::Git) && site.clone.is_some();
    if args.dry_run {
        if guarded {
            report.did("would run", "coord guard remove");
        }
        report.show(&mut shell.out)?;
        return Ok(Exit::Ok);
    }
    let frees_user = report.takes_out(&client_file);
    report.carry_out(site.project()?.map(|clone| &*clone.root), store)?;
    if guarded && (args.fronts.contains(&Front::Git) || guard::is_there(site)) {
        guard::remove(site, &mut report)?;
    }
    let token = Access::token_file(site);
    if frees_user && std::fs::remove_file(&token).is_ok() {
        report.did("removed", token.display());
        report.note("the token itself stays valid: `coord token list`, `coord token revoke TOKEN`");
    }
    report.show(&mut shell.out)?;
    Ok(report.exit())
}

/// Files of the fronts; and those that all fronts share, once no other front needs them.
fn targets(
    site: &Site<'_>,
    client_file: &Path,
    fronts: &[Front],
    store: &Store,
) -> Result<Vec<Target>, CliError> {
    let mut targets = Vec::new();
    for front in fronts {
        targets.extend(front.targets(site)?);
    }
    let root = site.project()?.map(|clone| &*clone.root);
    let records = store.records();
    let goes = |record: &Record| fronts.iter().any(|front| record.is_of(*front, root));
    let others = records
        .iter()
        .filter(|record| record.front.is_some() && !goes(record));
    let others: Vec<&Record> = others.collect();
    if let Some(clone) = site.project()? {
        let inside = targets.iter().filter(|target| target.within.is_some());
        let files: Vec<_> = inside.map(|target| &*target.path).collect();
        targets.extend(clone_files::exclude_target(clone, &files));
    }
    if let Some(clone) = &site.clone {
        let is_guarded = !fronts.contains(&Front::Git) && guard::is_there(site);
        // The user's own files count in this repository too.
        let is_of_here = |root: Option<&Path>| root.is_none_or(|root| root == clone.root);
        let mut others = others.iter();
        if !is_guarded && !others.any(|record| is_of_here(record.root.as_deref())) {
            targets.push(clone_files::config_with(clone, Vec::new()));
        }
    }
    if others.is_empty() {
        targets.push(Access::target_with(client_file.to_owned(), Vec::new()));
    }
    // What Codex wrote because setup asked it to.
    let known: Vec<_> = targets
        .iter()
        .map(|target| target.path.canonicalize().ok())
        .collect();
    for record in &records {
        if goes(record) && !known.contains(&Some(record.path.clone())) {
            targets.push(Target::restoring(record.path.clone()));
        }
    }
    Ok(targets)
}
