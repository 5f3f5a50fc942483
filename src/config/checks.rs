//! What can only be judged when all values are known: settings that contradict each other, and those
//! that are right but probably not meant.

use std::path::Path;

use super::env::Invoker;
use super::host::{Endpoint, Host};
use super::journal::JournalConfig;
use super::listen::{MetricsConfig, WebSocketConfig};
use super::problem::Misfit;
use super::reader::Reader;
use super::redis::RedisConfig;
use super::settings::{self, ServicePort, Setting, Spec};
use super::source::Source;
use crate::edge::ports::{Port, Service, neighbour, owner};

/// How many segments a snapshot must leave room for: the one being written, and the next.
const SEGMENTS_LIVE_MIN: u64 = 2;

/// How many requests of the largest size a segment must hold, framing and all.
const MESSAGES_PER_SEGMENT_MIN: u64 = 2;

/// A coordinator needs a place for its state; a wrong one has been reported already.
pub(super) fn state_dir(reader: &mut Reader, found: Option<&Path>) {
    let spec = &settings::STATE_DIR;
    if found.is_none() && reader.given_by(spec).is_none() {
        let misfit = Misfit::new(
            "there is no home directory for it",
            "set --state-dir or COORD_STATE_DIR to a folder",
        );
        reader.problem(spec, Source::Default, misfit);
    }
}

/// Off loopback without TLS is refused unless said so explicitly.
pub(super) fn plaintext(reader: &mut Reader, websocket: &WebSocketConfig, metrics: &MetricsConfig) {
    let allowed = reader.get(&settings::ALLOW_PLAINTEXT);
    let host = &websocket.endpoint.host;
    if websocket.tls.is_none() && !allowed && !host.is_loopback() {
        refuse_plaintext(
            reader,
            &settings::WEBSOCKET_HOST,
            host,
            "set websocket.tls = true (WEBSOCKET_SSL_ENABLED=true), or, if a proxy in front encrypts, \
             websocket.allow_plaintext = true (COORD_ALLOW_PLAINTEXT=true)",
        );
    }
    let host = &metrics.endpoint.host;
    if metrics.web.tls.is_none() && !metrics.allow_plaintext && !host.is_loopback() {
        refuse_plaintext(
            reader,
            &settings::METRICS_HOST,
            host,
            "set metrics.tls_certificate_file and metrics.tls_key_file, or metrics.web_config_file; or \
             metrics.allow_plaintext = true (COORD_METRICS_ALLOW_PLAINTEXT=true) if everybody who can reach the \
             port may read the metrics",
        );
    }
}

/// Only what is bound here: a Redis elsewhere may have any port.
pub(super) fn low_ports(
    reader: &mut Reader,
    websocket: &WebSocketConfig,
    metrics: &MetricsConfig,
    invoker: Invoker,
) {
    let ports = [
        (
            &settings::WEBSOCKET_PORT,
            websocket.endpoint.port,
            invoker.bound.websocket,
        ),
        (
            &settings::METRICS_PORT,
            metrics.endpoint.port,
            invoker.bound.metrics,
        ),
    ];
    for (spec, port, is_bound) in ports {
        if is_bound || port.number() >= invoker.port_min {
            continue;
        }
        let misfit = Misfit::new(
            format!(
                "port {port} is below {} and user {} may not bind it",
                invoker.port_min, invoker.uid
            ),
            "use a higher port, let systemd open it (`coord install`), or give the service CAP_NET_BIND_SERVICE",
        );
        reader.problem(spec, reader.source(spec), misfit);
    }
}

/// Two services on one port, even on different addresses, is a mix-up waiting to happen.
pub(super) fn duplicate_ports(
    reader: &mut Reader,
    websocket: &WebSocketConfig,
    metrics: &MetricsConfig,
    redis: Option<&RedisConfig>,
) {
    let services = [
        (&settings::WEBSOCKET_PORT, Some(&websocket.endpoint)),
        (&settings::METRICS_PORT, Some(&metrics.endpoint)),
        (
            &settings::REDIS_PORT,
            redis.map(|redis| &redis.endpoint).filter(|redis| {
                redis.host.is_loopback()
                    || redis.host == websocket.endpoint.host
                    || redis.host == metrics.endpoint.host
            }),
        ),
    ];
    let services: Vec<(&'static Setting<ServicePort>, &Endpoint)> = services
        .into_iter()
        .filter_map(|(spec, endpoint)| Some((spec, endpoint?)))
        .collect();
    for (index, (spec, endpoint)) in services.iter().enumerate() {
        let same = services[..index]
            .iter()
            .find(|(_, other)| other.port == endpoint.port);
        if let Some((other, _)) = same {
            duplicate(reader, spec, other, endpoint.port);
        }
    }
}

/// A port that somebody chose and that is another profile's, or a well-known neighbour's.
pub(super) fn foreign_ports(
    reader: &mut Reader,
    websocket: &WebSocketConfig,
    metrics: &MetricsConfig,
    redis: Option<&RedisConfig>,
) {
    let ports = [
        (&settings::WEBSOCKET_PORT, Some(&websocket.endpoint)),
        (&settings::METRICS_PORT, Some(&metrics.endpoint)),
        // Redis' own port is right for a Redis in a container or elsewhere.
        (
            &settings::REDIS_PORT,
            redis
                .map(|redis| &redis.endpoint)
                .filter(|redis| redis.port != Service::Redis.standard_port()),
        ),
    ];
    let profile = reader.profile();
    for (setting, endpoint) in ports {
        let service = setting.kind.0;
        let source = reader.source(setting);
        let Some(port) = endpoint.map(|endpoint| endpoint.port) else {
            continue;
        };
        if !source.is_given() || profile.ports(service).contains(port) {
            continue;
        }
        if let Some((other, of)) = owner(port) {
            let text =
                format!("port {port} is the {of} port of {other}, but the profile is {profile}");
            reader.warn(source, text);
        } else if let Some(neighbour) = neighbour(port) {
            reader.warn(source, format!("port {port}: {}", neighbour.note));
        }
    }
}

/// Sizes that could not work together.
pub(super) fn sizes(reader: &mut Reader, websocket: &WebSocketConfig, journal: &JournalConfig) {
    let live_min = journal.segment_bytes * SEGMENTS_LIVE_MIN;
    if journal.live_bytes_max < live_min {
        let specs = [
            &settings::JOURNAL_LIVE_BYTES_MAX,
            &settings::JOURNAL_SEGMENT_BYTES,
        ];
        let spec = blamed(reader, specs);
        let misfit = Misfit::new(
            format!(
                "{} live bytes are less than {SEGMENTS_LIVE_MIN} segments of {}",
                journal.live_bytes_max, journal.segment_bytes
            ),
            format!(
                "use a journal.live_bytes_max of at least {live_min}, or a smaller \
                 journal.segment_bytes"
            ),
        );
        reader.problem(spec, reader.source(spec), misfit);
    }
    let segment_min = websocket.message_bytes_max as u64 * MESSAGES_PER_SEGMENT_MIN;
    if journal.segment_bytes < segment_min {
        let specs = [
            &settings::JOURNAL_SEGMENT_BYTES,
            &settings::MESSAGE_BYTES_MAX,
        ];
        let spec = blamed(reader, specs);
        let misfit = Misfit::new(
            format!(
                "a segment of {} bytes cannot hold {MESSAGES_PER_SEGMENT_MIN} requests of {}",
                journal.segment_bytes, websocket.message_bytes_max
            ),
            format!(
                "use a journal.segment_bytes of at least {segment_min}, or a smaller \
                 websocket.message_bytes_max"
            ),
        );
        reader.problem(spec, reader.source(spec), misfit);
    }
}

fn refuse_plaintext(reader: &mut Reader, spec: &Spec, host: &Host, right: &str) {
    let what = format!("{host} is not loopback, and connections would not be encrypted");
    reader.problem(spec, reader.source(spec), Misfit::new(what, right));
}

/// Of two settings that do not go together, the first that somebody chose.
fn blamed<K>(reader: &Reader, specs: [&'static Setting<K>; 2]) -> &'static Setting<K> {
    if reader.source(specs[0]).is_given() || !reader.source(specs[1]).is_given() {
        specs[0]
    } else {
        specs[1]
    }
}

fn duplicate(
    reader: &mut Reader,
    spec: &'static Setting<ServicePort>,
    other: &'static Setting<ServicePort>,
    port: Port,
) {
    let blamed = blamed(reader, [spec, other]);
    let holder = if blamed.key == spec.key { other } else { spec };
    let what = format!(
        "port {port} is already used by {} ({})",
        holder.key,
        reader.source(holder)
    );
    let misfit = Misfit::new(what, "give each service its own port");
    reader.problem(blamed, reader.source(blamed), misfit);
}
