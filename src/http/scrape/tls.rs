//! From a described TLS configuration to one that serves.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::names;
use crate::config::web::{ClientAuth, Pem, WebError, WebTls};
use crate::http::Validity;

/// Ready to serve.
pub(super) struct LoadedTls {
    /// As it was described.
    acceptor: TlsAcceptor,
    /// The same without asking for a client's certificate: for this machine's own health check, which has none and
    /// shows the operator's token instead.
    own: TlsAcceptor,
    needs_certificate: bool,
    allowed_names: Option<Vec<String>>,
    pub(super) validity: Option<Validity>,
}

/// Why it cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Read(#[from] WebError),
    #[error("cannot read the {what} in {place}: {source}")]
    Pem {
        what: &'static str,
        place: String,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("{place} contains no certificate")]
    None { place: String },
    #[error("cannot trust the client CA in {place}: {source}")]
    Authority {
        place: String,
        #[source]
        source: rustls::Error,
    },
    #[error("cannot serve TLS with this certificate, key and choice of ciphers: {0}")]
    Serve(#[from] rustls::Error),
    #[error("cannot verify client certificates: {0}")]
    Verify(#[from] rustls::server::VerifierBuilderError),
}

impl LoadedTls {
    pub(super) fn new(tls: &WebTls) -> Result<Self, LoadError> {
        let provider = Arc::new(provider(tls));
        let chain = certificates(&tls.certificate)?;
        let (text, place) = tls.key.text()?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes());
        let what = "private key";
        let key = key.map_err(|source| LoadError::Pem {
            what,
            place,
            source,
        })?;
        let verifier = |strictly: bool| verifier(&tls.client, &provider, strictly);
        let serve = |verifier| {
            let config = server(tls, &provider, verifier, (chain.clone(), key.clone_key()));
            config.map(|config| TlsAcceptor::from(Arc::new(config)))
        };
        let (needs_certificate, allowed_names) = match &tls.client {
            ClientAuth::None | ClientAuth::IfGiven(_) => (false, None),
            ClientAuth::Required { allowed_names, .. } => (true, allowed_names.clone()),
        };
        Ok(Self {
            acceptor: serve(verifier(true)?)?,
            own: serve(verifier(false)?)?,
            needs_certificate,
            allowed_names,
            validity: chain.first().and_then(Validity::of),
        })
    }

    pub(super) fn acceptor(&self, from_this_machine: bool) -> TlsAcceptor {
        let acceptor = if from_this_machine {
            &self.own
        } else {
            &self.acceptor
        };
        acceptor.clone()
    }

    /// Whether the client came without a certificate that it needs; the error is why it may not come at all.
    pub(super) fn lacks_certificate(
        &self,
        connection: &ServerConnection,
    ) -> Result<bool, &'static str> {
        let shown = connection.peer_certificates();
        let Some(leaf) = shown.and_then(<[_]>::first) else {
            return Ok(self.needs_certificate);
        };
        match &self.allowed_names {
            Some(allowed) if !names::of(leaf).iter().any(|name| allowed.contains(name)) => {
                Err("client_name")
            }
            _ => Ok(false),
        }
    }
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let (text, place) = pem.text()?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let what = "certificate";
    let chain = match read {
        Ok(chain) => chain,
        Err(source) => {
            return Err(LoadError::Pem {
                what,
                place,
                source,
            });
        }
    };
    if chain.is_empty() {
        return Err(LoadError::None { place });
    }
    Ok(chain)
}

/// The ciphers and curves that were chosen. Those of TLS 1.3 are not a choice, as in Go.
fn provider(tls: &WebTls) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if let Some(chosen) = &tls.cipher_suites {
        let is_chosen = |suite: &SupportedCipherSuite| {
            matches!(suite, SupportedCipherSuite::Tls13(_)) || chosen.contains(&suite.suite())
        };
        provider.cipher_suites.retain(is_chosen);
    }
    if let Some(chosen) = &tls.curves {
        let all = provider.kx_groups;
        let of = |name| all.iter().copied().find(|group| group.name() == name);
        let groups: Vec<&'static dyn SupportedKxGroup> =
            chosen.iter().filter_map(|name| of(*name)).collect();
        provider.kx_groups = groups;
    }
    provider
}

fn verifier(
    client: &ClientAuth,
    provider: &Arc<CryptoProvider>,
    strictly: bool,
) -> Result<Arc<dyn ClientCertVerifier>, LoadError> {
    let (ca, required) = match client {
        ClientAuth::None => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::IfGiven(ca) => (ca, false),
        ClientAuth::Required { ca, .. } => (ca, strictly),
    };
    let (_, place) = ca.text()?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        let added = roots.add(certificate);
        added.map_err(|source| LoadError::Authority {
            place: place.clone(),
            source,
        })?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    Ok(builder.build()?)
}

fn server(
    tls: &WebTls,
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
    (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
) -> Result<ServerConfig, LoadError> {
    let versions = [
        tls.versions.tls12.then_some(&TLS12),
        tls.versions.tls13.then_some(&TLS13),
    ];
    let versions: Vec<_> = versions.into_iter().flatten().collect();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::{ClientConfig, ProtocolVersion};
    use rustls_pki_types::ServerName;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::config::web::Versions;

    struct Signed {
        certificate: String,
        key: String,
    }

    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        certificate: String,
    }

    impl Authority {
        fn new() -> Self {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().expect("the system has random bytes");
            let certificate = params.self_signed(&key).expect("it can be signed").pem();
            Self {
                issuer: Issuer::new(params, key),
                certificate,
            }
        }

        fn sign(&self, name: &str) -> Signed {
            let params = CertificateParams::new(vec![name.to_owned()]).expect("it is a name");
            let key = KeyPair::generate().expect("the system has random bytes");
            let certificate = params
                .signed_by(&key, &self.issuer)
                .expect("it can be signed");
            Signed {
                certificate: certificate.pem(),
                key: key.serialize_pem(),
            }
        }

        fn server(&self, client: ClientAuth) -> WebTls {
            let Signed { certificate, key } = self.sign("localhost");
            WebTls {
                certificate: Pem::Inline(certificate),
                key: Pem::Inline(key),
                client,
                versions: Versions::ALL,
                cipher_suites: None,
                curves: None,
            }
        }

        fn required(&self, names: Option<&[&str]>) -> ClientAuth {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            ClientAuth::Required {
                ca: Pem::Inline(self.certificate.clone()),
                allowed_names: names.map(owned),
            }
        }

        fn client(&self, shown: Option<&Signed>) -> ClientConfig {
            let mut roots = RootCertStore::empty();
            let own = CertificateDer::from_pem_slice(self.certificate.as_bytes());
            roots
                .add(own.expect("it is PEM"))
                .expect("it is an authority");
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("they fit the provider")
                .with_root_certificates(roots);
            let Some(shown) = shown else {
                return builder.with_no_client_auth();
            };
            let certificate = CertificateDer::from_pem_slice(shown.certificate.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes());
            builder
                .with_client_auth_cert(vec![certificate.expect("PEM")], key.expect("PEM"))
                .expect("the pair fits")
        }
    }

    /// What becomes of a handshake, as the server sees it.
    async fn shake(tls: &WebTls, own: bool, client: ClientConfig) -> String {
        let loaded = LoadedTls::new(tls).expect("it is right");
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from("localhost").expect("a name");
        let connecting = TlsConnector::from(Arc::new(client)).connect(name, theirs);
        let (accepted, _client) = tokio::join!(loaded.acceptor(own).accept(ours), connecting);
        match accepted {
            Err(_) => "refused".to_owned(),
            Ok(stream) => match loaded.lacks_certificate(stream.get_ref().1) {
                Ok(false) => "in".to_owned(),
                Ok(true) => "in, without a certificate".to_owned(),
                Err(reason) => reason.to_owned(),
            },
        }
    }

    #[tokio::test]
    async fn client_certificates_are_asked_for_as_described() {
        let (ca, other) = (Authority::new(), Authority::new());
        let (ana, stranger) = (ca.sign("ana.example"), other.sign("ana.example"));
        let required = ca.server(ca.required(None));
        assert_eq!(shake(&required, false, ca.client(Some(&ana))).await, "in");
        assert_eq!(shake(&required, false, ca.client(None)).await, "refused");
        assert_eq!(
            shake(&required, false, ca.client(Some(&stranger))).await,
            "refused"
        );
        let own = shake(&required, true, ca.client(None)).await;
        assert_eq!(own, "in, without a certificate");
        assert_eq!(
            shake(&required, true, ca.client(Some(&stranger))).await,
            "refused"
        );
        let named = ca.server(ca.required(Some(&["bob.example", "ana.example"])));
        assert_eq!(shake(&named, false, ca.client(Some(&ana))).await, "in");
        let named = ca.server(ca.required(Some(&["bob.example"])));
        assert_eq!(
            shake(&named, false, ca.client(Some(&ana))).await,
            "client_name"
        );
        assert_eq!(
            shake(&named, true, ca.client(Some(&ana))).await,
            "client_name"
        );
        let if_given = ca.server(ClientAuth::IfGiven(Pem::Inline(ca.certificate.clone())));
        assert_eq!(shake(&if_given, false, ca.client(None)).await, "in");
        assert_eq!(
            shake(&if_given, false, ca.client(Some(&stranger))).await,
            "refused"
        );
    }

    #[tokio::test]
    async fn versions_ciphers_and_curves_are_those_that_were_chosen() {
        let ca = Authority::new();
        let mut tls = ca.server(ClientAuth::None);
        tls.versions.tls13 = false;
        let suite = rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
        tls.cipher_suites = Some(vec![suite]);
        tls.curves = Some(vec![rustls::NamedGroup::secp384r1]);
        let loaded = LoadedTls::new(&tls).expect("it is right");
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::new(ca.client(None)));
        let (accepted, client) = tokio::join!(
            loaded.acceptor(false).accept(ours),
            connector.connect(name, theirs)
        );
        let (accepted, _client) = (accepted.expect("it fits"), client.expect("it fits"));
        let connection = accepted.get_ref().1;
        assert_eq!(
            connection.protocol_version(),
            Some(ProtocolVersion::TLSv1_2)
        );
        let used = connection
            .negotiated_cipher_suite()
            .map(|used| used.suite());
        assert_eq!(used, Some(suite));
        let group = connection.negotiated_key_exchange_group();
        let group = group.map(SupportedKxGroup::name);
        assert_eq!(group, Some(rustls::NamedGroup::secp384r1));
    }
}
