//! TLS: certificate and key from files, or a self-signed pair made once and kept.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

use super::validity::Validity;
use crate::config::TlsConfig;

/// A certificate ready to serve.
#[derive(Clone)]
pub struct Tls {
    pub acceptor: TlsAcceptor,
    /// SHA-256 of the certificate, as hex: what clients pin.
    pub fingerprint: String,
    /// Where the certificate is.
    pub certificate: PathBuf,
    /// `None` when it cannot be read from the certificate.
    pub validity: Option<Validity>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls {{ certificate: {} }}", self.certificate.display())
    }
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the certificate {path}")]
    Certificate {
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("{path} contains no certificate")]
    NoCertificate { path: PathBuf },
    #[error("cannot read the private key {path}")]
    Key {
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("cannot use the certificate {certificate} with the key {key}")]
    Mismatch {
        certificate: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("cannot create a self-signed certificate")]
    Make(#[source] rcgen::Error),
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Loads what the configuration names. A self-signed pair is made in `state_dir` for `names` when
/// there is none yet.
pub fn load(config: &TlsConfig, state_dir: &Path, names: &[String]) -> Result<Tls, TlsError> {
    match config {
        TlsConfig::Files { certificate, key } => read(certificate, key),
        TlsConfig::SelfSigned => {
            let folder = state_dir.join("tls");
            let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
            if !(certificate.exists() && key.exists()) {
                make(&folder, &certificate, &key, names)?;
            }
            read(&certificate, &key)
        }
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
    let unreadable = |source| TlsError::Certificate {
        path: certificate.into(),
        source,
    };
    let chain: Vec<CertificateDer> = CertificateDer::pem_file_iter(certificate)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    let first = chain.first().ok_or_else(|| TlsError::NoCertificate {
        path: certificate.into(),
    })?;
    let (fingerprint, validity) = (fingerprint(first), Validity::of(first));
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Key {
        path: key.into(),
        source,
    })?;
    let config = server_config(chain, private).map_err(|source| TlsError::Mismatch {
        certificate: certificate.into(),
        key: key.into(),
        source,
    })?;
    Ok(Tls {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        fingerprint,
        certificate: certificate.into(),
        validity,
    })
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The key is written first and the certificate last, so that a crash in between is made good.
fn make(folder: &Path, certificate: &Path, key: &Path, names: &[String]) -> Result<(), TlsError> {
    let (certificate_pem, key_pem) = self_signed(names).map_err(TlsError::Make)?;
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(|source| TlsError::Write {
        path: folder.into(),
        source,
    })?;
    write(key, key_pem.as_bytes())?;
    write(certificate, certificate_pem.as_bytes())
}

/// Valid from 1970 on: a box without a battery may make it before it knows the time, and must be
/// able to use it. Clients pin it; nobody relies on its dates.
fn self_signed(names: &[String]) -> Result<(String, String), rcgen::Error> {
    let mut params = rcgen::CertificateParams::new(names)?;
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn write(path: &Path, text: &[u8]) -> Result<(), TlsError> {
    let failed = |source| TlsError::Write {
        path: path.into(),
        source,
    };
    let temporary = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(failed)?;
    file.write_all(text).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failed)
}

fn fingerprint(certificate: &CertificateDer) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(certificate.as_ref());
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
