//! TLS, with authorities of the operator's own.

use std::fs;
use std::path::Path;

use cli_coordinator::journal::shared::{Connector, StoreError};

use super::fixture::{connector, project, refused};
use crate::support::redis::Redis;

fn certificate(folder: &Path) -> (String, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let pair = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (folder.join("redis.pem"), folder.join("redis.key"));
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    (certificate.display().to_string(), key.display().to_string())
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_no_other() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (certificate_file, key_file) = certificate(folder.path());
    let (stranger, _) = certificate(other.path());
    let arguments = [
        ["--port", "0"],
        ["--tls-auth-clients", "no"],
        ["--tls-cert-file", &certificate_file],
        ["--tls-key-file", &key_file],
        ["--requirepass", "some-secret"],
    ];
    let redis = Redis::start_on("--tls-port", arguments.as_flattened()).await;
    let url = format!("rediss://:some-secret@127.0.0.1:{}", redis.port());
    let with = |ca_file: &str| connector(&[("REDIS_URL", &url), ("COORD_REDIS_CA_FILE", ca_file)]);
    with(&certificate_file)
        .connect(&project("p"))
        .await
        .unwrap();
    let error = refused(&with(&stranger)).await;
    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    assert!(error.to_string().contains("TLS handshake"), "{error}");
    let plain = url.replace("rediss:", "redis:");
    let error = refused(&connector(&[("REDIS_URL", &plain)])).await;
    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    assert!(!error.to_string().contains("some-secret"), "{error}");
}
