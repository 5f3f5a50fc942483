//! Where the command line finds its coordinator, and as whom it speaks.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::checks;
use super::env::Environment;
use super::fingerprint;
use super::host::{Endpoint, Host, split_port};
use super::places;
use super::problem::{ConfigErrors, Misfit, Warning, quoted};
use super::raw::{self, Given, GivenFlags, Origins, Source};
use super::reader::Reader;
use super::secret::{self, Secret};
use super::settings;
use super::token_form;
use super::value;
use super::variables;
use crate::engine::ids::{NameError, ProjectName};
use crate::ports::{Port, PortFingerprint, Profile};

/// Where a coordinator answers WebSocket upgrades.
pub const WEBSOCKET_PATH: &str = "/ws";

/// The file in the state directory that holds the operator's token.
pub const OPERATOR_TOKEN_FILE: &str = "operator.token";

const FINGERPRINT_BYTES: usize = 32;

/// Where to connect and as whom.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub url: ServerUrl,
    /// `None`: neither was one given nor is there a local one that may be read.
    pub token: Option<Secret>,
    /// `None`: the one the token is for.
    pub project: Option<ProjectName>,
    pub trust: Trust,
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

/// The SHA-256 of a certificate; displays as `SHA256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; FINGERPRINT_BYTES]);

/// A `ws:` or `wss:` URL, taken apart. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pub tls: bool,
    pub endpoint: Endpoint,
    /// Begins with `/`.
    pub path: String,
}

/// The client's flags as typed. There is none for the token itself: everybody can read command lines.
#[derive(Debug, Clone, Default)]
pub struct ClientFlags {
    pub config: Option<String>,
    pub profile: Option<String>,
    pub state_dir: Option<String>,
    pub url: Option<String>,
    pub token_file: Option<String>,
    pub project: Option<String>,
    pub allow_plaintext: Option<String>,
    pub tls_ca_file: Option<String>,
    pub tls_fingerprint: Option<String>,
}

impl ClientConfig {
    /// Asks flags, environment and file, in that order.
    pub fn load(flags: &ClientFlags, environment: &dyn Environment) -> Result<Self, ConfigErrors> {
        let file = places::client_file(flags.config.as_deref(), environment);
        let mut gathered = raw::gather(
            &settings::CLIENT,
            flags.given(),
            environment,
            file.as_deref(),
        );
        gathered.warnings.extend(variables::unknown(environment));
        let mut reader = Reader::new(gathered);

        let profile = reader.profile(&settings::PROFILE);
        let chosen = reader.given_by(&settings::PROFILE).is_some();
        let has_url = reader.given_by(&settings::CLIENT_URL).is_some();
        let url = url(&mut reader, profile);
        let token = token(&mut reader, environment, &url);
        let project = reader.optional(&settings::CLIENT_PROJECT, |given| {
            value::text(given)?.parse().map_err(|error: NameError| {
                Misfit::new(error.to_string(), "use the name of a project")
            })
        });
        let trust = trust(&mut reader);
        check_plaintext(&mut reader, &url);

        let (origins, warnings) = reader.finish()?;
        Ok(Self {
            url,
            token,
            project,
            trust,
            environment: chosen.then_some(profile),
            port_fingerprint: fingerprint::chosen_here(
                flags.profile.as_ref(),
                has_url,
                environment,
            ),
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

impl ClientFlags {
    fn given(&self) -> GivenFlags {
        let single = [
            (&settings::PROFILE, &self.profile),
            (&settings::STATE_DIR, &self.state_dir),
            (&settings::CLIENT_URL, &self.url),
            (&settings::CLIENT_TOKEN, &self.token_file),
            (&settings::CLIENT_PROJECT, &self.project),
            (&settings::CLIENT_ALLOW_PLAINTEXT, &self.allow_plaintext),
            (&settings::CLIENT_TLS_CA_FILE, &self.tls_ca_file),
            (&settings::CLIENT_TLS_FINGERPRINT, &self.tls_fingerprint),
        ];
        single
            .into_iter()
            .filter_map(|(spec, value)| Some((spec, Given::Word(value.clone()?))))
            .collect()
    }
}

/// Without one: this machine's coordinator, on the port that a coordinator started here would have.
fn url(reader: &mut Reader, profile: Profile) -> ServerUrl {
    let port = reader.port(&settings::WEBSOCKET_PORT, profile);
    let local = ServerUrl {
        tls: false,
        endpoint: Endpoint {
            host: Host::LOOPBACK,
            port,
        },
        path: WEBSOCKET_PATH.to_owned(),
    };
    let source = reader.source(&settings::WEBSOCKET_PORT);
    reader.or(&settings::CLIENT_URL, local, source, value::parsed)
}

/// The local operator's token is offered to a coordinator on this machine alone: another one would
/// learn it.
fn token(reader: &mut Reader, environment: &dyn Environment, url: &ServerUrl) -> Option<Secret> {
    let state_dir = places::state_dir(reader, environment);
    if reader.given_by(&settings::CLIENT_TOKEN).is_some() {
        return reader.made_token(&settings::CLIENT_TOKEN);
    }
    if let Some((source, misfit)) = variables::failed_token(environment) {
        reader.problem(&settings::CLIENT_TOKEN, source, misfit);
        return None;
    }
    if !url.endpoint.host.is_loopback() {
        return None;
    }
    operator_token(reader, &state_dir?.join(OPERATOR_TOKEN_FILE))
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
            let text = format!("the local operator token cannot be read: {error}");
            reader.warn(source, text);
            None
        }
    }
}

fn trust(reader: &mut Reader) -> Trust {
    let authorities = reader.path(&settings::CLIENT_TLS_CA_FILE);
    let fingerprint: Option<Fingerprint> =
        reader.optional(&settings::CLIENT_TLS_FINGERPRINT, value::parsed);
    if let Some(path) = &authorities {
        checks::readable(reader, &settings::CLIENT_TLS_CA_FILE, path);
    }
    match (authorities, fingerprint) {
        (None, None) => Trust::Machine,
        (Some(path), None) => Trust::Authorities(path),
        (None, Some(fingerprint)) => Trust::Fingerprint(fingerprint),
        (Some(_), Some(fingerprint)) => {
            let spec = &settings::CLIENT_TLS_FINGERPRINT;
            let other = reader.source(&settings::CLIENT_TLS_CA_FILE);
            let what = format!("tls_ca_file is given too, by {other}");
            let misfit = Misfit::new(what, "keep one of the two");
            reader.problem(spec, reader.source(spec), misfit);
            Trust::Fingerprint(fingerprint)
        }
    }
}

/// A token that crosses a network readable is everybody's.
fn check_plaintext(reader: &mut Reader, url: &ServerUrl) {
    let allowed = reader.boolean(&settings::CLIENT_ALLOW_PLAINTEXT);
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

impl FromStr for ServerUrl {
    type Err = Misfit;

    /// Errors repeat of the URL only what cannot be a secret.
    fn from_str(text: &str) -> Result<Self, Misfit> {
        const RIGHT: &str = "write ws://host:port/ws, or wss:// for TLS";
        let wrong = |what: &str| Misfit::new(what, RIGHT);
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("the URL has no scheme"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            "http" => return Err(wrong("the URL's scheme is http, not ws")),
            "https" => return Err(wrong("the URL's scheme is https, not wss")),
            _ => return Err(wrong("the URL's scheme is neither ws nor wss")),
        };
        if rest.contains(['@', '?', '#']) {
            let what = "the URL has more than a host, a port and a path";
            return Err(Misfit::new(
                what,
                format!("{RIGHT}; a token belongs in COORD_TOKEN or COORD_TOKEN_FILE"),
            ));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = split_port(authority);
        let standard_port = if tls { "443" } else { "80" };
        let port: Port = port.unwrap_or(standard_port).parse().map_err(|_| {
            wrong(&format!(
                "{} is not a port",
                quoted(port.unwrap_or_default())
            ))
        })?;
        if path
            .bytes()
            .any(|byte| byte.is_ascii_control() || byte == b' ')
        {
            return Err(wrong("the URL's path has spaces or control characters"));
        }
        let path = if path.is_empty() {
            WEBSOCKET_PATH.to_owned()
        } else {
            format!("/{path}")
        };
        Ok(Self {
            tls,
            endpoint: Endpoint {
                host: host.parse()?,
                port,
            },
            path,
        })
    }
}

impl FromStr for Fingerprint {
    type Err = Misfit;

    /// With or without `SHA256:` before it, with or without colons between the bytes.
    fn from_str(text: &str) -> Result<Self, Misfit> {
        let wrong = || {
            let right = "use 64 hexadecimal digits, as a coordinator shows at its start";
            Misfit::new(format!("{} is no fingerprint", quoted(text)), right)
        };
        let digits: Vec<u8> = text
            .strip_prefix("SHA256:")
            .unwrap_or(text)
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        if digits.len() != 2 * FINGERPRINT_BYTES {
            return Err(wrong());
        }
        Ok(Self(std::array::from_fn(|i| {
            digits[2 * i] << 4 | digits[2 * i + 1]
        })))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHA256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.endpoint, self.path)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
