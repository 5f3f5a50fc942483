//! Secrets: random, shown once, stored only as a hash.

use sha2::{Digest, Sha256};

/// A source of random bytes, which tests can replace.
pub struct Entropy(pub Box<dyn FnMut() -> [u8; 32] + Send>);

impl Entropy {
    /// 256 random bits as text.
    pub(super) fn secret(&mut self, prefix: &str) -> IssuedSecret {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode((self.0)());
        IssuedSecret(format!("{prefix}{text}"))
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

/// A secret in plain text, only for its owner.
pub(super) struct IssuedSecret(pub(super) String);

impl std::fmt::Debug for IssuedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IssuedSecret")
    }
}

/// The stored hash of a secret.
pub fn secret_hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
