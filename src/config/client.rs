//! Where the command line finds its coordinator, and as whom it speaks.

use std::io;
use std::path::{Path, PathBuf};

use super::env::Environment;
use super::files;
use super::fingerprint;
use super::flags::Flags;
use super::host::{Endpoint, Host};
use super::origins::Origins;
use super::places;
use super::problem::{ConfigErrors, Misfit, Warning};
use super::raw;
use super::reader::Reader;
use super::secret::{self, Secret};
use super::server_url::{Fingerprint, ServerUrl, WEBSOCKET_PATH};
use super::settings;
use super::source::Source;
use super::token_form;
use super::variables;
use crate::edge::ports::{PortFingerprint, Profile};
use crate::engine::ids::{ProjectName, SeatName};

/// The file in the state directory that holds the operator's token.
pub const OPERATOR_TOKEN_FILE: &str = "operator.token";

/// Where to connect and as whom.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub url: ServerUrl,
    /// `None`: neither was one given nor is there a local one that may be read.
    pub token: Option<Secret>,
    /// `None`: the one the token is for.
    pub project: Option<ProjectName>,
    /// `None`: the one of the CLI session that the command was started from, if any.
    pub seat: Option<SeatName>,
    pub trust: Trust,
    /// Where the operator's token of a coordinator of this user would be; `None` for one elsewhere.
    pub operator_token: Option<PathBuf>,
    /// The environment this client is meant for; `None` when nobody chose a profile.
    pub environment: Option<Profile>,
    /// The port configuration this client knows; `None` when nobody chose anything of it.
    pub port_fingerprint: Option<PortFingerprint>,
    pub origins: Origins,
    pub warnings: Vec<Warning>,
}

/// Which certificates a coordinator may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those the machine trusts.
    Machine,
    /// Those signed by the authorities in this PEM file.
    Authorities(PathBuf),
    /// This one.
    Fingerprint(Fingerprint),
}

impl ClientConfig {
    /// Asks flags, environment and file, in that order.
    pub fn load(flags: &Flags, environment: &dyn Environment) -> Result<Self, ConfigErrors> {
        Self::loaded(flags, environment, |_| {})
    }

    /// The same where the file of the token may be gone: then it is as if nobody had named it.
    pub fn load_without_token_file(
        flags: &Flags,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigErrors> {
        let of_token = |key: &str| key == settings::CLIENT_TOKEN.key;
        Self::loaded(flags, environment, |reader| {
            reader.forget_problems(of_token);
        })
    }

    fn loaded(
        flags: &Flags,
        environment: &dyn Environment,
        forget: impl FnOnce(&mut Reader),
    ) -> Result<Self, ConfigErrors> {
        let file = places::client_file(flags.config.as_deref(), environment);
        let mut gathered = raw::gather(settings::CLIENT, flags, environment, file.as_deref());
        gathered.warnings.extend(variables::unknown(environment));
        let mut reader = Reader::new(gathered);

        let profile = reader.profile();
        let chosen = reader.given_by(&settings::PROFILE).is_some();
        let has_url = reader.given_by(&settings::CLIENT_URL).is_some();
        let url = url(&mut reader);
        let operator_token = operator_token_file(&mut reader, environment, &url);
        let token = token(&mut reader, environment, operator_token.as_deref());
        let project = reader.optional(&settings::CLIENT_PROJECT);
        let seat = reader.optional(&settings::CLIENT_SEAT);
        let trust = trust(&mut reader);
        check_plaintext(&mut reader, &url);
        forget(&mut reader);

        let (origins, warnings) = reader.finish()?;
        Ok(Self {
            url,
            token,
            project,
            seat,
            trust,
            operator_token,
            environment: chosen.then_some(profile),
            port_fingerprint: fingerprint::chosen_here(flags, has_url, environment),
            origins,
            warnings,
        })
    }
}

impl ClientConfig {
    /// Whether nobody said who to be, so that this acts as the operator of the local state directory.
    pub fn is_operator_by_default(&self) -> bool {
        let source = self.origins.source(&settings::CLIENT_TOKEN);
        self.token.is_some() && matches!(source, Source::File { line: 0, .. })
    }
}

/// Without one: this machine's coordinator, on the port that a coordinator started here would have.
fn url(reader: &mut Reader) -> ServerUrl {
    let port = reader.get(&settings::WEBSOCKET_PORT);
    let local = ServerUrl {
        tls: false,
        endpoint: Endpoint {
            host: Host::LOOPBACK,
            port,
        },
        path: WEBSOCKET_PATH.to_owned(),
    };
    let source = reader.source(&settings::WEBSOCKET_PORT);
    reader.or(&settings::CLIENT_URL, local, source)
}

/// The local operator's token is offered to a coordinator on this machine alone: another one would
/// learn it.
fn operator_token_file(
    reader: &mut Reader,
    environment: &dyn Environment,
    url: &ServerUrl,
) -> Option<PathBuf> {
    let state_dir = places::state_dir(reader, environment);
    let is_local = url.endpoint.host.is_loopback();
    let file = state_dir?.join(OPERATOR_TOKEN_FILE);
    is_local.then_some(file)
}

fn token(
    reader: &mut Reader,
    environment: &dyn Environment,
    operator: Option<&Path>,
) -> Option<Secret> {
    if reader.given_by(&settings::CLIENT_TOKEN).is_some() {
        return reader.optional(&settings::CLIENT_TOKEN);
    }
    if let Some((source, misfit)) = variables::failed_token(environment) {
        reader.problem(&settings::CLIENT_TOKEN, source, misfit);
        return None;
    }
    operator_token(reader, operator?)
}

fn operator_token(reader: &mut Reader, path: &Path) -> Option<Secret> {
    let source = Source::File {
        path: path.to_owned(),
        line: 0,
        key: settings::CLIENT_TOKEN.key.to_owned(),
    };
    let read = secret::read(path).and_then(|file| match token_form::misfit(file.secret.expose()) {
        Some(misfit) => Err(io::Error::other(misfit.what)),
        None => Ok(file),
    });
    match read {
        Ok(file) => {
            if file.world_readable {
                let text = "everybody on this machine can read it; run chmod 600 on it";
                reader.warn(source.clone(), text);
            }
            reader.note(&settings::CLIENT_TOKEN, source, &file.secret);
            Some(file.secret)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let text = format!("cannot read the local operator token: {error}");
            reader.warn(source, text);
            None
        }
    }
}

fn trust(reader: &mut Reader) -> Trust {
    let authorities = reader.optional(&settings::CLIENT_TLS_CA_FILE);
    let fingerprint = reader.optional(&settings::CLIENT_TLS_FINGERPRINT);
    if let Some(path) = &authorities {
        files::check_readable(reader, &settings::CLIENT_TLS_CA_FILE, path);
    }
    match (authorities, fingerprint) {
        (None, None) => Trust::Machine,
        (Some(path), None) => Trust::Authorities(path),
        (None, Some(fingerprint)) => Trust::Fingerprint(fingerprint),
        (Some(_), Some(fingerprint)) => {
            let spec = &settings::CLIENT_TLS_FINGERPRINT;
            let other = reader.source(&settings::CLIENT_TLS_CA_FILE);
            let what = format!("tls_ca_file is also given, by {other}");
            let misfit = Misfit::new(what, "keep one of the two");
            reader.problem(spec, reader.source(spec), misfit);
            Trust::Fingerprint(fingerprint)
        }
    }
}

/// A token that crosses a network readable is everybody's.
fn check_plaintext(reader: &mut Reader, url: &ServerUrl) {
    let allowed = reader.get(&settings::CLIENT_ALLOW_PLAINTEXT);
    if url.tls || allowed || url.endpoint.host.is_loopback() {
        return;
    }
    let spec = &settings::CLIENT_URL;
    let misfit = Misfit::new(
        format!("{url} would send the token over the network unencrypted"),
        "use wss:, or set allow_plaintext = true (COORD_ALLOW_PLAINTEXT=true)",
    );
    reader.problem(spec, reader.source(spec), misfit);
}
