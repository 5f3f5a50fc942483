//! The environment of a deployment, as blocks of exports and as JSON.
//!
//! A shell that sources it gives `coord serve` the configuration it was made from, but for secrets,
//! which are named with the place they come from.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{heading, quote};
use crate::config::settings::{self, Kind, Spec};
use crate::config::{Config, Secret};
use crate::edge::ports::{Port, Profile, Service};

/// How wide the exports are before their remarks, as in the document that they come from.
const REMARK_COLUMN: usize = 33;

/// One variable and its value.
pub(super) struct Variable {
    pub(super) spec: &'static Spec,
    pub(super) value: String,
}

/// A secret that is not written, and where it comes from.
pub(super) struct KeptSecret {
    /// What it is, for people.
    what: &'static str,
    /// The variable that names a file with it.
    pub(super) variable: String,
    /// The file it was read from, if it was.
    pub(super) file: Option<PathBuf>,
    /// Who gave it.
    pub(super) source: String,
}

/// The exports, as a script for `sh`. Relative paths of flags and variables count from `folder`.
pub fn env(config: &Config, folder: &Path) -> String {
    let mut text = heading("The environment", "env", config);
    for Variable { spec, value } in chosen(config, folder) {
        let export = format!("export {}={}", name(spec), quote::shell(&value));
        let line = match remark(spec, &value, config.profile) {
            Some(remark) => remarked(&export, &remark),
            None => format!("{export}\n"),
        };
        text.push_str(&line);
    }
    if config.redis.is_none() {
        let port = config.profile.port(Service::Redis).to_string();
        let export = format!("# export REDIS_PORT={}", quote::shell(&port));
        text.push_str(&remarked(
            &export,
            "not set: the journal is embedded; this would move it to Redis",
        ));
    }
    for kept in secrets(config, folder) {
        text.push_str(&kept_line(&kept));
    }
    text
}

/// The same for programs: `{"variables": {"REDIS_PORT": "6380", …}, "secrets": {…}}`.
pub fn env_json(config: &Config, folder: &Path) -> Value {
    let variables: serde_json::Map<String, Value> = chosen(config, folder)
        .into_iter()
        .map(|Variable { spec, value }| (name(spec).to_owned(), value.into()))
        .collect();
    let secrets: serde_json::Map<String, Value> = secrets(config, folder)
        .into_iter()
        .map(|kept| {
            let place = json!({ "file": kept.file, "source": kept.source });
            (kept.variable, place)
        })
        .collect();
    json!({ "variables": variables, "secrets": secrets })
}

/// The profile, the ports, and whatever somebody chose; of Redis only when it is used.
pub(super) fn chosen(config: &Config, folder: &Path) -> Vec<Variable> {
    let always = |spec: &Spec| {
        matches!(
            spec.key,
            "profile" | "websocket.port" | "metrics.port" | "redis.host" | "redis.port"
        )
    };
    settings::SERVER
        .iter()
        .filter(|spec| !spec.is_secret())
        .filter(|spec| config.redis.is_some() || !spec.key.starts_with("redis."))
        .filter(|spec| always(spec) || config.origins.source(spec).is_given())
        .filter_map(|spec| {
            let value = typed(config.origins.shown(spec))?;
            let value = match spec.kind {
                Kind::Path => folder.join(value).to_string_lossy().into_owned(),
                _ => value,
            };
            Some(Variable { spec, value })
        })
        .collect()
}

/// The password of Redis (a URL's other parts are variables of their own) and the token of the metrics.
pub(super) fn secrets(config: &Config, folder: &Path) -> Vec<KeptSecret> {
    let redis = config.redis.as_ref();
    let password = redis.and_then(|redis| redis.password.as_ref());
    let kept = |what, spec: &Spec, secret: Option<&Secret>| {
        Some(KeptSecret {
            what,
            variable: format!("{}_FILE", name(spec)),
            file: secret?.file().map(|file| folder.join(file)),
            source: config.origins.source(spec).to_string(),
        })
    };
    let token = config.metrics.web.token.as_ref();
    let all = [
        kept("password of Redis", &settings::REDIS_PASSWORD, password),
        kept("token of the metrics", &settings::METRICS_TOKEN, token),
    ];
    all.into_iter().flatten().collect()
}

/// The variable of a setting.
pub(super) fn name(spec: &Spec) -> &'static str {
    spec.variables
        .first()
        .expect("every setting of a coordinator has a variable")
}

/// A value as it is typed in a variable.
fn typed(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(typed).collect();
            Some(items.join(","))
        }
        other => Some(other.to_string()),
    }
}

/// A known file is named; of what came otherwise only the way in is said.
fn kept_line(kept: &KeptSecret) -> String {
    let variable = &kept.variable;
    match &kept.file {
        Some(file) => {
            let export = format!(
                "export {variable}={}",
                quote::shell(&file.to_string_lossy())
            );
            format!("{export}\n")
        }
        None => format!(
            "# The {} is not written here; it came from {}.\n\
             # Put it into a file of mode 600 and set {variable} to its path.\n",
            kept.what,
            quote::comment(&kept.source)
        ),
    }
}

fn remarked(export: &str, remark: &str) -> String {
    format!("{export:REMARK_COLUMN$} # {remark}\n")
}

/// How far a port is from the usual one, as in the document that the blocks come from.
fn remark(spec: &Spec, value: &str, profile: Profile) -> Option<String> {
    match (spec.kind, value.parse()) {
        (Kind::Port(service), Ok(port)) => Some(of_port(service, port, profile)),
        _ => None,
    }
}

fn of_port(service: Service, port: Port, profile: Profile) -> String {
    let (range, standard) = (profile.ports(service), service.standard_port());
    if !range.contains(port) {
        return format!("{service} (custom; the {profile} profile has {range})");
    }
    if range.count() > 1 {
        return format!("{service} test instances ({range})");
    }
    let above = port.number() - standard.number();
    format!("{service} (default {standard} + {above})")
}
