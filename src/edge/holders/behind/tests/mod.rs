//! The table, by facts as real systems show them.

use super::*;
use crate::edge::holders::program::Program;

mod others;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(super) fn kind(words: &str) -> Option<&'static str> {
    of(&Facts::of_words(words)).map(|behind| behind.kind)
}

/// Checks the kind of a process, and the commands that stop what is behind it.
#[track_caller]
pub(super) fn check(facts: &Facts, kind: &str, stop: &[&str]) {
    let found = of(facts).unwrap_or_else(|| panic!("{:?} is ordinary", facts.program.words));
    assert_eq!(found.kind, kind, "{found:?}");
    assert_eq!(found.stop, stop, "{found:?}");
    assert!(found.how().is_some() || !found.refused, "{found:?}");
}

#[track_caller]
pub(super) fn check_words(words: &str, kind: &str, stop: &[&str]) {
    check(&Facts::of_words(words), kind, stop);
}

const DOCKER: [&str; 2] = ["docker ps --filter publish=8080", "docker stop CONTAINER"];
const PODMAN: [&str; 2] = ["podman port --all", "podman stop CONTAINER"];

#[test]
fn dockers_proxy_is_known_by_name_and_by_its_arguments() {
    let words =
        "-proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80";
    for program in ["/usr/bin/docker-proxy", "docker-proxy", "/opt/other-name"] {
        let facts = Facts::of_words(&format!("{program} {words} -use-listen-fd"));
        check(
            &facts.in_group("/system.slice/docker.service"),
            "docker-proxy",
            &DOCKER,
        );
    }
    let found = of(&Facts::of_words(&format!("docker-proxy {words}"))).expect("it is one");
    assert_eq!(
        found.is,
        "Docker's proxy for a container at 172.17.0.2, port 80"
    );
    let words = "docker-proxy -container-ip $(reboot) -container-port 80 -host-port 8080";
    let found = of(&Facts::of_words(words)).expect("it is one");
    assert!(!found.is.contains("reboot"), "{found:?}");
}

#[test]
fn a_name_is_enough_to_refuse() {
    // As `exec -a docker-proxy python3 …` makes it.
    let mut facts = Facts::of_words("docker-proxy -c import socket");
    facts.program.executable = "/usr/bin/python3.13".into();
    facts.program.short = "python3".into();
    check(&facts, "docker-proxy", &DOCKER);
    // A link to an interpreter, and a script.
    facts.program.words[0] = "python3".into();
    facts.program.short = "docker-proxy".into();
    check(&facts, "docker-proxy", &DOCKER);
    check_words(
        "/usr/bin/python3 /tmp/docker-proxy",
        "docker-proxy",
        &DOCKER,
    );
}

#[test]
fn podmans_processes_are_stopped_by_podman_or_by_their_unit() {
    for program in [
        "rootlessport",
        "rootlessport-child",
        "/usr/bin/pasta --config-net",
        "slirp4netns --mtu=65520",
    ] {
        let facts = Facts::of_words(program);
        let found = of(&facts).expect("it is one");
        assert_eq!(found.stop, PODMAN, "{program}");
        let quadlet =
            facts.in_group("/user.slice/user-7.slice/user@7.service/app.slice/web.service/runtime");
        let found = of(&quadlet).expect("it is one");
        assert_eq!(
            found.stop,
            ["systemctl --user stop web.service"],
            "{program}"
        );
    }
    let words = format!(
        "/usr/bin/conmon --api-version 1 -c {ID} -u {ID} -r /usr/bin/crun -n web --full-attach"
    );
    check_words(&words, "conmon", &["podman stop web"]);
    check_words(
        &format!("conmon -c {ID} -n a;b"),
        "conmon",
        &[&format!("podman stop {ID}")],
    );
    let session = Facts::of_words(&words).in_group(&format!(
        "/user.slice/user@7.service/libpod-conmon-{ID}.scope"
    ));
    check(&session, "conmon", &["podman stop web"]);
    check_words(
        &format!("conmon -c {ID} --exit-dir /run/crio/exits"),
        "conmon",
        &[&format!("crictl stop {ID}")],
    );
}

#[test]
fn engines_are_never_named_as_what_to_stop() {
    let kit = "rootlesskit --net=slirp4netns --port-driver=builtin /usr/bin/dockerd-rootless.sh";
    check(
        &Facts::of_words(kit).in_group("/user@7.service/docker.service"),
        "rootlesskit",
        &DOCKER,
    );
    check(
        &Facts::of_words("slirp4netns -c").below(&[kit]),
        "slirp4netns",
        &DOCKER,
    );
    let nerdctl = "rootlesskit --state-dir=/run/user/7/containerd-rootless";
    check_words(
        nerdctl,
        "rootlesskit",
        &["nerdctl ps", "nerdctl stop CONTAINER"],
    );
    check(
        &Facts::of_words("/usr/bin/dockerd -H fd://").in_group("/system.slice/docker.service"),
        "docker",
        &DOCKER,
    );
    check_words("com.docker.backend", "docker", &DOCKER);
    check_words(
        "containerd-shim-runc-v2 -namespace moby -id abc",
        "containerd-shim",
        &["docker stop abc"],
    );
    check_words(
        "containerd-shim-runc-v2 -namespace k8s.io -id abc",
        "containerd-shim",
        &["crictl stop abc"],
    );
    check_words(
        "lxd forkproxy -- 1 -1 tcp:0.0.0.0:8080",
        "forkproxy",
        &["lxc list", "lxc stop INSTANCE"],
    );
    check_words(
        "incusd forkproxy --",
        "forkproxy",
        &["incus list", "incus stop INSTANCE"],
    );
    for program in ["k3s server", "kubelet", "kube-proxy"] {
        check_words(program, "kubernetes", &[]);
    }
    let process = |refused| super::super::Process {
        pid: 7,
        user_id: 0,
        program: "docker-proxy".into(),
        command: String::new(),
        unit: Some("docker.service".into()),
        unit_is_users: false,
        container: None,
        behind: of(&Facts::of_words("docker-proxy")).map(|behind| Behind { refused, ..behind }),
    };
    assert_eq!(process(true).stop_command(), None);
    assert!(process(false).stop_command().is_some());
}

#[test]
fn virtual_machines_are_shut_down() {
    check_words(
        "qemu-system-x86_64 -nic user,hostfwd=tcp::8080-:80 -name web",
        "qemu",
        &[],
    );
    let libvirt =
        "/usr/bin/qemu-system-x86_64 -name guest=web,debug-threads=on -monitor /var/lib/libvirt/x";
    check_words(libvirt, "qemu", &["virsh shutdown web"]);
    let words = "/usr/lib/virtualbox/VBoxHeadless --comment web --startvm 5";
    check_words(
        words,
        "virtualbox",
        &["VBoxManage controlvm web acpipowerbutton"],
    );
    check_words(
        "limactl hostagent --pidfile /x/ha.pid web",
        "lima",
        &["limactl stop web"],
    );
    let gvproxy = [&PODMAN[..], &["podman machine stop"]].concat();
    check_words("gvproxy -mtu 1500 -ssh-port 2222", "gvproxy", &gvproxy);
    for program in ["firecracker", "vmware-vmx", "wslrelay.exe"] {
        assert!(kind(program).is_some(), "{program}");
    }
}

#[test]
fn servers_that_pass_connections_on_and_containers_are_only_told() {
    let told = |facts: &Facts| {
        let found = of(facts).expect("it is one");
        assert!(!found.refused, "{found:?}");
        found
    };
    let nginx = Facts::of_words("nginx: master process").in_group("/system.slice/nginx.service");
    assert_eq!(told(&nginx).stop, ["systemctl stop nginx.service"]);
    told(&Facts::of_words("socat TCP-LISTEN:8080,fork TCP:db:5432"));
    let group = format!("/system.slice/docker-{ID}.scope");
    let host = Facts::of_words("redis-server *:6379").in_group(&group);
    assert_eq!(told(&host).stop, ["docker stop 0123456789ab"]);
    let own = Facts {
        own_group: host.group.clone(),
        ..host
    };
    assert_eq!(of(&own), None, "this command is in that container too");
}

#[test]
fn ordinary_programs_are_ordinary() {
    for words in [
        "python3 -m http.server 8080",
        "node server.js",
        "redis-server *:6379",
        "postgres -D /x",
        "java -jar web.jar",
        "/usr/bin/python3 code.py",
        "coord task work",
        "socat TCP-LISTEN:8080,fork EXEC:cat",
        "npm run dev",
        "systemd-socket-activate -l 8080 cat",
        "python3 -c docker-proxy",
        "vim docker-proxy",
        "sshx",
        "code-generator",
        "bash -c ssh",
        "/usr/bin/node /home/ana/.vscode-server/extensions/x/server.js",
    ] {
        assert_eq!(kind(words), None, "{words}");
    }
}

#[test]
fn every_row_can_be_told() {
    for kind in kinds::all() {
        assert!(
            !kind.name.is_empty() && !kind.is.is_empty() && !kind.ending_it.is_empty(),
            "{}",
            kind.name
        );
        let commands = (kind.stop)(&Facts {
            program: Program::of_words("x"),
            ..Facts::default()
        });
        assert!(
            !kind.refused || kind.advice.is_some() || !commands.is_empty(),
            "{}",
            kind.name
        );
    }
}
