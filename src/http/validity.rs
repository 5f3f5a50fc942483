//! From when to when a certificate is valid, by the reading of those who will check it.

use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, Error, KeyUsage};

/// From when to when a certificate is valid, in seconds since 1970, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before_s: u64,
    pub not_after_s: u64,
}

impl Validity {
    /// `None` for a certificate that TLS clients could not read either.
    ///
    /// The library checks the time before anything else, and says which bound was missed.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let missed_at = |seconds| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            let usage = KeyUsage::server_auth();
            let checked = certificate.verify_for_usage(&[], &[], &[], time, usage, None, None);
            checked.err()
        };
        let not_before_s = match missed_at(0)? {
            Error::CertNotValidYet { not_before, .. } => not_before.as_secs(),
            Error::BadDer | Error::BadDerTime | Error::InvalidCertValidity => return None,
            // Valid since 1970: something else is missing then, at least somebody to trust.
            _ => 0,
        };
        let not_after_s = match missed_at(u64::MAX)? {
            Error::CertExpired { not_after, .. } => not_after.as_secs(),
            _ => return None,
        };
        Some(Self {
            not_before_s,
            not_after_s,
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn check(from: (i32, u8, u8), to: (i32, u8, u8), expected: Option<(u64, u64)>) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        let key = KeyPair::generate().expect("the system has random bytes");
        let certificate = params.self_signed(&key).expect("it can be signed");
        let found = Validity::of(certificate.der());
        let expected = expected.map(|(not_before_s, not_after_s)| Validity {
            not_before_s,
            not_after_s,
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn both_ends_are_read() {
        check(
            (2020, 1, 1),
            (2030, 1, 1),
            Some((1_577_836_800, 1_893_456_000)),
        );
        check((1970, 1, 1), (1970, 1, 2), Some((0, 86_400)));
        check(
            (2049, 12, 31),
            (4096, 1, 1),
            Some((2_524_521_600, 67_090_118_400)),
        );
        check((2030, 1, 1), (2020, 1, 1), None);
    }

    #[test]
    fn what_is_no_certificate_has_none() {
        let nothing = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(Validity::of(&nothing), None);
    }
}
