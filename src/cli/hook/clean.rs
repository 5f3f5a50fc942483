//! At the end of a turn: files that are again as the last commit has them are free.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::edit::NOTE_BEGINS;
use crate::client::{Client, ClientError};
use crate::engine::ids::{AgentName, Note, TreeName};
use crate::engine::resource::Resource;
use crate::protocol::lease::{
    LeaseListParams, LeaseListResult, LeaseReleaseParams, LeaseReleaseResult,
};
use crate::protocol::operations::Operation;
use crate::protocol::resource::ResourceParam;

/// Files that git is asked about; the others stay until their lease lapses.
const FILES_MAX: usize = 500;
/// How long git may take.
const GIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Variables that would point git at another repository.
const POINTERS: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
];

/// Releases what hooks took for edits of a worktree and git shows no change of.
pub(super) async fn release(
    client: &mut Client,
    agent: &AgentName,
    (root, tree): (&Path, &TreeName),
) -> Result<(), ClientError> {
    let params = LeaseListParams {
        agent: Some(agent.clone()),
        ..LeaseListParams::default()
    };
    let listed: LeaseListResult = client.call(Operation::LeaseList, &params).await?.value;
    let of_edits = listed.leases.iter().filter(|lease| {
        let note = lease.note.as_ref().map(Note::as_str);
        let is_of_edit = note.is_some_and(|note| note.starts_with(NOTE_BEGINS));
        let is_here = lease.tree.as_ref().is_none_or(|its| its == tree);
        lease.agent == *agent && is_of_edit && is_here
    });
    let mut freed: Vec<(Option<TreeName>, Vec<ResourceParam>)> = Vec::new();
    let mut files = Vec::new();
    for lease in of_edits {
        let own: Vec<ResourceParam> = lease
            .resources
            .iter()
            .filter_map(|text| text.to_string().parse().ok())
            .collect();
        files.extend(own.iter().filter_map(file_name));
        freed.push((lease.tree.clone(), own));
    }
    files.truncate(FILES_MAX);
    let Some(changed) = changed(root, &files).await else {
        return Ok(());
    };
    for (tree, mut resources) in freed {
        resources.retain(|resource| {
            let name = file_name(resource);
            name.is_some_and(|name| files.contains(&name) && !is_changed(&name, &changed))
        });
        if resources.is_empty() {
            continue;
        }
        let params = LeaseReleaseParams {
            resources,
            tree,
            ..LeaseReleaseParams::default()
        };
        client
            .call::<LeaseReleaseResult>(Operation::LeaseRelease, &params)
            .await?;
    }
    Ok(())
}

/// Of a repository within this one, git may name only its folder.
fn is_changed(file: &str, changed: &[String]) -> bool {
    changed.iter().any(|name| {
        let rest = file.strip_prefix(name.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn file_name(resource: &ResourceParam) -> Option<String> {
    match &resource.0 {
        Resource::File(file) => Some(file.as_str().to_owned()),
        _ => None,
    }
}

/// Which of these files git shows as changed, new or ignored; `None` if git does not say.
async fn changed(root: &Path, files: &[String]) -> Option<Vec<String>> {
    if files.is_empty() {
        return None;
    }
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(root)
        // Nothing is written, and no command of the configuration runs.
        .args([
            "--no-optional-locks",
            "--literal-pathspecs",
            "-c",
            "core.fsmonitor=false",
        ])
        .args([
            "status",
            "--porcelain",
            "-z",
            "--untracked-files=all",
            "--ignored",
            "--no-renames",
            "--",
        ])
        .args(files)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    for name in POINTERS {
        git.env_remove(name);
    }
    let done = timeout(GIT_TIMEOUT, git.output()).await.ok()?.ok()?;
    let text = done.status.success().then_some(done.stdout)?;
    let entries = text.split(|byte| *byte == 0);
    let names = entries.filter_map(|entry| entry.get(3..));
    Some(
        names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect(),
    )
}
