//! The files that make a service of the program, as they are kept in `systemd/` of the sources.

use std::net::SocketAddr;

/// Where the units say that the program is and where it listens, to be replaced when they are
/// installed elsewhere or configured otherwise.
const BINARY: &str = "/usr/local/bin/coord";
const WEBSOCKET: &str = "ListenStream=127.0.0.1:8766";
const METRICS: &str = "ListenStream=127.0.0.1:9091";

/// One file to install: its place below the prefix, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    pub place: &'static str,
    pub text: String,
}

/// What the files depend on.
#[derive(Debug, Clone)]
pub struct Choices {
    /// The program, as an absolute path.
    pub binary: String,
    pub websocket: SocketAddr,
    pub metrics: SocketAddr,
    /// The version of systemd, where it is known.
    pub systemd: Option<u32>,
}

/// The units that are switched on, in the order in which they are started.
pub const ENABLED: [&str; 3] = ["coord.socket", "coord-metrics.socket", "coord.service"];

/// The units that switch the firewall on, and what wants them then.
pub const FIREWALL: [(&str, &str); 2] = [
    ("coord-firewall.service", "sysinit.target"),
    ("coord-firewall-status.timer", "timers.target"),
];

/// The units that an administrator may have switched on besides: those of the firewall.
pub const OPTIONAL: [&str; 3] = [
    "coord-firewall.service",
    "coord-firewall-status.timer",
    "coord-firewall-leases.timer",
];

/// Since when systemd understands the drop-in.
const DROP_IN_VERSION_MIN: u32 = 254;
const DROP_IN: (&str, &str) = (
    "lib/systemd/system/coord.service.d/10-systemd-254.conf",
    include_str!("../../../systemd/coord.service-254.conf"),
);
const FILES: [(&str, &str); 12] = [
    (
        "lib/systemd/system/coord.service",
        include_str!("../../../systemd/coord.service"),
    ),
    (
        "lib/systemd/system/coord.socket",
        include_str!("../../../systemd/coord.socket"),
    ),
    (
        "lib/systemd/system/coord-metrics.socket",
        include_str!("../../../systemd/coord-metrics.socket"),
    ),
    (
        "lib/systemd/system/coord-failed.target",
        include_str!("../../../systemd/coord-failed.target"),
    ),
    (
        "lib/systemd/system/coord-firewall.service",
        include_str!("../../../systemd/coord-firewall.service"),
    ),
    (
        "lib/systemd/system/coord-firewall-status.service",
        include_str!("../../../systemd/coord-firewall-status.service"),
    ),
    (
        "lib/systemd/system/coord-firewall-status.timer",
        include_str!("../../../systemd/coord-firewall-status.timer"),
    ),
    (
        "lib/systemd/system/coord-firewall-leases.service",
        include_str!("../../../systemd/coord-firewall-leases.service"),
    ),
    (
        "lib/systemd/system/coord-firewall-leases.timer",
        include_str!("../../../systemd/coord-firewall-leases.timer"),
    ),
    (
        "lib/systemd/system-preset/50-coord.preset",
        include_str!("../../../systemd/coord.preset"),
    ),
    (
        "lib/sysusers.d/coord.conf",
        include_str!("../../../systemd/sysusers.conf"),
    ),
    (
        "lib/tmpfiles.d/coord.conf",
        include_str!("../../../systemd/tmpfiles.conf"),
    ),
];

/// The unit for a coordinator of one user.
pub fn of_user(binary: &str) -> String {
    include_str!("../../../systemd/coord-user.service").replace(BINARY, binary)
}

/// The places of all files that any version of systemd gets.
pub fn places() -> impl Iterator<Item = &'static str> {
    let files = FILES.iter().map(|(place, _)| *place);
    files.chain([DROP_IN.0])
}

/// All files for these choices.
pub fn render(choices: &Choices) -> Vec<UnitFile> {
    let newer = choices.systemd.is_some_and(|it| it >= DROP_IN_VERSION_MIN);
    let files = FILES.iter().chain(newer.then_some(&DROP_IN));
    let listen = |address: SocketAddr| format!("ListenStream={address}");
    files
        .map(|(place, text)| UnitFile {
            place,
            text: text
                .replace(BINARY, &choices.binary)
                .replace(WEBSOCKET, &listen(choices.websocket))
                .replace(METRICS, &listen(choices.metrics)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::ports::{Profile, Service};

    fn text(choices: &Choices, name: &str) -> String {
        let files = render(choices);
        let file = files.into_iter().find(|file| file.place.ends_with(name));
        file.map(|file| file.text).unwrap_or_default()
    }

    fn choices() -> Choices {
        Choices {
            binary: "/usr/bin/coord".to_owned(),
            websocket: "[::1]:9000".parse().expect("an address"),
            metrics: "10.0.0.1:9001".parse().expect("an address"),
            systemd: Some(252),
        }
    }

    #[test]
    fn every_credential_is_loaded() {
        let service = text(&choices(), "/coord.service");
        let named = crate::config::settings::SERVER.iter();
        let named: Vec<&str> = named.filter_map(|spec| spec.credential).collect();
        assert!(named.len() > 3, "{named:?}");
        for name in named {
            let line = format!("\nLoadCredential={name}:coord.{name}\n");
            assert!(service.contains(&line), "{name}");
        }
    }

    #[test]
    fn every_choice_arrives() {
        let choices = choices();
        let service = text(&choices, "/coord.service");
        assert!(service.contains("ExecStart=/usr/bin/coord serve"));
        assert!(service.contains("\nExecPaths=/usr/bin/coord "));
        assert!(service.contains("\nBindReadOnlyPaths=/usr/bin/coord "));
        assert!(!service.contains(BINARY));
        assert!(text(&choices, "/coord.socket").contains("\nListenStream=[::1]:9000\n"));
        let metrics = text(&choices, "/coord-metrics.socket");
        assert!(metrics.contains("\nListenStream=10.0.0.1:9001\n"));
    }

    #[test]
    fn the_files_have_the_ports_of_production() {
        let port = |service| Profile::Production.port(service);
        assert!(WEBSOCKET.ends_with(&format!(":{}", port(Service::WebSocket))));
        assert!(METRICS.ends_with(&format!(":{}", port(Service::Metrics))));
        let shipped = |name: &str| FILES.iter().find(|(place, _)| place.ends_with(name));
        assert!(shipped("/coord.socket").is_some_and(|(_, text)| text.contains(WEBSOCKET)));
        let metrics = shipped("/coord-metrics.socket");
        assert!(metrics.is_some_and(|(_, text)| text.contains(METRICS)));
    }

    #[test]
    fn only_a_systemd_that_knows_it_gets_the_drop_in() {
        let drop_in = |systemd| {
            let choices = Choices {
                systemd,
                ..choices()
            };
            !text(&choices, DROP_IN.0).is_empty()
        };
        assert!(!drop_in(None));
        assert!(!drop_in(Some(253)));
        assert!(drop_in(Some(254)));
        assert_eq!(places().count(), FILES.len() + 1);
    }
}
