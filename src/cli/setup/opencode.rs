//! opencode: it has no hooks of commands, so a plugin of ours calls `coord hook`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::entries::Entry;
use super::front::Front;
use super::site::Site;
use super::target::{Content, OWN_FILE, Target};
use super::text::Dialect;
use crate::cli::error::CliError;
use crate::cli::hook;

const FRONT: Front = Front::Opencode;
/// With any plugin, opencode waits at its start until npm has fetched a package into each of its folders. Without
/// network npm would pause for 70 seconds between its attempts; the plugin needs nothing of the package.
const NPM_PAUSES: [&str; 2] = ["fetch-retry-mintimeout=500", "fetch-retry-maxtimeout=2000"];

pub(super) fn targets(site: &Site) -> Result<Vec<Target>, CliError> {
    let clone = site.project()?;
    let of_user = site.config_home().join("opencode");
    let folder = match clone {
        Some(clone) => clone.root.join(".opencode"),
        None => of_user.clone(),
    };
    let within = clone.map(|clone| clone.root.clone());
    let server = json!({ "type": "local", "command": [site.program, "mcp"], "enabled": true });
    let config = Content::Json {
        dialect: Dialect::Comments,
        entries: vec![Entry::server(&["mcp", "coord"], server)],
    };
    let target = |path, content| Target {
        front: Some(FRONT),
        path,
        within: within.clone(),
        content,
    };
    let plugin = folder.join("plugins/coord.js");
    let npm = || Content::Shared(NPM_PAUSES.map(str::to_owned).into());
    let mut targets = vec![
        target(config_file(&folder), config),
        target(plugin, Content::Whole(plugin_text(&site.program))),
        target(folder.join(".npmrc"), npm()),
    ];
    if clone.is_some() {
        // opencode waits for the user's folder too.
        targets.push(Target {
            within: None,
            ..target(of_user.join(".npmrc"), npm())
        });
    }
    Ok(targets)
}

/// The file that is there; JSON with comments may have either name.
fn config_file(folder: &Path) -> PathBuf {
    let names = ["opencode.jsonc", "opencode.json"].map(|name| folder.join(name));
    let there = names.iter().find(|file| file.symlink_metadata().is_ok());
    there.unwrap_or(&names[1]).clone()
}

fn plugin_text(program: &str) -> String {
    format!("{OWN_FILE}\n{}", hook::opencode_plugin(program))
}
