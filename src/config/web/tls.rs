//! TLS as exporter-toolkit describes it, as far as rustls has it. What it lacks is refused by name.

use rustls::{CipherSuite, NamedGroup};

use super::{Pem, WebError};

/// How the metrics port encrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTls {
    pub certificate: Pem,
    pub key: Pem,
    pub client: ClientAuth,
    pub versions: Versions,
    /// `None`: all. Those of TLS 1.3 cannot be chosen, as in Go.
    pub cipher_suites: Option<Vec<CipherSuite>>,
    /// `None`: all; otherwise in the order of preference.
    pub curves: Option<Vec<NamedGroup>>,
}

/// What is asked of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    IfGiven(Pem),
    Required {
        ca: Pem,
        /// `None`: every certificate that the authorities signed.
        allowed_names: Option<Vec<String>>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub tls12: bool,
    pub tls13: bool,
}

impl Versions {
    pub const ALL: Self = Self {
        tls12: true,
        tls13: true,
    };
}

const SUITES: &[(&str, CipherSuite)] = &[
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_128_GCM_SHA256,
    ),
    (
        "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_AES_256_GCM_SHA384,
    ),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
];

const CURVES: &[(&str, NamedGroup)] = &[
    ("X25519", NamedGroup::X25519),
    ("CurveP256", NamedGroup::secp256r1),
    ("CurveP384", NamedGroup::secp384r1),
];

impl WebTls {
    pub(super) fn new(certificate: Pem, key: Pem, client: ClientAuth) -> Self {
        Self {
            certificate,
            key,
            client,
            versions: Versions::ALL,
            cipher_suites: None,
            curves: None,
        }
    }

    pub(super) fn pems(&self) -> impl Iterator<Item = &Pem> {
        let ca = match &self.client {
            ClientAuth::None => None,
            ClientAuth::IfGiven(ca) | ClientAuth::Required { ca, .. } => Some(ca),
        };
        [&self.certificate, &self.key].into_iter().chain(ca)
    }
}

impl ClientAuth {
    pub(super) fn required(ca: Option<Pem>, allowed_names: &[String]) -> Self {
        let Some(ca) = ca else { return Self::None };
        let names = (!allowed_names.is_empty()).then(|| allowed_names.to_vec());
        Self::Required {
            ca,
            allowed_names: names,
        }
    }

    /// From the words of a web-config file.
    pub(super) fn named(
        word: Option<&str>,
        ca: Option<Pem>,
        allowed_names: Option<Vec<String>>,
    ) -> Result<Self, WebError> {
        let wrong = |what: String| WebError::value("client_auth_type", what);
        let word = word.filter(|word| !word.is_empty());
        let names_need = |auth: Self| {
            if allowed_names.is_none() {
                return Ok(auth);
            }
            let what = "it needs client_auth_type: RequireAndVerifyClientCert";
            Err(WebError::value("client_allowed_sans", what))
        };
        let needs_ca = |ca: Option<Pem>, word: &str| {
            ca.ok_or_else(|| wrong(format!("{word} needs client_ca_file")))
        };
        match word {
            None | Some("NoClientCert") if ca.is_some() => Err(wrong(
                "a client CA is given, but client_auth_type asks for no certificate; write \
                 RequireAndVerifyClientCert"
                    .to_owned(),
            )),
            None | Some("NoClientCert") => names_need(Self::None),
            Some(word @ "VerifyClientCertIfGiven") => {
                names_need(Self::IfGiven(needs_ca(ca, word)?))
            }
            Some(word @ "RequireAndVerifyClientCert") => Ok(Self::Required {
                ca: needs_ca(ca, word)?,
                allowed_names,
            }),
            Some(word @ ("RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert")) => {
                Err(wrong(format!(
                    "{word} verifies nothing, and rustls does not have it; write \
                     RequireAndVerifyClientCert or VerifyClientCertIfGiven"
                )))
            }
            Some(other) => Err(wrong(format!("there is no {other:?}"))),
        }
    }
}

/// The versions from `min` to `max`.
pub(super) fn versions(min: Option<&str>, max: Option<&str>) -> Result<Versions, WebError> {
    let number = |key: &str, word: Option<&str>, default| match word {
        None => Ok(default),
        Some("TLS12") => Ok(12),
        Some("TLS13") => Ok(13),
        Some(old @ ("TLS10" | "TLS11")) => {
            let what = format!("{old} is not safe, and rustls does not have it; write TLS12");
            Err(WebError::value(key, what))
        }
        Some(other) => Err(WebError::value(
            key,
            format!("there is no TLS version {other:?}"),
        )),
    };
    let (min, max) = (
        number("min_version", min, 12)?,
        number("max_version", max, 13)?,
    );
    if min > max {
        let what = "it is above max_version, so no version is left";
        return Err(WebError::value("min_version", what));
    }
    Ok(Versions {
        tls12: min == 12,
        tls13: max == 13,
    })
}

pub(super) fn cipher_suites(names: &[String]) -> Result<Option<Vec<CipherSuite>>, WebError> {
    let known = |name: &String| {
        let found = SUITES.iter().find(|(known, _)| known == name);
        found.map(|(_, suite)| *suite).ok_or_else(|| {
            let what = format!("rustls does not have {name:?}; it has {}", listed(SUITES));
            WebError::value("cipher_suites", what)
        })
    };
    let suites = names.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    Ok((!suites.is_empty()).then_some(suites))
}

pub(super) fn curves(names: &[String]) -> Result<Option<Vec<NamedGroup>>, WebError> {
    let known = |name: &String| {
        let found = CURVES.iter().find(|(known, _)| known == name);
        found.map(|(_, curve)| *curve).ok_or_else(|| {
            let what = format!("rustls does not have {name:?}; it has {}", listed(CURVES));
            WebError::value("curve_preferences", what)
        })
    };
    let curves = names.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    Ok((!curves.is_empty()).then_some(curves))
}

fn listed<T>(table: &[(&str, T)]) -> String {
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}
