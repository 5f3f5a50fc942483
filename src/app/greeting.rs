//! The greeting of a start for the person at the terminal.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::operator::Operator;
use crate::build_info::VERSION;
use crate::config::{ClientConfig, Config, Environment, Flags, Host, MapEnvironment, Secret};

fn journal_of(config: &Config) -> String {
    match &config.redis {
        Some(redis) => format!("journal shared in Redis at {}", redis.endpoint),
        None => "embedded journal".to_owned(),
    }
}

/// One line each: the version, the addresses, the state directory, and the next step.
pub(super) fn greet(
    config: &Config,
    fingerprint: Option<&str>,
    operator: &Operator,
    elsewhere: &dyn Environment,
    out: &mut dyn Write,
) {
    let url = url(config);
    let token = operator.token_file.as_ref().map_or_else(
        || "operator token as configured".to_owned(),
        |file| format!("operator token in {}", file.display()),
    );
    let scrape = &config.metrics.endpoint;
    let mut lines = vec![
        format!(
            "coord {VERSION}, {} profile, {}",
            config.profile.name(),
            journal_of(config)
        ),
        format!("agents   {url}"),
        format!(
            "metrics  {}://{}:{}{}",
            config.metrics.scheme(),
            scrape.host.in_url(),
            scrape.port,
            config.metrics.path.as_str()
        ),
        format!("state    {}", config.state_dir.display()),
        token,
    ];
    lines.extend(fingerprint.map(|hex| format!("certificate SHA-256 {hex}")));
    let words = words_of_client(config, fingerprint, operator, elsewhere);
    lines.push(format!(
        "first agent: coord {words}token create alice --out alice.token"
    ));
    for line in lines {
        // The terminal may be closed already; that is no reason to stop.
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
    tracing::info!(url, "serving");
}

/// The environment of the same user in a terminal without settings for the coordinator.
pub(super) fn another_terminal(environment: &dyn Environment) -> MapEnvironment {
    let names = ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"];
    let kept = names.into_iter().filter_map(|name| {
        let text = environment.variable(name).ok().flatten()?;
        Some((name.to_owned(), text))
    });
    MapEnvironment {
        variables: kept.collect(),
        ..MapEnvironment::default()
    }
}

/// The flags that a client there needs to find this coordinator and act as its operator.
fn words_of_client(
    config: &Config,
    fingerprint: Option<&str>,
    operator: &Operator,
    elsewhere: &dyn Environment,
) -> String {
    let mut config = config.clone();
    if let Host::Address(address) = &mut config.websocket.endpoint.host
        && address.is_unspecified()
    {
        *address = match address {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
    }
    let url = url(&config);
    let found = ClientConfig::load(&Flags::default(), elsewhere).ok();
    let finds = |client: &ClientConfig| client.url.to_string() == url;
    let address = (!found.as_ref().is_some_and(finds)).then(|| format!("--url {url} "));
    let trust = fingerprint.map(|hex| format!("--tls-fingerprint {hex} "));
    let token = found.and_then(|client| client.token);
    let known = token.as_ref().and_then(Secret::file);
    let file = operator.token_file.as_deref();
    let file = file.filter(|file| known != Some(*file));
    let token = file.map(|file| format!("--token-file {} ", file.display()));
    [address, trust, token].into_iter().flatten().collect()
}

pub(super) fn url(config: &Config) -> String {
    let scheme = if config.websocket.tls.is_some() {
        "wss"
    } else {
        "ws"
    };
    let endpoint = &config.websocket.endpoint;
    format!("{scheme}://{}:{}/ws", endpoint.host.in_url(), endpoint.port)
}
