//! The compose file: the coordinator, and its Redis when one is configured that is not elsewhere.
//!
//! Inside, the coordinator listens on all addresses of its container, since the engine's forwarding
//! does not come from loopback; what is reachable is decided by the addresses on which ports are
//! published, which are those of the configuration: loopback, unless it says otherwise. Every service
//! has the same port inside and outside, so that both sides see one port configuration.

use std::path::{Path, PathBuf};

use super::env::{self, Variable};
use super::redis::{self, RedisService};
use super::{RenderError, heading, push, quote};
use crate::config::{Config, Endpoint, Host, TlsConfig, settings};

/// The user and group that the coordinator runs as; `image/Containerfile` has it too.
pub const COMPOSE_UID: u32 = 65_532;

pub(super) const FORM: &str = "compose file";
/// Where the image keeps its state.
const STATE_DIR: &str = "/var/lib/coord";
/// Where engines put secrets.
const SECRETS: &str = "/run/secrets";
/// A stop lets what is under way end, which takes up to 10 s.
const STOP_GRACE_S: u64 = 20;
const SERVICE: &str = "cli-coordinator";
const METRICS_TOKEN: &str = "metrics_token";

/// What a compose file can be asked for.
#[derive(Debug, Clone, Default)]
pub struct ComposeOptions {
    /// An image that is there already; without it, one is built from `image/Containerfile`.
    pub image: Option<String>,
}

/// A file that is put into containers.
pub(super) struct Mounted {
    pub(super) name: &'static str,
    pub(super) file: PathBuf,
}

/// Relative paths of flags and variables count from `folder`.
pub fn compose(
    config: &Config,
    folder: &Path,
    options: &ComposeOptions,
) -> Result<String, RenderError> {
    let redis = redis::service(config, folder)?;
    let mounted = mounted(config, folder, redis.as_ref());
    let mut text = heading("The compose file", "compose", config);
    text.push_str(&preparation(&mounted));
    push(
        &mut text,
        format_args!("name: \"coord-{}\"\n\nservices:\n", config.profile),
    );
    if let Some(redis) = &redis {
        text.push_str(&redis.text());
        text.push('\n');
    }
    text.push_str(&coordinator(
        config,
        folder,
        options,
        &mounted,
        redis.is_some(),
    )?);
    text.push_str("\nvolumes:\n  coord-state: {}\n");
    if redis.is_some() {
        text.push_str("  redis-data: {}\n");
    }
    if !mounted.is_empty() {
        text.push_str("\nsecrets:\n");
    }
    for Mounted { name, file } in &mounted {
        let file = quote::compose(&file.to_string_lossy());
        push(&mut text, format_args!("  {name}:\n    file: {file}\n"));
    }
    Ok(text)
}

/// What every service has: no way to more rights, no way to write but to its volume, a bounded log.
pub(super) fn hardening() -> &'static str {
    "    restart: unless-stopped\n    read_only: true\n    cap_drop: [ALL]\n    \
     security_opt: [\"no-new-privileges:true\"]\n    logging:\n      driver: json-file\n      \
     options: { max-size: 10m, max-file: \"3\" }\n"
}

/// A port on the address that the configuration names, the same inside and outside.
pub(super) fn published(key: &str, endpoint: &Endpoint) -> Result<String, RenderError> {
    let port = endpoint.port;
    let host = match &endpoint.host {
        Host::Address(_) => endpoint.host.in_url(),
        Host::Name(_) if endpoint.host.is_loopback() => Host::LOOPBACK.in_url(),
        Host::Name(name) => {
            let what =
                format!("{key} is the name {name}, but ports can be published only on addresses");
            let next = format!("set {key} to the address of {name}");
            return Err(RenderError::new(FORM, what, next));
        }
    };
    Ok(quote::yaml(&format!("{host}:{port}:{port}")))
}

/// What must be there before the first start.
fn preparation(mounted: &[Mounted]) -> String {
    let mut text = String::from("# Start it with `docker compose up --detach --wait`.\n");
    if mounted.is_empty() {
        return text;
    }
    push(
        &mut text,
        format_args!(
            "#\n# The files under `secrets:` are mounted as they are. The services' group must be able to \
         read\n# them, and nobody else need to: owner root, group {COMPOSE_UID}, mode 0440.\n"
        ),
    );
    if let Some(password) = mounted.iter().find(|it| it.name == redis::SECRET) {
        let file = quote::shell(&password.file.to_string_lossy());
        push(
            &mut text,
            format_args!(
                "# A new password for Redis:\n#   openssl rand -hex 32 | sudo install -D -m 0440 -g \
             {COMPOSE_UID} /dev/stdin {}\n",
                quote::comment(&file)
            ),
        );
    }
    text
}

fn mounted(config: &Config, folder: &Path, redis: Option<&RedisService>) -> Vec<Mounted> {
    let mut mounted = Vec::new();
    if let Some(file) = redis::password_file(config, folder, redis.is_some()) {
        mounted.push(Mounted {
            name: redis::SECRET,
            file,
        });
    }
    if let Some(token) = &config.metrics.web.token {
        let file = token.file().map(|file| folder.join(file));
        // Relative to the compose file, as paths in it are.
        let file = file.unwrap_or_else(|| Path::new("./secrets").join(METRICS_TOKEN));
        mounted.push(Mounted {
            name: METRICS_TOKEN,
            file,
        });
    }
    if let Some(TlsConfig::Files { certificate, key }) = &config.websocket.tls {
        let files = [("tls_certificate", certificate), ("tls_key", key)];
        mounted.extend(files.map(|(name, file)| Mounted {
            name,
            file: folder.join(file),
        }));
    }
    mounted
}

fn coordinator(
    config: &Config,
    folder: &Path,
    options: &ComposeOptions,
    mounted: &[Mounted],
    has_redis: bool,
) -> Result<String, RenderError> {
    let websocket = published("websocket.host", &config.websocket.endpoint)?;
    let metrics = published("metrics.host", &config.metrics.endpoint)?;
    let mut text = format!("  {SERVICE}:\n{}", image(options)?);
    push(
        &mut text,
        format_args!("    user: \"{COMPOSE_UID}:{COMPOSE_UID}\"\n    environment:\n"),
    );
    for (name, value) in environment(config, folder, mounted, has_redis) {
        push(
            &mut text,
            format_args!("      {name}: {}\n", quote::compose(&value)),
        );
    }
    push(
        &mut text,
        format_args!(
            "    ports:\n      - {websocket} # WebSocket\n      - {metrics} # Prometheus metrics\n    \
         volumes:\n      - \"coord-state:{STATE_DIR}\"\n"
        ),
    );
    if !mounted.is_empty() {
        let names: Vec<&str> = mounted.iter().map(|it| it.name).collect();
        push(
            &mut text,
            format_args!("    secrets: [{}]\n", names.join(", ")),
        );
    }
    if has_redis {
        text.push_str("    depends_on:\n      redis:\n        condition: service_healthy\n");
    }
    push(
        &mut text,
        format_args!(
            "    healthcheck:\n      test: [CMD, /coord, health]\n      interval: 30s\n      \
         timeout: 10s\n      retries: 3\n      start_period: 10s\n    \
         stop_grace_period: {STOP_GRACE_S}s\n"
        ),
    );
    text.push_str(hardening());
    Ok(text)
}

fn image(options: &ComposeOptions) -> Result<String, RenderError> {
    let Some(name) = &options.image else {
        return Ok(format!(
            "    image: \"{SERVICE}:{}\"\n    build:\n      context: .\n      \
             dockerfile: image/Containerfile\n",
            env!("CARGO_PKG_VERSION")
        ));
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if name.is_empty() || !name.chars().all(allowed) {
        let what = format!("{name:?} is not the name of an image");
        let next = "give --image as in registry.example/cli-coordinator:0.1.0";
        return Err(RenderError::new(FORM, what, next));
    }
    Ok(format!("    image: {}\n", quote::yaml(name)))
}

/// What the coordinator is told inside its container: what was chosen outside, and its own places.
fn environment(
    config: &Config,
    folder: &Path,
    mounted: &[Mounted],
    has_redis: bool,
) -> Vec<(&'static str, String)> {
    let own = own(config, mounted, has_redis);
    let is_own = |name: &str| own.iter().any(|(other, _)| *other == name);
    let tls_files = [
        env::name(&settings::TLS_CERTIFICATE_FILE),
        env::name(&settings::TLS_KEY_FILE),
    ];
    let chosen: Vec<_> = env::chosen(config, folder)
        .into_iter()
        .map(|Variable { spec, value }| (env::name(spec), value))
        .filter(|(name, _)| !is_own(name) && !tls_files.contains(name))
        .collect();
    chosen.into_iter().chain(own).collect()
}

fn own(config: &Config, mounted: &[Mounted], has_redis: bool) -> Vec<(&'static str, String)> {
    let all = || "0.0.0.0".to_owned();
    let yes = || "true".to_owned();
    // Other containers of the deployment address it by its service's name.
    let hosts = config
        .websocket
        .allowed_hosts
        .iter()
        .map(ToString::to_string);
    let hosts: Vec<String> = hosts.chain([SERVICE.to_owned()]).collect();
    let mut own = vec![
        (env::name(&settings::STATE_DIR), STATE_DIR.to_owned()),
        (env::name(&settings::NODE_NAME), config.node.to_string()),
        (env::name(&settings::WEBSOCKET_HOST), all()),
        (env::name(&settings::ALLOWED_HOSTS), hosts.join(",")),
        (env::name(&settings::METRICS_HOST), all()),
        (env::name(&settings::METRICS_ALLOW_PLAINTEXT), yes()),
    ];
    if config.websocket.tls.is_none() {
        own.push((env::name(&settings::ALLOW_PLAINTEXT), yes()));
    }
    if has_redis {
        own.push((env::name(&settings::REDIS_HOST), redis::SERVICE.to_owned()));
    }
    own.extend(mounted.iter().map(|it| {
        let variable = match it.name {
            redis::SECRET => "REDIS_PASSWORD_FILE",
            METRICS_TOKEN => "COORD_METRICS_TOKEN_FILE",
            "tls_certificate" => env::name(&settings::TLS_CERTIFICATE_FILE),
            _ => env::name(&settings::TLS_KEY_FILE),
        };
        (variable, format!("{SECRETS}/{}", it.name))
    }));
    own
}
