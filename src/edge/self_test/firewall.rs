//! Whether nftables is there, in the kernel and as a program.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::{CheckFound, CheckResult, told};

/// Where it is when the path of a service or a user does not lead to it.
const PROGRAMS: &[&str] = &["nft", "/usr/sbin/nft", "/sbin/nft"];

/// Only asks for its version: no rule is read or changed.
pub(super) async fn check() -> CheckResult {
    let kernel = if in_kernel() {
        "the kernel has nf_tables"
    } else {
        "the kernel has not loaded nf_tables"
    };
    for program in PROGRAMS {
        let mut command = Command::new(program);
        let command = command
            .arg("--version")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        match command.output().await {
            Ok(output) if output.status.success() => {
                let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                return Ok(CheckFound::ok(format!("{version}; {kernel}")));
            }
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                let detail = format!("{program} --version failed: {said}");
                return Ok(CheckFound::warning(
                    detail,
                    "reinstall the package nftables",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(CheckFound::warning(
        format!("nft is not installed; {kernel}"),
        "install the package nftables so that the firewall can protect the ports",
    ))
}

/// As a loaded module, or built in.
pub(super) fn in_kernel() -> bool {
    let release = told("/proc/sys/kernel/osrelease").unwrap_or_default();
    let built_in = told(format!("/lib/modules/{release}/modules.builtin"));
    Path::new("/sys/module/nf_tables").exists()
        || Path::new("/proc/net/netfilter/nf_tables").exists()
        || built_in.is_some_and(|list| list.contains("/nf_tables.ko"))
}
