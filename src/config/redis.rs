//! Where Redis is and how to get in, from single settings and from a URL.
//!
//! A URL is taken apart, and each part counts as if it had been set where the URL was. A setting from
//! an earlier source goes before its part of the URL; from the same source it must not contradict it.

use std::fmt::Display;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::host::{Endpoint, Host, split_port};
use super::kinds::Read;
use super::problem::Misfit;
use super::reader::Reader;
use super::secret::Secret;
use super::settings::{
    REDIS_CA_FILE, REDIS_CLUSTER, REDIS_DATABASE, REDIS_HOST, REDIS_PASSWORD, REDIS_PORT,
    REDIS_SENTINEL_MASTER, REDIS_SENTINEL_PASSWORD, REDIS_SENTINEL_USER, REDIS_SENTINELS,
    REDIS_TLS, REDIS_URL, REDIS_USER, REDIS_WAIT_MS, REDIS_WAIT_REPLICAS, Setting, Spec,
};
use super::source::Source;
use super::topology::{self, RedisTopology, ReplicaWait};
use crate::edge::ports::{Port, Service};

/// The key that says which environment a Redis is for: a string that names the profile. Absent, the
/// Redis is not stamped yet.
pub const REDIS_ENVIRONMENT_KEY: &str = "coord:environment";

/// A Redis to keep the journal in.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    pub endpoint: Endpoint,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub tls: bool,
    pub database: u16,
    pub topology: RedisTopology,
    /// The authorities to trust instead of the machine's, as PEM; only with TLS.
    pub ca_file: Option<PathBuf>,
    /// What must confirm a write besides the master.
    pub replicas: Option<ReplicaWait>,
}

/// What a URL says; what it leaves out is `None`.
#[derive(Debug)]
struct UrlParts {
    host: Host,
    port: Option<Port>,
    user: Option<String>,
    password: Option<Secret>,
    tls: bool,
    database: Option<u64>,
}

/// `None` unless a host, a port, a URL or Sentinels ask for Redis.
pub(super) fn read(reader: &mut Reader) -> Option<RedisConfig> {
    let asking: [&Spec; 4] = [&REDIS_URL, &REDIS_HOST, &REDIS_PORT, &REDIS_SENTINELS];
    let asked = asking.iter().any(|spec| reader.given_by(spec).is_some());
    let url = url(reader);
    let mut parts = Parts {
        source: reader.source(&REDIS_URL),
        reader,
    };
    let of_url = url.as_ref();
    let host = parts.merge(&REDIS_HOST, of_url.map(|url| url.host.clone()));
    let port = parts.merge(&REDIS_PORT, of_url.and_then(|url| url.port));
    let user = parts.merge(&REDIS_USER, of_url.and_then(|url| url.user.clone()));
    let tls = parts.merge(&REDIS_TLS, of_url.map(|url| url.tls));
    let database = parts.merge(&REDIS_DATABASE, of_url.and_then(|url| url.database));
    let password = parts.password(of_url.and_then(|url| url.password.clone()));
    if !asked {
        idle(reader);
        return None;
    }
    if user.is_some() && password.is_none() {
        user_alone(reader);
    }
    let sentinels = topology::sentinels(reader);
    let endpoint = match &sentinels {
        Some(found) => found.sentinels[0].clone(),
        None => Endpoint {
            port: port.unwrap_or_else(|| default_port(reader)),
            host: host.unwrap_or_else(|| reader.fallback(&REDIS_HOST)),
        },
    };
    let tls = tls.unwrap_or_else(|| reader.fallback(&REDIS_TLS));
    let database = database.unwrap_or_else(|| reader.fallback(&REDIS_DATABASE));
    Some(RedisConfig {
        endpoint,
        user,
        password,
        tls,
        database: u16::try_from(database).expect("a database number is bounded far below a u16"),
        topology: topology::topology(reader, sentinels, database),
        ca_file: topology::ca_file(reader, tls),
        replicas: topology::replicas(reader),
    })
}

/// Merges single settings with the parts of a URL.
struct Parts<'a> {
    reader: &'a mut Reader,
    /// Where the URL came from.
    source: Source,
}

impl Parts<'_> {
    fn merge<K: Read>(
        &mut self,
        spec: &'static Setting<K>,
        of_url: Option<K::Value>,
    ) -> Option<K::Value>
    where
        K::Value: PartialEq + Display,
    {
        let given = self.reader.given_by(spec).cloned();
        let Some(of_url) = of_url else {
            return self.reader.optional(spec);
        };
        match given {
            Some(source) if source.rank() < self.source.rank() => self.reader.optional(spec),
            Some(source) if source.rank() == self.source.rank() => {
                let single = self.reader.optional(spec)?;
                if single != of_url {
                    let what = format!("it is {single}, but {} has {of_url}", self.source);
                    let right = "keep one of the two".to_owned();
                    self.reader.problem(spec, source, Misfit { what, right });
                }
                Some(single)
            }
            _ => {
                self.reader.note(spec, self.source.clone(), &of_url);
                Some(of_url)
            }
        }
    }

    /// As `merge`, but without a word about the values.
    fn password(&mut self, of_url: Option<Secret>) -> Option<Secret> {
        let given = self.reader.given_by(&REDIS_PASSWORD).cloned();
        let single = self.reader.optional(&REDIS_PASSWORD);
        let Some(of_url) = of_url else { return single };
        match given {
            Some(source) if source.rank() < self.source.rank() => single,
            Some(source) if source.rank() == self.source.rank() => {
                let differ = single
                    .as_ref()
                    .is_some_and(|single| single.expose() != of_url.expose());
                if differ {
                    let what = format!("it differs from the password in {}", self.source);
                    let right = "keep one of the two".to_owned();
                    self.reader
                        .problem(&REDIS_PASSWORD, source, Misfit { what, right });
                }
                single
            }
            _ => {
                self.reader
                    .note(&REDIS_PASSWORD, self.source.clone(), &of_url);
                Some(of_url)
            }
        }
    }
}

fn url(reader: &mut Reader) -> Option<UrlParts> {
    let secret = reader.optional(&REDIS_URL)?;
    match parse(secret.expose()) {
        Ok(parts) => Some(parts),
        Err(misfit) => {
            reader.problem(&REDIS_URL, reader.source(&REDIS_URL), misfit);
            None
        }
    }
}

/// A URL without a port means Redis' own, as everywhere; a host without one means the profile's.
fn default_port(reader: &mut Reader) -> Port {
    if reader.given_by(&REDIS_URL).is_none() {
        return reader.fallback(&REDIS_PORT);
    }
    let port = Service::Redis.standard_port();
    reader.note(&REDIS_PORT, Source::Default, &port);
    port
}

/// Redis asks for both or for a password alone.
fn user_alone(reader: &mut Reader) {
    let misfit = Misfit::new("there is a user, but no password", "set redis.password");
    reader.problem(&REDIS_USER, reader.source(&REDIS_USER), misfit);
}

/// Somebody prepared for Redis without asking for it: that is probably not what they think.
fn idle(reader: &mut Reader) {
    let prepared: [&Spec; 11] = [
        &REDIS_PASSWORD,
        &REDIS_USER,
        &REDIS_TLS,
        &REDIS_DATABASE,
        &REDIS_CA_FILE,
        &REDIS_CLUSTER,
        &REDIS_SENTINEL_MASTER,
        &REDIS_SENTINEL_USER,
        &REDIS_SENTINEL_PASSWORD,
        &REDIS_WAIT_REPLICAS,
        &REDIS_WAIT_MS,
    ];
    for spec in prepared {
        if let Some(source) = reader.given_by(spec).cloned() {
            let text = format!(
                "{} has no effect: Redis is used only when redis.url, redis.host, redis.port or redis.sentinels \
                 is set",
                spec.key
            );
            reader.warn(source, text);
        }
    }
}

/// `redis://[[user]:password@]host[:port][/database]`. Errors never repeat the URL.
fn parse(url: &str) -> Result<UrlParts, Misfit> {
    let wrong = |what: &str| {
        let right = "write redis://user:password@host:port/0, or rediss:// for TLS";
        Misfit::new(what, right)
    };
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| wrong("the URL has no scheme"))?;
    let tls = match scheme {
        "redis" => false,
        "rediss" => true,
        _ => return Err(wrong("the URL's scheme is not redis or rediss")),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if rest.contains(['?', '#']) {
        return Err(wrong("the URL has a query or a fragment"));
    }
    let (userinfo, address) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(userinfo, address)| {
            (Some(userinfo), address)
        });
    let (host, port) = split_port(address);
    let decoded = |text: &str| {
        percent_decoded(text)
            .ok_or_else(|| wrong("the URL's user or password has invalid percent-encoding"))
    };
    let (user, password) = match userinfo.map(|info| info.split_once(':')) {
        Some(Some((user, password))) => (decoded(user)?, decoded(password)?),
        // Which of the two it is cannot be told, and a user would be shown.
        Some(None) => {
            return Err(wrong(
                "the URL has one word before the @: write :password@ for a password, user:@ for a user",
            ));
        }
        None => Default::default(),
    };
    Ok(UrlParts {
        host: host
            .parse()
            .map_err(|_| wrong("the URL's host is not a host"))?,
        port: port
            .map(str::parse)
            .transpose()
            .map_err(|_| wrong("the URL's port is not a port"))?,
        user: Some(user).filter(|user| !user.is_empty()),
        password: Some(password)
            .filter(|password| !password.is_empty())
            .map(Secret::new),
        tls,
        database: database(path).map_err(|()| wrong("the URL's path is not a database number"))?,
    })
}

fn database(path: &str) -> Result<Option<u64>, ()> {
    if path.is_empty() {
        return Ok(None);
    }
    let number = path.parse().map_err(|_| ())?;
    (number <= REDIS_DATABASE.kind.max)
        .then_some(Some(number))
        .ok_or(())
}

/// The library would keep a `%` without two hexadecimal digits as it stands; here it is a mistake.
fn percent_decoded(text: &str) -> Option<String> {
    let is_byte = |rest: &str| {
        let digits = rest.bytes().take(2).filter(u8::is_ascii_hexdigit);
        digits.count() == 2
    };
    if !text.split('%').skip(1).all(is_byte) {
        return None;
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}
