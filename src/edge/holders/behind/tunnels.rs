//! Programs that forward connections to another machine, or to other servers on this one.

use super::{BehindKind, KIND};
use crate::edge::holders::facts::Facts;
use crate::edge::holders::program::{Program, word};

const GOES_ON: &str =
    "ends the tunnel and everything else that uses it, and leaves the service running";

pub(super) const KINDS: &[BehindKind] = &[
    BehindKind {
        name: "ssh",
        // An SSH client listens for nothing but forwards; a configuration may ask for them, too.
        programs: &["ssh", "autossh", "slogin"],
        is: "an SSH client that forwards the port",
        detail: |facts| {
            let target = forwarded(facts)?;
            Some(format!(
                "to {target}, as {} sees it",
                host(&facts.program).unwrap_or("the other side")
            ))
        },
        ending_it: "ends the connection and everything else that uses it, and leaves the service running",
        stop: |facts| {
            let (host, target) = (host(&facts.program), forwarded(facts));
            let (Some(host), Some(target)) = (host, target) else {
                return Vec::new();
            };
            // What serves on a third machine is not reached by its port alone.
            let there = ["localhost:", "127.0.0.1:"];
            let port = there.iter().find_map(|there| target.strip_prefix(there));
            port.map_or_else(Vec::new, |port| {
                vec![format!("ssh {host} coord ports stop {port}")]
            })
        },
        advice: Some("stop the service on the other side"),
        ..KIND
    },
    BehindKind {
        name: "sshuttle",
        programs: &["sshuttle"],
        is: "a tunnel over SSH",
        ending_it: GOES_ON,
        advice: Some("stop the service on the other side"),
        ..KIND
    },
    BehindKind {
        name: "kubectl",
        programs: &[
            "kubectl",
            "oc",
            "k9s",
            "kubefwd",
            "telepresence",
            "skaffold",
            "tilt",
            "devspace",
        ],
        is: "a forward into a cluster",
        detail: |facts| resource(&facts.program).map(|resource| format!("to {resource}")),
        ending_it: "ends the forward, and leaves the service running in the cluster",
        stop: |facts| workload(&facts.program).into_iter().collect(),
        advice: Some("stop the service in the cluster, or end the forward where it was started"),
        ..KIND
    },
    BehindKind {
        name: "cloud-tunnel",
        when: |facts| {
            let tunnels = [
                "session-manager-plugin",
                "cloud-sql-proxy",
                "cloud_sql_proxy",
                "alloydb-auth-proxy",
                "tsh",
                "flyctl",
                "chisel",
                "wstunnel",
                "frpc",
                "frps",
                "gost",
                "iproxy",
                "boundary",
            ];
            let listens = ["start-iap-tunnel", "access"];
            let gcloud = facts.program.mentions("gcloud") && facts.program.has(listens[0]);
            let cloudflared = facts.program.is(&["cloudflared"]) && facts.program.has(listens[1]);
            facts.program.is(&tunnels) || gcloud || cloudflared
        },
        is: "a tunnel to another machine",
        ending_it: GOES_ON,
        advice: Some("stop the service on the other side, or end the tunnel where it was started"),
        ..KIND
    },
    BehindKind {
        name: "public-tunnel",
        programs: &["ngrok", "cloudflared", "zerotier-one", "localtunnel"],
        is: "the tunnel into this machine from outside",
        ending_it: "cuts off everything that uses it, and leaves the service running",
        advice: Some("end the tunnel where it was started, or stop the service behind it"),
        ..KIND
    },
    BehindKind {
        name: "tailscale",
        programs: &["tailscaled"],
        is: "this machine's private network",
        ending_it: "cuts off everything that uses it, perhaps this session too",
        stop: |facts| {
            let port = facts.port;
            vec![
                "tailscale serve status".to_owned(),
                format!("tailscale serve --tcp={port} off"),
            ]
        },
        ..KIND
    },
    BehindKind {
        name: "adb",
        programs: &["adb"],
        is: "the server of Android's debug bridge",
        ending_it: "ends the connections to all devices",
        stop: |facts| {
            let port = facts.port;
            if port == ADB_PORT {
                return vec!["adb kill-server".to_owned()];
            }
            vec![
                "adb forward --list".to_owned(),
                format!("adb forward --remove tcp:{port}"),
            ]
        },
        ..KIND
    },
];

/// Proxies that are servers in their own right: one may well want to stop them.
pub(super) const TOLD: &[BehindKind] = &[BehindKind {
    name: "reverse-proxy",
    when: |facts| {
        let proxies = [
            "haproxy",
            "nginx",
            "caddy",
            "traefik",
            "envoy",
            "varnishd",
            "squid",
            "pgbouncer",
            "proxysql",
            "stunnel",
            "stunnel4",
            "rinetd",
            "redir",
            "systemd-socket-proxyd",
        ];
        // socat is a proxy where its second address is one to connect to.
        let to = ["TCP", "OPENSSL", "UNIX-CONNECT", "SSL"];
        let second = facts
            .program
            .words
            .last()
            .map(String::as_str)
            .unwrap_or_default();
        let second = second.to_ascii_uppercase();
        let connects = to.iter().any(|kind| second.starts_with(kind)) && !second.contains("LISTEN");
        facts.program.is(&proxies) || (facts.program.is(&["socat"]) && connects)
    },
    is: "a server that may forward connections to other servers",
    ending_it: "leaves the other servers running",
    stop: |facts| facts.service_command(&[]).into_iter().collect(),
    refused: false,
    ..KIND
}];

/// The port of adb's own server.
const ADB_PORT: u16 = 5037;
/// Options of ssh that take a word, which may follow as a word of its own.
const SSH_VALUES: &str = "BbcDEeFIiJLlmOopQRSWw";

fn takes_value(letter: char) -> bool {
    SSH_VALUES.contains(letter)
}

/// Where `-L` of this port leads: `[bind:]port:host:hostport`.
fn forwarded(facts: &Facts) -> Option<&str> {
    let words = &facts.program.words;
    let port = facts.port.to_string();
    let specs = words.iter().enumerate().filter_map(|(i, own)| {
        let flags = own.strip_prefix('-')?;
        let at = flags
            .find(takes_value)
            .filter(|at| flags[*at..].starts_with('L'))?;
        let rest = &flags[at + 1..];
        if rest.is_empty() {
            words.get(i + 1).map(String::as_str)
        } else {
            Some(rest)
        }
    });
    let mut targets = specs.filter_map(|spec| {
        let begins = spec
            .strip_prefix(&port)
            .and_then(|rest| rest.strip_prefix(':'));
        let bound = || {
            spec.split_once(&format!(":{port}:"))
                .map(|(_, target)| target)
        };
        begins.or_else(bound)
    });
    word(targets.next()?)
}

/// The first word that is neither an option nor the value of one.
fn host(program: &Program) -> Option<&str> {
    let mut words = program.words.iter().skip(1);
    while let Some(own) = words.next() {
        let Some(flags) = own.strip_prefix('-') else {
            return word(own);
        };
        // `-vL`: the last letter takes the next word, unless its value follows it at once.
        if flags
            .find(takes_value)
            .is_some_and(|at| at + 1 == flags.len())
        {
            words.next();
        }
    }
    None
}

/// The command that stops a workload; a service of a cluster is only a name for several, so none for that.
fn workload(program: &Program) -> Option<String> {
    let resource = resource(program)?;
    let namespace = program.value("-n").or(program.value("--namespace"));
    let namespace = namespace.map_or_else(String::new, |name| format!(" --namespace {name}"));
    let (kind, name) = resource.split_once('/').unwrap_or(("pod", resource));
    match kind {
        "pod" | "pods" | "po" => Some(format!("kubectl{namespace} delete pod {name}")),
        "svc" | "service" | "services" => None,
        _ => Some(format!("kubectl{namespace} scale {resource} --replicas=0")),
    }
}

/// `kubectl port-forward svc/web 8080:80`
fn resource(program: &Program) -> Option<&str> {
    let at = program
        .words
        .iter()
        .position(|word| word == "port-forward")?;
    let mut words = program.words[at + 1..].iter();
    while let Some(own) = words.next() {
        match own.as_str() {
            "-n" | "--namespace" | "--address" | "--context" | "--token" | "--kubeconfig" => {
                words.next();
            }
            _ if own.starts_with('-') => {}
            _ => return word(own),
        }
    }
    None
}
