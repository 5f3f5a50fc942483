//! The settings that secure the metrics port.

use std::path::PathBuf;

use super::files::check_readable;
use super::kinds::Plain;
use super::problem::Misfit;
use super::reader::Reader;
use super::settings::{self, Setting};
use super::web::{WebConfig, WebSettings, WebSource, Written};

/// Where the security is written down, and what it says at this moment.
pub(super) fn read(reader: &mut Reader, needs_tls: bool) -> (WebSource, WebConfig) {
    let file = path(reader, &settings::METRICS_WEB_CONFIG_FILE);
    let names = reader.get(&settings::METRICS_CLIENT_ALLOWED_NAMES);
    let own = WebSettings {
        certificate: path(reader, &settings::METRICS_TLS_CERTIFICATE_FILE),
        key: path(reader, &settings::METRICS_TLS_KEY_FILE),
        client_ca: path(reader, &settings::METRICS_CLIENT_CA_FILE),
        client_allowed_names: names.iter().map(ToString::to_string).collect(),
        users: path(reader, &settings::METRICS_BASIC_AUTH_USERS_FILE),
    };
    let token = reader.optional(&settings::METRICS_TOKEN);
    check(reader, file.is_some(), &own);
    let blamed = match file {
        Some(_) => &settings::METRICS_WEB_CONFIG_FILE,
        None => &settings::METRICS_BASIC_AUTH_USERS_FILE,
    };
    let readable = file
        .as_ref()
        .or(own.users.as_ref())
        .is_none_or(|path| path.exists());
    let source = WebSource {
        written: file.map_or(Written::Settings(own), Written::File),
        token,
        // Whether it has TLS is checked with the other settings.
        needs_tls: false,
    };
    let web = match source.read() {
        Ok(web) => web,
        Err(error) => {
            // A file that is missing has been told already.
            if readable {
                let misfit = Misfit::new(
                    error.to_string(),
                    "correct it; docs/monitoring.md shows one",
                );
                reader.problem(blamed, reader.source(blamed), misfit);
            }
            WebConfig::default()
        }
    };
    let source = WebSource {
        needs_tls,
        ..source
    };
    (source, web)
}

fn path(reader: &mut Reader, setting: &'static Setting<Plain<PathBuf>>) -> Option<PathBuf> {
    let path = reader.optional(setting)?;
    check_readable(reader, setting, &path);
    Some(path)
}

/// A file and settings would say the same twice, and half a setting protects nothing.
fn check(reader: &mut Reader, has_file: bool, own: &WebSettings) {
    let settings = [
        (
            &settings::METRICS_TLS_CERTIFICATE_FILE.spec,
            own.certificate.is_some(),
        ),
        (&settings::METRICS_TLS_KEY_FILE.spec, own.key.is_some()),
        (
            &settings::METRICS_CLIENT_CA_FILE.spec,
            own.client_ca.is_some(),
        ),
        (
            &settings::METRICS_CLIENT_ALLOWED_NAMES.spec,
            !own.client_allowed_names.is_empty(),
        ),
        (
            &settings::METRICS_BASIC_AUTH_USERS_FILE.spec,
            own.users.is_some(),
        ),
    ];
    // What the first of a pair is nothing without.
    let needs = [(0, 1), (1, 0), (2, 0), (3, 2)];
    for (index, (spec, is_set)) in settings.iter().enumerate() {
        if !is_set {
            continue;
        }
        let mut wrong = |what: String, right: &str| {
            reader.problem(spec, reader.source(spec), Misfit::new(what, right));
        };
        if has_file {
            let what = "metrics.web_config_file is set too".to_owned();
            wrong(what, "write it into that file, or leave the file out");
            continue;
        }
        let needed = needs.iter().find(|(of, _)| *of == index);
        if let Some((needed, false)) = needed.map(|(_, needed)| settings[*needed]) {
            wrong(format!("{} is missing", needed.key), "set both, or neither");
        }
    }
}
