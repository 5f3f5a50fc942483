//! Virtual machines, their networks and their managers.

use super::engines::{named, podman};
use super::{BehindKind, KIND};
use crate::edge::holders::program::{Program, word};

const ENDS_VM: &str = "ends the whole virtual machine";

pub(super) const KINDS: &[BehindKind] = &[
    BehindKind {
        name: "gvproxy",
        programs: &["gvproxy"],
        is: "the network of a virtual machine that runs containers",
        ending_it: "cuts off the virtual machine and all its containers",
        stop: |facts| [podman(facts), vec!["podman machine stop".to_owned()]].concat(),
        ..KIND
    },
    BehindKind {
        name: "lima",
        programs: &["limactl", "lima-hostagent", "colima"],
        is: "the agent of a Lima virtual machine",
        detail: |facts| lima(&facts.program).map(named),
        ending_it: ENDS_VM,
        stop: |facts| {
            let name = lima(&facts.program);
            let list = "limactl list".to_owned();
            name.map_or_else(
                || vec![list, "limactl stop NAME".to_owned()],
                |name| vec![format!("limactl stop {name}")],
            )
        },
        ..KIND
    },
    BehindKind {
        name: "qemu",
        when: |facts| {
            facts.program.begins("qemu-system-") || facts.program.is(&["qemu-kvm", "kvm", "qemu"])
        },
        is: "a virtual machine",
        detail: |facts| qemu(&facts.program).map(named),
        ending_it: ENDS_VM,
        stop: |facts| {
            let of_libvirt = facts.program.mentions("libvirt");
            let name = qemu(&facts.program).filter(|_| of_libvirt);
            name.map_or_else(Vec::new, |name| vec![format!("virsh shutdown {name}")])
        },
        advice: Some("stop the service inside the virtual machine, or shut it down from inside"),
        ..KIND
    },
    BehindKind {
        name: "virtualbox",
        programs: &[
            "VBoxHeadless",
            "VirtualBoxVM",
            "VirtualBox",
            "VBoxNetNAT",
            "VBoxSVC",
        ],
        is: "a virtual machine of VirtualBox",
        detail: |facts| facts.program.value("--comment").map(named),
        ending_it: ENDS_VM,
        stop: |facts| {
            let name = facts.program.value("--comment");
            let list = "VBoxManage list runningvms".to_owned();
            let stop = |name| format!("VBoxManage controlvm {name} acpipowerbutton");
            name.map_or_else(|| vec![list, stop("NAME")], |name| vec![stop(name)])
        },
        ..KIND
    },
    BehindKind {
        name: "virtual-machine",
        programs: &[
            "vmware-vmx",
            "vmnet-natd",
            "firecracker",
            "cloud-hypervisor",
            "crosvm",
            "vfkit",
            "krunkit",
            "multipassd",
            "libvirtd",
            "virtqemud",
        ],
        is: "a virtual machine, or the manager of several",
        ending_it: ENDS_VM,
        advice: Some("stop the service inside the virtual machine, or shut it down from inside"),
        ..KIND
    },
    BehindKind {
        name: "wslrelay",
        when: |facts| {
            facts
                .program
                .is(&["wslrelay", "wslrelay.exe", "wslhost", "wslhost.exe"])
                || facts.program.begins("Relay(")
        },
        is: "the relay between Windows and WSL",
        ending_it: "leaves the service running, and may end this session",
        advice: Some("stop the service on the other side"),
        ..KIND
    },
];

/// `limactl hostagent … NAME`
fn lima(program: &Program) -> Option<&str> {
    let last = program.words.last().filter(|_| program.has("hostagent"))?;
    word(last)
}

/// `-name web`, or `-name guest=web,debug-threads=on`
fn qemu(program: &Program) -> Option<&str> {
    let at = program.words.iter().position(|word| word == "-name")?;
    let first = program.words.get(at + 1)?.split(',').next()?;
    word(first.strip_prefix("guest=").unwrap_or(first))
}
