//! The client's file: where the coordinator is, and which file has the token.

use std::path::{Path, PathBuf};

use super::{Access, TokenSource};
use crate::cli::error::CliError;
use crate::cli::setup::site::Site;
use crate::cli::setup::target::{Content, Target};
use crate::cli::setup::text::{Block, Place, toml_fault};
use crate::config::{Source, settings};

const TOKEN_FILE: &str = "token_file";

/// Whether our lines of the client's file name a file of the token that is gone: then setup makes another one.
pub(super) fn names_lost_token(client_file: &Path, token_file: &Path) -> bool {
    let there = std::fs::read(client_file).unwrap_or_default();
    let block = Block::read(&there).ok();
    let lines = block.as_ref().and_then(Block::lines).unwrap_or_default();
    let is_named = lines.contains(&&*token_line(token_file));
    is_named && matches!(token_file.try_exists(), Ok(false))
}

fn token_line(file: &Path) -> String {
    format!(
        "{TOKEN_FILE} = {}",
        toml::Value::from(file.display().to_string())
    )
}

impl Access {
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
        if !has_token && self.lost_token {
            lines.retain(|line| *line != token_line(&Self::token_file(site)));
        }
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
            say(TOKEN_FILE, text.into());
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
}

fn owned(block: &Block) -> Vec<String> {
    let lines = block.lines().unwrap_or_default().into_iter();
    lines.map(str::to_owned).collect()
}
