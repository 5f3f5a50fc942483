//! Containers: their proxies, their monitors, their engines.

use super::{BehindKind, CONTAINER, KIND};
use crate::edge::holders::facts::Facts;
use crate::edge::holders::program::Program;

const GOES_ON: &str = "leaves the container running, but cuts it off from this port";
const ENDS_ALL: &str =
    "ends or cuts off every container and pod of this machine, not only the one behind this port";
/// What is started inside a rootless engine's own namespaces.
const ROOTLESS: [&str; 2] = ["rootlesskit", "rootlesskit-docker-proxy"];
const NERDCTL: &str = "containerd-rootless";

pub(super) const KINDS: &[BehindKind] = &[
    BehindKind {
        name: "docker-proxy",
        when: |facts| {
            let named = facts
                .program
                .is(&["docker-proxy", "rootlesskit-docker-proxy"]);
            let program = &facts.program;
            named || (program.has("-container-ip") && program.has("-host-port"))
        },
        is: "Docker's proxy for a container",
        detail: |facts| {
            let address = facts.program.value("-container-ip")?;
            let port = facts.program.value("-container-port")?;
            Some(format!("at {address}, port {port}"))
        },
        ending_it: GOES_ON,
        stop: docker,
        ..KIND
    },
    BehindKind {
        name: "rootlessport",
        programs: &[
            "rootlessport",
            "rootlessport-child",
            "containers-rootlessport",
            "containers-rootlessport-child",
        ],
        is: "Podman's proxy for a container",
        ending_it: GOES_ON,
        stop: podman,
        ..KIND
    },
    BehindKind {
        name: "slirp4netns",
        programs: &["slirp4netns"],
        is: "the network of rootless containers",
        ending_it: "leaves the containers running, but cuts them off from every network",
        stop: rootless,
        ..KIND
    },
    BehindKind {
        name: "pasta",
        programs: &["pasta", "pasta.avx2", "passt", "passt.avx2"],
        is: "the network of a rootless container or a virtual machine",
        ending_it: "leaves the service running, but cuts it off from every network",
        stop: podman,
        ..KIND
    },
    BehindKind {
        name: "conmon",
        programs: &["conmon", "conmonrs"],
        is: "the monitor of a container",
        detail: |facts| facts.program.value("-n").map(named),
        ending_it: "leaves the container running without its monitor",
        stop: conmon,
        ..KIND
    },
    BehindKind {
        name: "containerd-shim",
        when: |facts| {
            facts.program.begins("containerd-shim")
                || facts.program.begins("docker-containerd-shim")
        },
        is: "the monitor of a container",
        ending_it: "leaves the container running without its monitor",
        stop: shim,
        ..KIND
    },
    BehindKind {
        name: "forkproxy",
        programs: &["lxd", "incusd", "incus"],
        when: |facts| facts.program.has("forkproxy"),
        is: "the proxy of an instance of LXD or Incus",
        ending_it: "leaves the instance running, but cuts it off from this port",
        stop: instances,
        ..KIND
    },
    BehindKind {
        name: "rootlesskit",
        programs: &ROOTLESS,
        is: "the namespaces of a rootless container engine",
        ending_it: "ends the engine and all its containers",
        stop: rootless,
        ..KIND
    },
    BehindKind {
        name: "docker",
        when: |facts| {
            let engines = [
                "dockerd",
                "balenad",
                "balena-engine-daemon",
                "vpnkit",
                "docker-desktop",
            ];
            facts.program.is(&engines) || facts.program.begins("com.docker.")
        },
        is: "the Docker engine",
        ending_it: ENDS_ALL,
        stop: docker,
        ..KIND
    },
    BehindKind {
        name: "podman",
        programs: &["podman"],
        is: "Podman itself",
        ending_it: "ends its other tasks, and may leave containers running",
        stop: podman,
        ..KIND
    },
    BehindKind {
        name: "kubernetes",
        programs: &[
            "kubelet",
            "k3s",
            "k3s-server",
            "k3s-agent",
            "k0s",
            "kubelite",
            "kube-proxy",
            "kube-apiserver",
            "rke2",
            "containerd",
            "docker-containerd",
            "crio",
            "nomad",
            "minikube",
        ],
        is: "part of a container engine or of a cluster's node",
        ending_it: ENDS_ALL,
        advice: Some(
            "find the service of this port with `kubectl get services --all-namespaces`, and change it",
        ),
        ..KIND
    },
    BehindKind {
        name: "instances",
        programs: &["lxd", "incusd"],
        is: "the manager of this machine's instances",
        ending_it: ENDS_ALL,
        stop: instances,
        ..KIND
    },
];

/// A process that runs in a container and listens in the host's own network.
pub(super) const IN_CONTAINER: BehindKind = BehindKind {
    name: CONTAINER,
    when: |facts| facts.container().is_some(),
    is: "a process of a container that uses this machine's network",
    ending_it: "may end the container, which its engine may start again",
    stop: |facts| container_command(facts).into_iter().collect(),
    refused: false,
    ..KIND
};

/// The command that stops the container that a process is in.
pub(in crate::edge::holders) fn container_command(facts: &Facts) -> Option<String> {
    let id = facts.container()?;
    let group = &facts.group;
    let engine = if group.contains("libpod") {
        "podman"
    } else if ["kubepods", "crio", "cri-containerd"]
        .iter()
        .any(|part| group.contains(part))
    {
        "crictl"
    } else if group.contains("nerdctl") {
        "nerdctl"
    } else {
        "docker"
    };
    Some(format!("{engine} stop {id}"))
}

fn docker(facts: &Facts) -> Vec<String> {
    let port = facts.port;
    vec![
        format!("docker ps --filter publish={port}"),
        "docker stop CONTAINER".to_owned(),
    ]
}

/// Podman cannot be asked who publishes a port. A container that systemd runs is stopped by its unit: it would be
/// started again otherwise.
pub(super) fn podman(facts: &Facts) -> Vec<String> {
    if let Some(command) = facts.service_command(&[]).filter(|_| !is_engine(facts)) {
        return vec![command];
    }
    vec![
        "podman port --all".to_owned(),
        "podman stop CONTAINER".to_owned(),
    ]
}

fn rootless(facts: &Facts) -> Vec<String> {
    let kit = |program: &Program| program.is(&ROOTLESS);
    let kit = std::iter::once(&facts.program)
        .chain(&facts.parents)
        .find(|it| kit(it));
    match kit {
        Some(kit) if kit.mentions(NERDCTL) => {
            vec!["nerdctl ps".to_owned(), "nerdctl stop CONTAINER".to_owned()]
        }
        Some(_) => docker(facts),
        None => podman(facts),
    }
}

fn conmon(facts: &Facts) -> Vec<String> {
    let program = &facts.program;
    let id = program.value("-c");
    if program.mentions("crio") {
        return vec![format!("crictl stop {}", id.unwrap_or("CONTAINER"))];
    }
    match facts.service_command(&[]).filter(|_| !is_engine(facts)) {
        Some(command) => vec![command],
        None => vec![format!(
            "podman stop {}",
            program.value("-n").or(id).unwrap_or("CONTAINER")
        )],
    }
}

fn shim(facts: &Facts) -> Vec<String> {
    let id = facts.program.value("-id").unwrap_or("CONTAINER");
    vec![match facts.program.value("-namespace") {
        Some("k8s.io") => format!("crictl stop {id}"),
        None | Some("moby") => format!("docker stop {id}"),
        Some(namespace) => format!("nerdctl --namespace {namespace} stop {id}"),
    }]
}

fn instances(facts: &Facts) -> Vec<String> {
    let tool = if facts.program.is(&["lxd"]) {
        "lxc"
    } else {
        "incus"
    };
    vec![format!("{tool} list"), format!("{tool} stop INSTANCE")]
}

/// Whether the unit of a process is the engine's, and not that of one container.
fn is_engine(facts: &Facts) -> bool {
    let unit = facts.unit().unwrap_or_default();
    ["docker", "containerd", "podman", "crio"]
        .iter()
        .any(|engine| unit.starts_with(engine))
}

pub(super) fn named(name: &str) -> String {
    format!("named {name}")
}
