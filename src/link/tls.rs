//! TLS towards a server: by the machine's authorities, by given ones, or by one pinned certificate.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use crate::config::{Fingerprint, Trust};

/// What a TLS connection is made with.
pub fn config(trust: &Trust) -> io::Result<ClientConfig> {
    config_with(trust, None)
}

/// The same for a server that asks for a certificate: the files of certificate and key.
pub fn config_with(trust: &Trust, client: Option<(&Path, &Path)>) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = match trust {
        Trust::Fingerprint(fingerprint) => {
            let pinned = Pinned {
                fingerprint: *fingerprint,
                provider,
            };
            let builder = builder.dangerous();
            builder.with_custom_certificate_verifier(Arc::new(pinned))
        }
        Trust::Authorities(path) => builder.with_root_certificates(authorities(path)?),
        Trust::Machine => builder.with_root_certificates(of_machine()?),
    };
    let Some((certificate, key)) = client else {
        return Ok(config.with_no_client_auth());
    };
    let chain = certificates(certificate)?;
    let of_key = |error: String| io::Error::other(format!("{}: {error}", key.display()));
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| of_key(error.to_string()))?;
    config
        .with_client_auth_cert(chain, key)
        .map_err(|error| of_key(error.to_string()))
}

/// The fingerprint of the first certificate in a PEM file.
pub fn fingerprint_of(path: &Path) -> Result<Fingerprint, pem::Error> {
    CertificateDer::from_pem_file(path).map(|certificate| fingerprint(&certificate))
}

/// The fingerprint of the first certificate in PEM.
pub fn fingerprint_in(pem: &str) -> Result<Fingerprint, pem::Error> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map(|certificate| fingerprint(&certificate))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    Fingerprint(Sha256::digest(certificate).into())
}

fn authorities(path: &Path) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = store.add(certificate);
        added.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let in_file = |error: String| io::Error::other(format!("{}: {error}", path.display()));
    let found = CertificateDer::pem_file_iter(path).map_err(|e| in_file(e.to_string()))?;
    let found = found.collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|e| in_file(e.to_string()))?;
    if found.is_empty() {
        return Err(in_file("it contains no certificate".to_owned()));
    }
    Ok(found)
}

/// Some of a machine's certificates are often unreadable or odd; only none at all is a problem.
fn of_machine() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        return Err(io::Error::other("this machine has no trusted certificates"));
    }
    Ok(store)
}

/// Accepts one certificate, whoever signed it, for whatever name. Its key must still sign the
/// handshake.
#[derive(Debug)]
struct Pinned {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = fingerprint(end_entity);
        if shown == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        let pinned = self.fingerprint;
        let text = format!("its certificate is {shown}, not {pinned}");
        Err(rustls::Error::General(text))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
