//! A short name for a whole port configuration, so that two sides can tell whether theirs agree.

use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::{Port, Profile};

/// Bytes of the hash that are kept: far more than the configurations of one team.
const FINGERPRINT_BYTES: usize = 8;

/// What the fingerprint is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortPlan {
    pub profile: Profile,
    /// Where Redis is, or would be: a coordinator without one has its profile's port here, so that
    /// taking Redis into use changes nothing for those who only know the profile.
    pub redis: Port,
    pub websocket: Port,
    pub metrics: Port,
    /// Whether agents connect with TLS.
    pub tls: bool,
}

/// The first 8 bytes of the SHA-256 of a canonical text, as 16 hexadecimal digits. The text, with a
/// newline after each line, is, for production as the table has it:
///
/// ```text
/// coord-ports 1
/// profile=production
/// redis=6380
/// websocket=8766
/// metrics=9091
/// tls=false
/// ```
///
/// It is stable over releases and machines. It is no secret: who guesses the ports can check the guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortFingerprint([u8; FINGERPRINT_BYTES]);

impl PortPlan {
    pub fn fingerprint(self) -> PortFingerprint {
        let digest = Sha256::digest(self.canonical().as_bytes());
        PortFingerprint(std::array::from_fn(|i| digest[i]))
    }

    fn canonical(self) -> String {
        format!(
            "coord-ports 1\nprofile={}\nredis={}\nwebsocket={}\nmetrics={}\ntls={}\n",
            self.profile,
            self.redis.number(),
            self.websocket.number(),
            self.metrics.number(),
            self.tls
        )
    }
}

impl fmt::Display for PortFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for PortFingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::ports::Service;

    fn plan() -> PortPlan {
        let port = |service| Profile::Production.port(service);
        PortPlan {
            profile: Profile::Production,
            redis: port(Service::Redis),
            websocket: port(Service::WebSocket),
            metrics: port(Service::Metrics),
            tls: false,
        }
    }

    /// Worked out with `printf … | sha256sum`: other programs can compute it, and no release may
    /// change it.
    #[test]
    fn it_is_what_its_description_says() {
        assert_eq!(plan().fingerprint().to_string(), "66c0460b02e34269");
    }

    #[test]
    fn every_part_counts() {
        let other = Port::new(7000).expect("a port");
        let plans = [
            plan(),
            PortPlan {
                profile: Profile::Staging,
                ..plan()
            },
            PortPlan {
                redis: other,
                ..plan()
            },
            PortPlan {
                websocket: other,
                ..plan()
            },
            PortPlan {
                metrics: other,
                ..plan()
            },
            PortPlan {
                tls: true,
                ..plan()
            },
        ];
        for (i, a) in plans.iter().enumerate() {
            for b in &plans[..i] {
                assert_ne!(a.fingerprint(), b.fingerprint(), "{a:?} {b:?}");
            }
        }
    }
}
