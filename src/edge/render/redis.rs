//! The Redis of a compose file, and where its password is.

use std::path::{Path, PathBuf};

use super::compose::{COMPOSE_UID, FORM, hardening, published};
use super::{RenderError, quote};
use crate::config::{Config, Endpoint, Host};

pub(super) const SECRET: &str = "redis_password";
pub(super) const SERVICE: &str = "redis";
/// Where the password is expected when it was given without a file.
const PASSWORD_FILE: &str = "secrets/redis_password";

/// One that runs beside the coordinator.
pub(super) struct RedisService {
    endpoint: Endpoint,
    published: String,
    user: Option<String>,
}

/// `None` without Redis, and when the configured one runs elsewhere.
pub(super) fn service(
    config: &Config,
    _folder: &Path,
) -> Result<Option<RedisService>, RenderError> {
    let Some(redis) = &config.redis else {
        return Ok(None);
    };
    if !is_beside(&redis.endpoint.host) {
        return Ok(None);
    }
    if redis.tls {
        let what = "redis.tls is on, but the Redis of the compose file has no certificate";
        let next = "set redis.tls to false, because only this deployment can reach its network, or set another \
                    Redis with redis.host";
        return Err(RenderError::new(FORM, what, next));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let user = redis.user.clone().filter(|user| user != "default");
    if let Some(user) = user.as_ref().filter(|user| !user.chars().all(allowed)) {
        let what = format!("redis.user {user:?} is not allowed in Redis' own configuration");
        let next = "use letters, digits and ._- in redis.user";
        return Err(RenderError::new(FORM, what, next));
    }
    // Only this machine has business with it, whatever address the configuration says.
    let endpoint = Endpoint {
        host: Host::LOOPBACK,
        port: redis.endpoint.port,
    };
    Ok(Some(RedisService {
        published: published("redis.host", &endpoint)?,
        endpoint,
        user,
    }))
}

/// The file with the password. The Redis of the compose file always has one.
pub(super) fn password_file(config: &Config, folder: &Path, has_service: bool) -> Option<PathBuf> {
    let redis = config.redis.as_ref()?;
    let file = redis.password.as_ref().map(|secret| secret.file());
    match file {
        Some(Some(file)) => Some(folder.join(file)),
        // Relative to the compose file, as paths in it are.
        Some(None) => Some(Path::new(".").join(PASSWORD_FILE)),
        None => has_service.then(|| Path::new(".").join(PASSWORD_FILE)),
    }
}

/// Whether a host means "started with the coordinator": this machine, or the service's own name.
fn is_beside(host: &Host) -> bool {
    host.is_loopback() || host.is_wildcard() || *host == Host::Name(SERVICE.to_owned())
}

impl RedisService {
    /// The password reaches Redis as a hash in a file that only it can read, in memory: neither
    /// arguments nor variables of the container show it.
    pub(super) fn text(&self) -> String {
        let port = self.endpoint.port;
        let (users, login) = match &self.user {
            Some(user) => (
                format!("user default off\n        user {user} on"),
                format!(" --user {user}"),
            ),
            None => ("user default on".to_owned(), String::new()),
        };
        let test = format!(
            "REDISCLI_AUTH=\"$(cat /run/secrets/{SECRET})\" redis-cli -p {port}{login} ping | grep \
             -qx PONG"
        );
        format!(
            "  {SERVICE}:
    image: \"redis:7-alpine\"
    # The image's own user; its further group is the one that may read the password.
    user: \"999:1000\"
    group_add: [\"{COMPOSE_UID}\"]
    command:
      - sh
      - -euc
      - |
        umask 077
        hash=$$(printf %s \"$$(cat /run/secrets/{SECRET})\" | sha256sum | cut -d ' ' -f 1)
        cat > /run/redis/redis.conf <<END
        port {port}
        dir /data
        appendonly yes
        appendfsync always
        save \"\"
        maxmemory-policy noeviction
        protected-mode no
        {users} #$$hash ~* &* +@all
        END
        exec redis-server /run/redis/redis.conf
    ports:
      - {published} # Redis
    volumes:
      - \"redis-data:/data\"
    tmpfs: [\"/run/redis:mode=0700,uid=999,gid=1000\"]
    secrets: [{SECRET}]
    healthcheck:
      test: [CMD-SHELL, {test}]
      interval: 10s
      timeout: 5s
      retries: 3
      start_period: 10s
{hardening}",
            published = self.published,
            test = quote::compose(&test),
            hardening = hardening(),
        )
    }
}
