//! Where the metrics are written to, as whom, and how often.

use std::path::PathBuf;

use serde::Serialize;

use super::files::check_readable;
use super::kinds::Plain;
use super::problem::Misfit;
use super::push_values::{PushHeader, PushLabel, PushUrl};
use super::reader::Reader;
use super::secret::Secret;
use super::settings::{self, Setting, Spec};
use super::source::Source;

const HEADERS_MAX: usize = 16;
const LABELS_MAX: usize = 32;

#[derive(Debug, Clone)]
pub struct PushConfig {
    pub url: PushUrl,
    pub protocol: PushProtocol,
    pub interval_ms: u64,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub token: Option<Secret>,
    pub ca_file: Option<PathBuf>,
    /// Certificate and key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    pub headers: Vec<PushHeader>,
    pub labels: Vec<PushLabel>,
    pub max_age_ms: u64,
    pub max_bytes: u64,
    pub catch_up_per_second: u64,
}

/// A version of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum PushProtocol {
    #[serde(rename = "1.0")]
    V1,
    #[serde(rename = "2.0")]
    V2,
}

impl PushProtocol {
    pub(super) const WORDS: [&'static str; 2] = ["1.0", "2.0"];
    pub(super) const ALL: [Self; 2] = [Self::V1, Self::V2];
}

impl PushConfig {
    /// `None` without a URL.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let allow_plaintext = reader.get(&settings::PUSH_ALLOW_PLAINTEXT);
        let url = reader.optional(&settings::PUSH_URL);
        let config = Self {
            protocol: reader.get(&settings::PUSH_PROTOCOL),
            interval_ms: reader.get(&settings::PUSH_INTERVAL_MS),
            user: reader.optional(&settings::PUSH_USER),
            password: reader.optional(&settings::PUSH_PASSWORD),
            token: reader.optional(&settings::PUSH_TOKEN),
            ca_file: path(reader, &settings::PUSH_CA_FILE),
            client_certificate: client_certificate(reader),
            headers: reader.get(&settings::PUSH_HEADERS),
            labels: reader.get(&settings::PUSH_LABELS),
            max_age_ms: reader.get(&settings::PUSH_MAX_AGE_MS),
            max_bytes: reader.get(&settings::PUSH_MAX_BYTES),
            catch_up_per_second: reader.get(&settings::PUSH_CATCH_UP_PER_SECOND),
            // Last, so that all others are read without it too.
            url: url?,
        };
        config.check(reader, allow_plaintext);
        Some(config)
    }

    fn check(&self, reader: &mut Reader, allow_plaintext: bool) {
        let mut wrong = |spec: &'static Spec, what: &str, right: &str| {
            reader.problem(spec, reader.source(spec), Misfit::new(what, right));
        };
        if !self.url.tls && !allow_plaintext && !self.url.endpoint.host.is_loopback() {
            let what = "the receiver is not on loopback, and the connection would not be encrypted";
            let right =
                "use https:, or set push.allow_plaintext = true (COORD_PUSH_ALLOW_PLAINTEXT=true)";
            wrong(&settings::PUSH_URL, what, right);
        }
        if self.user.is_some() && self.token.is_some() {
            wrong(
                &settings::PUSH_TOKEN,
                "push.user is set too",
                "keep one of the two",
            );
        }
        if self.password.is_some() && self.user.is_none() {
            wrong(
                &settings::PUSH_PASSWORD,
                "there is no user",
                "set push.user",
            );
        }
        if self.headers.len() > HEADERS_MAX {
            let what = format!("there are more than {HEADERS_MAX}");
            wrong(&settings::PUSH_HEADERS, &what, "leave some out");
        }
        if self.labels.len() > LABELS_MAX {
            let what = format!("there are more than {LABELS_MAX}");
            wrong(&settings::PUSH_LABELS, &what, "leave some out");
        }
    }
}

fn client_certificate(reader: &mut Reader) -> Option<(PathBuf, PathBuf)> {
    let certificate = path(reader, &settings::PUSH_CERTIFICATE_FILE);
    let key = path(reader, &settings::PUSH_KEY_FILE);
    let alone: Option<(&'static Spec, &str)> = match (&certificate, &key) {
        (Some(_), None) => Some((&settings::PUSH_CERTIFICATE_FILE, "push.key_file is missing")),
        (None, Some(_)) => Some((&settings::PUSH_KEY_FILE, "push.certificate_file is missing")),
        _ => None,
    };
    if let Some((spec, what)) = alone {
        reader.problem(
            spec,
            reader.source(spec),
            Misfit::new(what, "set both, or neither"),
        );
    }
    certificate.zip(key)
}

/// Settings of the section are checked without a URL too, and then have no effect.
pub(super) fn read(reader: &mut Reader) -> Option<PushConfig> {
    let config = PushConfig::read(reader);
    if config.is_none() && reader.given_by(&settings::PUSH_URL).is_none() {
        idle(reader);
    }
    config
}

fn path(reader: &mut Reader, setting: &'static Setting<Plain<PathBuf>>) -> Option<PathBuf> {
    let path = reader.optional(setting)?;
    check_readable(reader, setting, &path);
    Some(path)
}

/// Somebody prepared for a receiver without naming it.
fn idle(reader: &mut Reader) {
    let specs = settings::SERVER
        .iter()
        .filter(|spec| spec.key.starts_with("push."));
    for spec in specs {
        // A credential may lie ready for a box that does not push yet.
        let source = reader.given_by(spec).cloned();
        if let Some(source) = source.filter(|source| !matches!(source, Source::Credential { .. })) {
            let text = format!(
                "{} has no effect: nothing is pushed unless push.url is set",
                spec.key
            );
            reader.warn(source, text);
        }
    }
}
