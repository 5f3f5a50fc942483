//! The web-config file: YAML with the keys of exporter-toolkit, and no others.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::read::text_of;
use super::tls::{self, ClientAuth, WebTls};
use super::{Pem, RateLimit, WebConfig, WebError, users};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    tls_server_config: Option<TlsPart>,
    http_server_config: Option<HttpPart>,
    rate_limit: Option<RatePart>,
    basic_auth_users: Option<Pairs>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TlsPart {
    cert: Option<String>,
    cert_file: Option<String>,
    key: Option<String>,
    key_file: Option<String>,
    client_ca: Option<String>,
    client_ca_file: Option<String>,
    client_auth_type: Option<String>,
    client_allowed_sans: Option<Vec<String>>,
    min_version: Option<String>,
    max_version: Option<String>,
    cipher_suites: Vec<String>,
    curve_preferences: Vec<String>,
    prefer_server_cipher_suites: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpPart {
    http2: Option<bool>,
    headers: Option<Pairs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RatePart {
    interval: Option<String>,
    burst: Option<u32>,
}

/// Names and texts, each name once.
#[derive(Debug, Default)]
struct Pairs(BTreeMap<String, String>);

/// The headers that may be set, with the values that they may have; any, where none are listed.
const HEADERS: &[(&str, &[&str])] = &[
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

pub(super) fn read(path: &Path) -> Result<WebConfig, WebError> {
    let text = text_of(path)?;
    let file = parse(&text).map_err(|what| WebError::Form {
        path: path.into(),
        what,
    })?;
    file.config(path)
}

/// An empty file is none at all: everything may be left out.
fn parse(text: &str) -> Result<File, String> {
    let file: Option<File> = yaml_serde::from_str(text).map_err(|error| told(&error))?;
    Ok(file.unwrap_or_default())
}

/// What the parser says, unless it repeats a value: that may be a secret.
fn told(error: &yaml_serde::Error) -> String {
    let text = error.to_string();
    if !text.contains("invalid type") && !text.contains("invalid value") {
        return text;
    }
    let place = error.location().map_or_else(String::new, |place| {
        format!(" at line {} column {}", place.line(), place.column())
    });
    format!("a value of the wrong type{place}")
}

impl File {
    fn config(self, path: &Path) -> Result<WebConfig, WebError> {
        let mut remarks = Vec::new();
        let part = self.tls_server_config.unwrap_or_default();
        let tls = if part == TlsPart::default() {
            None
        } else {
            Some(part.tls(path.parent().unwrap_or(Path::new("")))?)
        };
        let http = self.http_server_config.unwrap_or_default();
        if http.http2 == Some(true) {
            remarks.push("http2 is not served; HTTP/1.1 is, which every Prometheus speaks".into());
        }
        let users = self.basic_auth_users.unwrap_or_default().0;
        Ok(WebConfig {
            tls,
            headers: headers(http.headers.unwrap_or_default())?,
            users: users::check(users, path, &mut remarks)?,
            rate: self.rate_limit.unwrap_or_default().limit()?,
            token: None,
            remarks,
        })
    }
}

impl TlsPart {
    /// Relative paths count from the folder of the file.
    fn tls(self, folder: &Path) -> Result<WebTls, WebError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let pem = |file, inline| match (given(file), given(inline)) {
            (Some(file), _) => Some(Pem::File(folder.join(file))),
            (None, inline) => inline.map(Pem::Inline),
        };
        let missing = |one: &str| {
            let what = format!("one of {one} and {one}_file is missing");
            WebError::value("tls_server_config", what)
        };
        let certificate = pem(self.cert_file, self.cert).ok_or_else(|| missing("cert"))?;
        let key = pem(self.key_file, self.key).ok_or_else(|| missing("key"))?;
        let ca = pem(self.client_ca_file, self.client_ca);
        let word = self.client_auth_type.as_deref();
        let client = ClientAuth::named(word, ca, self.client_allowed_sans)?;
        let (min, max) = (self.min_version.as_deref(), self.max_version.as_deref());
        Ok(WebTls {
            versions: tls::versions(min, max)?,
            cipher_suites: tls::cipher_suites(&self.cipher_suites)?,
            curves: tls::curves(&self.curve_preferences)?,
            ..WebTls::new(certificate, key, client)
        })
    }
}

impl RatePart {
    fn limit(self) -> Result<Option<RateLimit>, WebError> {
        let wrong = |what: String| WebError::value("rate_limit", what);
        let interval = match &self.interval {
            None => return Ok(None),
            Some(text) => duration(text).ok_or_else(|| {
                wrong(format!(
                    "{text:?} is not a duration, as in 500ms, 1s or 1m30s"
                ))
            })?,
        };
        match self.burst.unwrap_or(0) {
            _ if interval.is_zero() => Ok(None),
            0 => Err(wrong("burst is 0, so no request would be answered".into())),
            burst => Ok(Some(RateLimit { interval, burst })),
        }
    }
}

fn headers(given: Pairs) -> Result<BTreeMap<String, String>, WebError> {
    for (name, value) in &given.0 {
        let wrong = |what: String| WebError::value("headers", what);
        let known = HEADERS.iter().find(|(known, _)| known == name);
        let (_, values) = known.ok_or_else(|| wrong(format!("{name:?} cannot be set")))?;
        if !values.is_empty() && !values.contains(&value.as_str()) {
            let right = values.join(" or ");
            return Err(wrong(format!("{name} is {value:?}; write {right}")));
        }
        if value.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(wrong(format!("{name} has a control character in it")));
        }
    }
    Ok(given.0)
}

/// A duration as Go writes it: numbers with units, one after the other.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        seconds += number * factor;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names and texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    // The parser would keep the last one, and somebody meant the first.
                    if pairs.contains_key(&name) {
                        return Err(A::Error::custom(format!("{name:?} is there twice")));
                    }
                    pairs.insert(name, text);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}
