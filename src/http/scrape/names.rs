//! The names in a certificate: DNS, e-mail, URI and IP address of its subject alternative names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
/// The extensions of a certificate.
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

/// All names of a certificate. Of one that cannot be read, none.
pub(super) fn of(certificate: &[u8]) -> Vec<String> {
    let Some(names) = alternative_names(certificate) else {
        return Vec::new();
    };
    Elements(names).filter_map(name).collect()
}

fn alternative_names(certificate: &[u8]) -> Option<&[u8]> {
    let certificate = Elements(certificate).of_kind(SEQUENCE)?;
    let body = Elements(certificate).of_kind(SEQUENCE)?;
    let extensions = Elements(body).of_kind(EXTENSIONS)?;
    let extensions = Elements(extensions).of_kind(SEQUENCE)?;
    let wanted = Elements(extensions).find_map(|(_, extension)| {
        let id = Elements(extension).of_kind(OBJECT_ID)?;
        (id == ALTERNATIVE_NAMES).then(|| Elements(extension).of_kind(OCTETS))?
    })?;
    Elements(wanted).of_kind(SEQUENCE)
}

fn name((kind, value): (u8, &[u8])) -> Option<String> {
    match kind {
        EMAIL | DNS | URI => std::str::from_utf8(value).ok().map(str::to_owned),
        ADDRESS => {
            let address: IpAddr = match value.len() {
                4 => Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into(),
                16 => Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into(),
                _ => return None,
            };
            Some(address.to_string())
        }
        _ => None,
    }
}

/// The elements that stand one after the other in DER; it ends where they cannot be read.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The content of the first element of a kind.
    fn of_kind(mut self, wanted: u8) -> Option<&'a [u8]> {
        self.find_map(|(kind, content)| (kind == wanted).then_some(content))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, first], mut rest) = self.0.split_first_chunk::<2>()?;
        let mut length = usize::from(first);
        if first > 0x80 {
            let (digits, after) = rest.split_at_checked(length - 0x80)?;
            // Longer ones are in no certificate.
            if digits.len() > 4 {
                return None;
            }
            length = digits
                .iter()
                .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((kind, content))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("the system has random bytes");
        params
            .self_signed(&key)
            .expect("it can be signed")
            .der()
            .to_vec()
    }

    #[test]
    fn names_of_all_four_kinds_are_read() {
        let text = |text: &str| text.try_into().expect("it is ASCII");
        let names = vec![
            SanType::DnsName(text("prometheus.example")),
            SanType::Rfc822Name(text("ops@example.org")),
            SanType::URI(text("spiffe://example/prometheus")),
            SanType::IpAddress("192.0.2.7".parse().expect("an address")),
            SanType::IpAddress("2001:db8::7".parse().expect("an address")),
        ];
        let expected = [
            "prometheus.example",
            "ops@example.org",
            "spiffe://example/prometheus",
            "192.0.2.7",
            "2001:db8::7",
        ];
        assert_eq!(of(&certificate(names)), expected);
        assert_eq!(of(&certificate(Vec::new())), Vec::<String>::new());
    }

    #[test]
    fn what_is_cut_short_or_changed_has_fewer_names_and_no_panic() {
        let name = SanType::DnsName("prometheus.example".try_into().expect("it is ASCII"));
        let whole = certificate(vec![name]);
        for end in 0..whole.len() {
            assert!(of(&whole[..end]).len() <= 1);
            for value in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[end] = value;
                let _ = of(&changed);
            }
        }
    }
}
