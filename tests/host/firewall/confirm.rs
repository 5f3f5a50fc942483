//! Changes that have to be confirmed: whatever dies, nobody is locked out.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::bed::*;
use super::space::assert_well;

/// A pipe's end that takes nothing more: whoever writes to it waits until he is killed.
fn full_pipe() -> (OwnedFd, File) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut writer = File::from(writer);
    let error = loop {
        if let Err(error) = writer.write(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// The processes that wait to undo a change of this bed.
fn waiting(bed: &Bed) -> Vec<i32> {
    let folder = bed.runtime_dir();
    let of_bed = |pid: &i32| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.contains("\0revert\0") && command.contains(folder.to_str().unwrap())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(of_bed).collect()
}

/// Ends the process that waits, as a power cut would.
pub(crate) fn end_waiting(bed: &Bed) {
    for pid in waiting(bed) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    until("the waiting process to end", || {
        waiting(bed).is_empty().then_some(())
    });
}

/// The applying process is killed, and all of its process group, while it still has something to say.
#[test]
fn an_unconfirmed_change_is_undone_after_its_applier_was_killed() {
    let bed = Bed::new(&format!("{LISTS}default_drop = true\n"));
    let (_reader, writer) = full_pipe();
    let mut command = bed.command(&["firewall", "apply", "--confirm", "5s"]);
    let mut applier = command.stderr(writer).process_group(0).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(applier.id()).unwrap());
    until("the rules to be loaded", || bed.table());
    assert!(
        applier.try_wait().unwrap().is_none(),
        "it waits for somebody to read"
    );
    kill(pid, Signal::SIGKILL).unwrap();
    // The terminal goes away too.
    let _ = killpg(pid, Signal::SIGHUP);
    let _ = killpg(pid, Signal::SIGKILL);
    applier.wait().unwrap();
    until("the rules to be gone", || {
        bed.table().is_none().then_some(())
    });
    until("the waiting process to end", || {
        waiting(&bed).is_empty().then_some(())
    });
    let status = bed.status();
    assert_eq!(status["state"], "absent");
    assert_eq!(status["pending"], false);
    assert_eq!(status["reverted"], true);
    let confirm = bed.command(&["firewall", "confirm"]);
    Bed::check_fails(
        confirm,
        5,
        &["the last change was undone, because it was not confirmed"],
    );
}

#[test]
fn the_rules_of_before_come_back() {
    let bed = Bed::new(LISTS);
    bed.apply(&[]);
    let listing = || {
        bed.gateway
            .run("nft", &["-s", "list", "table", "inet", "coord"])
    };
    let before = cli_coordinator::edge::firewall::normal(&listing());
    bed.configure(&format!("{LISTS}default_drop = true\n"));
    let said = bed.apply(&["--confirm", "1s"]);
    assert!(
        said.contains("the change is undone in 1s unless you run `coord firewall confirm`"),
        "{said}"
    );
    until("the change to be undone", || {
        (bed.status()["pending"] == false).then_some(())
    });
    assert_eq!(cli_coordinator::edge::firewall::normal(&listing()), before);
    // What is loaded is what was applied before, and the configuration is ahead of it.
    bed.check_state("outdated");
    bed.configure(LISTS);
    bed.check_state("as_configured");
    assert!(bed.apply(&[]).contains("nothing changed"));
}

#[test]
fn a_confirmed_change_stays() {
    let bed = Bed::new(LISTS);
    bed.apply(&["--confirm", "1h"]);
    let status = bed.status();
    assert_eq!(
        (&status["pending"], &status["guarded"]),
        (&true.into(), &true.into())
    );
    let [waiter] = waiting(&bed)[..] else {
        panic!("one process waits");
    };
    let session = nix::unistd::getsid(Some(Pid::from_raw(waiter))).unwrap();
    assert_eq!(session.as_raw(), waiter, "it leads a session of its own");
    // Only one change can wait; the rules that are loaded stay.
    bed.configure(&format!("{LISTS}log_per_minute_max = 5\n"));
    for words in [
        &["firewall", "apply"][..],
        &["firewall", "apply", "--confirm", "1s"],
    ] {
        Bed::check_fails(bed.command(words), 6, &["an earlier change waits"]);
    }
    assert_well(&bed.coord(&["firewall", "confirm"]), "confirm");
    until("the waiting process to end", || {
        waiting(&bed).is_empty().then_some(())
    });
    assert!(bed.table().is_some());
    assert_eq!(bed.status()["pending"], false);
    Bed::check_fails(
        bed.command(&["firewall", "confirm"]),
        5,
        &["no change waits"],
    );
    bed.apply(&[]);
}

/// Its applier was killed between loading the rules and noting them down: what is kept is what is loaded.
#[test]
fn what_is_confirmed_is_what_is_loaded() {
    let bed = Bed::new(LISTS);
    bed.apply(&[]);
    let notes = bed.runtime_dir().join("applied.json");
    let before = std::fs::read(&notes).unwrap();
    let listing = bed
        .gateway
        .run("nft", &["-s", "list", "table", "inet", "coord"]);
    bed.configure(&format!("{LISTS}log_per_minute_max = 5\n"));
    bed.apply(&["--confirm", "1h"]);
    std::fs::write(&notes, &before).unwrap();
    assert_well(&bed.coord(&["firewall", "confirm"]), "confirm");
    bed.lose_power();
    bed.boot();
    assert!(bed.table().unwrap().contains("limit rate 5/minute"));

    // Or before he loaded them: rules that nobody tried are not confirmed.
    bed.configure(LISTS);
    bed.apply(&[]);
    let before = std::fs::read(&notes).unwrap();
    bed.configure(&format!("{LISTS}log_per_minute_max = 7\n"));
    bed.apply(&["--confirm", "1h"]);
    std::fs::write(&notes, &before).unwrap();
    let back = format!("table inet coord\ndelete table inet coord\n{listing}");
    bed.gateway.nft(bed.folder.path(), &back);
    let words = ["stopped before the rules were loaded"];
    Bed::check_fails(bed.command(&["firewall", "confirm"]), 1, &words);
    assert_eq!(bed.status()["pending"], true);
    end_waiting(&bed);
}

#[test]
fn removing_needs_no_confirmation() {
    let bed = Bed::new(LISTS);
    bed.apply(&["--confirm", "1h"]);
    assert_well(&bed.coord(&["firewall", "remove"]), "remove");
    until("the waiting process to end", || {
        waiting(&bed).is_empty().then_some(())
    });
    bed.check_state("absent");
}

#[test]
fn a_killed_guard_is_told_and_blocks_nobody() {
    let bed = Bed::new(LISTS);
    bed.apply(&["--confirm", "1h"]);
    for pid in waiting(&bed) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    until("the guard to be gone", || {
        (bed.status()["guarded"] == false).then_some(())
    });
    assert_eq!(bed.status()["pending"], true);
    let confirm = bed.coord(&["firewall", "confirm"]);
    assert_well(&confirm, "confirm");
    let said = String::from_utf8(confirm.stderr).unwrap();
    assert!(said.contains("was killed"), "{said}");
    bed.configure(&format!("{LISTS}log_per_minute_max = 5\n"));
    bed.apply(&["--confirm", "1h"]);
    for pid in waiting(&bed) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    until("the guard to be gone", || {
        (bed.status()["guarded"] == false).then_some(())
    });
    bed.configure(LISTS);
    bed.apply(&[]);
    assert_eq!(bed.status()["pending"], false);
}
