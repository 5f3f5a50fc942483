//! TLS: a certificate as a first start makes it, and a handshake between two ends in this process.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsConnector;

use super::{CheckFound, CheckResult};
use crate::config::TlsConfig;
use crate::http::tls;

/// The name that the certificate is made for.
const NAME: &str = "localhost";

const PIPE_BYTES: usize = 16 * 1024;
const SAID: &[u8] = b"coord";

/// 1 January 2026. Whether the clock is right is another check's question.
const NOW: Duration = Duration::from_hours(490_896);

pub(super) async fn check(folder: &Path) -> CheckResult {
    let names = [NAME.to_owned()];
    let offered = tls::load(&TlsConfig::SelfSigned, &folder.join("handshake"), &names)?;
    let connector = TlsConnector::from(Arc::new(trusting(&offered.certificate)?));
    let (near, far) = duplex(PIPE_BYTES);
    let far_end = async {
        let mut stream = offered.acceptor.accept(far).await?;
        let mut heard = [0; SAID.len()];
        stream.read_exact(&mut heard).await?;
        stream.write_all(&heard).await?;
        stream.shutdown().await
    };
    let near_end = async {
        let mut stream = connector.connect(name(), near).await?;
        stream.write_all(SAID).await?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        Ok::<_, std::io::Error>((heard, shown(stream.get_ref().1)))
    };
    let ((), (heard, shown)) = tokio::try_join!(far_end, near_end)?;
    if heard != SAID {
        let next = "send this report to support";
        return Ok(CheckFound::failed(
            "the received data differs from the sent data",
            next,
        ));
    }
    Ok(CheckFound::ok(format!(
        "certificate created, handshake done: {shown}"
    )))
}

/// A client that takes this certificate, of [`NAME`], and no other.
fn trusting(certificate: &Path) -> Result<ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(FixedTime));
    let config = builder
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("it is a name")
}

/// Version and suite of a connection.
fn shown(connection: &rustls::ClientConnection) -> String {
    let version = connection.protocol_version();
    let suite = connection.negotiated_cipher_suite();
    let version = version.and_then(|version| version.as_str());
    let suite = suite.and_then(|suite| suite.suite().as_str());
    format!(
        "{}, {}",
        version.unwrap_or("an unknown version"),
        suite.unwrap_or("an unknown suite")
    )
}

#[derive(Debug)]
struct FixedTime;

impl TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(NOW))
    }
}
