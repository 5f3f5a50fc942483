//! Who may read the metrics port, and how it is encrypted: from a web-config file of Prometheus' exporter-toolkit,
//! or from settings of our own. Both give the same [`WebConfig`].
//!
//! Only what is written down is judged here. Whether certificates and keys fit each other is found out where they
//! are loaded, in `http/scrape/`.

mod file;
mod read;
mod tls;
mod users;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use tls::{ClientAuth, Versions, WebTls};
pub use users::{PasswordHash, UsersError};

use super::secret::{self, Secret};
use super::value::TOKEN_CHARS_MIN;
use read::text_of;

/// Where the security of the metrics port is written down. The coordinator reads its files again when they change.
#[derive(Debug, Clone)]
pub struct WebSource {
    pub written: Written,
    /// A bearer token that opens the page.
    pub token: Option<Secret>,
    /// The port is beyond loopback and plain text was not allowed: a file that drops TLS is refused.
    pub needs_tls: bool,
}

/// The place of everything but the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A web-config file.
    File(PathBuf),
    /// Settings of our own; all empty for a port that is open to everybody.
    Settings(WebSettings),
}

/// The settings that say the same as a web-config file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebSettings {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub client_ca: Option<PathBuf>,
    pub client_allowed_names: Vec<String>,
    /// In the form of `htpasswd`.
    pub users: Option<PathBuf>,
}

/// What is meant.
#[derive(Debug, Clone, Default)]
pub struct WebConfig {
    /// `None`: plain text.
    pub tls: Option<WebTls>,
    /// Further headers of every answer.
    pub headers: BTreeMap<String, String>,
    /// Names and their passwords' hashes; empty: no password is asked for.
    pub users: BTreeMap<String, PasswordHash>,
    pub rate: Option<RateLimit>,
    pub token: Option<Secret>,
    /// What works, but not as the file may have meant it.
    pub remarks: Vec<String>,
}

/// One request each `interval`, and `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub interval: Duration,
    pub burst: u32,
}

/// A certificate or a key: in a file, or in the text itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    File(PathBuf),
    Inline(String),
}

/// Why there is no such configuration. It repeats no secret.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error("cannot read {path}: {source}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not a web-config file: {what}")]
    Form { path: PathBuf, what: String },
    #[error("{place}: {what}")]
    Value { place: String, what: String },
    #[error(transparent)]
    Users(#[from] UsersError),
}

impl WebSource {
    /// Reads it, with the files that say who has which password. Certificates are left to the loader.
    pub fn read(&self) -> Result<WebConfig, WebError> {
        let mut config = match &self.written {
            Written::File(path) => file::read(path)?,
            Written::Settings(settings) => settings.read()?,
        };
        if self.needs_tls && config.tls.is_none() {
            let what = "it has no certificate, and plain text beyond loopback is not allowed";
            return Err(WebError::value(self.place(), what));
        }
        config.token = match self.token_file() {
            // It may have changed since the configuration was read.
            Some(path) => Some(read_token(path)?),
            None => self.token.clone(),
        };
        Ok(config)
    }

    /// The files it is written in. Those that it names in turn are [`WebConfig::files`].
    pub fn files(&self) -> Vec<PathBuf> {
        let written = match &self.written {
            Written::File(path) => Some(path),
            Written::Settings(settings) => settings.users.as_ref(),
        };
        let token = self.token_file().map(Path::to_path_buf);
        written.cloned().into_iter().chain(token).collect()
    }

    /// For messages.
    pub fn place(&self) -> String {
        match &self.written {
            Written::File(path) => path.display().to_string(),
            Written::Settings(_) => "the settings of the metrics port".to_owned(),
        }
    }

    fn token_file(&self) -> Option<&Path> {
        self.token.as_ref().and_then(Secret::file)
    }
}

fn read_token(path: &Path) -> Result<Secret, WebError> {
    let read = secret::read(path).map_err(|source| WebError::Read {
        path: path.into(),
        source,
    })?;
    let token = read.secret.without_end();
    if token.expose().len() < TOKEN_CHARS_MIN {
        let what = "the token is too short to be safe";
        return Err(WebError::value(path.display().to_string(), what));
    }
    Ok(token)
}

impl WebSettings {
    fn read(&self) -> Result<WebConfig, WebError> {
        let tls = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let client = self.client_ca.clone().map(Pem::File);
                Some(WebTls::new(
                    Pem::File(certificate.clone()),
                    Pem::File(key.clone()),
                    ClientAuth::required(client, &self.client_allowed_names),
                ))
            }
            _ => None,
        };
        let users = self.users.as_deref().map(users::read_file).transpose()?;
        Ok(WebConfig {
            tls,
            users: users.unwrap_or_default(),
            ..WebConfig::default()
        })
    }
}

impl WebConfig {
    /// Whether a password or a token is asked for.
    pub fn asks(&self) -> bool {
        !self.users.is_empty() || self.token.is_some()
    }

    /// The files with certificates and keys that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        let pems = self.tls.iter().flat_map(WebTls::pems);
        pems.filter_map(Pem::file).map(Path::to_path_buf).collect()
    }
}

impl Pem {
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Inline(_) => None,
        }
    }

    /// The text itself, and what to call it in a message.
    pub fn text(&self) -> Result<(String, String), WebError> {
        match self {
            Self::File(path) => Ok((text_of(path)?, path.display().to_string())),
            Self::Inline(text) => Ok((text.clone(), "the text in the file".to_owned())),
        }
    }
}

impl WebError {
    fn value(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Value {
            place: place.into(),
            what: what.into(),
        }
    }
}

/// An inline key is a secret.
impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "Pem::File({})", path.display()),
            Self::Inline(_) => f.write_str("Pem::Inline"),
        }
    }
}
