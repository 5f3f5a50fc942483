//! What cannot be done says why, and what to do.

use std::process::Command;

use super::bed::*;

/// The command, run by another one in front of it.
fn through(bed: &Bed, words: &[&str], coord: &[&str]) -> Command {
    let mut all: Vec<&str> = words[1..].to_vec();
    all.push(env!("CARGO_BIN_EXE_coord"));
    all.extend(coord);
    let mut command = bed.gateway.command(words[0], &all);
    command
        .env("HOME", bed.folder.path())
        .env("COORD_CONFIG", bed.folder.path().join("coord.toml"))
        .env("RUNTIME_DIRECTORY", bed.runtime_dir())
        .env("STATE_DIRECTORY", bed.kept_dir());
    command
}

#[test]
fn policies_that_cannot_be_meant_are_refused() {
    let bed = Bed::new("");
    let words = [
        "2",
        "firewall.websocket_from: it is empty",
        "firewall.metrics_from: it is empty",
    ];
    for command in ["render", "check", "apply", "status", "diff"] {
        Bed::check_fails(bed.command(&["firewall", command]), 2, &words[1..]);
    }
    bed.configure(&format!("{LISTS}redis_from = [\"10.77.0.66\"]\n"));
    let words = ["10.77.0.66 is within 10.77.0.66, which firewall.deny blocks"];
    Bed::check_fails(bed.command(&["firewall", "apply"]), 2, &words);
    bed.configure("websocket_from = [\"10.77.0.0/8\"]\n");
    Bed::check_fails(
        bed.command(&["firewall", "apply"]),
        2,
        &["has bits set beyond its prefix"],
    );
    assert_eq!(bed.table(), None);
}

#[test]
fn an_unknown_interface_is_named() {
    let bed = Bed::new(&format!("{LISTS}interfaces = [\"wan\", \"wna\"]\n"));
    for command in ["check", "apply"] {
        let words = ["the interface wna does not exist", "ip link"];
        Bed::check_fails(bed.command(&["firewall", command]), 2, &words);
    }
    assert_eq!(bed.table(), None);
    let said = bed.apply(&["--missing-interfaces"]);
    assert!(
        said.contains("the interface wna does not exist yet"),
        "{said}"
    );
}

#[test]
fn the_session_it_is_run_from_is_not_cut_off() {
    let bed = Bed::new(&format!(
        "{LISTS}default_drop = true\nssh_ports = [\"22\"]\nssh_from = [\"10.77.0.0/24\"]\n"
    ));
    let from = |connection: &str, words: &[&str]| {
        let mut command = bed.command(words);
        command.env("SSH_CONNECTION", connection);
        command
    };
    let refused = [
        ("10.88.0.2 50000 10.88.0.1 22", "10.88.0.2 on port 22"),
        ("10.77.0.66 50000 10.77.0.1 22", "10.77.0.66 on port 22"),
        ("10.77.0.2 50000 10.77.0.1 2222", "10.77.0.2 on port 2222"),
        ("fd77::2 50000 fd77::1 22", "fd77::2 on port 22"),
    ];
    for (connection, word) in refused {
        for command in ["check", "apply"] {
            let words = ["would cut off this session", word, "--cut-off"];
            Bed::check_fails(from(connection, &["firewall", command]), 6, &words);
        }
    }
    assert_eq!(bed.table(), None);
    // `sudo` keeps the variable from the command itself, but not from the shell it was typed in.
    let behind = ["sh", "-c", "unset SSH_CONNECTION; \"$@\"; exit $?", "sh"];
    let mut hidden = through(&bed, &behind, &["firewall", "apply"]);
    hidden.env("SSH_CONNECTION", refused[0].0);
    Bed::check_fails(hidden, 6, &["would cut off this session"]);
    let ok = from("10.77.0.2 50000 10.77.0.1 22", &["firewall", "apply"])
        .output()
        .unwrap();
    super::space::assert_well(&ok, "apply from a session that stays");
    let words = ["firewall", "apply", "--default-drop", "--cut-off"];
    let forced = from(refused[0].0, &words).output().unwrap();
    super::space::assert_well(&forced, "apply all the same");
}

#[test]
fn without_the_capability_it_says_so() {
    let bed = Bed::new(LISTS);
    let without = ["setpriv", "--bounding-set", "-net_admin"];
    for command in [
        &["firewall", "apply"][..],
        &["firewall", "check"],
        &["firewall", "status"],
    ] {
        let words = ["it has no CAP_NET_ADMIN", "run it as root"];
        Bed::check_fails(through(&bed, &without, command), 4, &words);
    }
    // Rules can be looked at by anybody.
    let render = through(&bed, &without, &["firewall", "render"])
        .output()
        .unwrap();
    super::space::assert_well(&render, "render");
}

#[test]
fn without_nft_it_says_how_to_get_it() {
    let bed = Bed::new(LISTS);
    let hide = "for file in /usr/sbin/nft /usr/local/sbin/nft /usr/bin/nft; do \
                [ ! -e $file ] || mount --bind /dev/null $file; done; exec \"$@\"";
    let without = ["unshare", "--mount", "sh", "-c", hide, "sh"];
    let words = ["nft is not installed", "apt-get install nftables"];
    Bed::check_fails(through(&bed, &without, &["firewall", "apply"]), 1, &words);
}

/// What the kernel answers without `nf_tables`, given by the tracer in its place.
#[test]
fn without_nf_tables_it_says_what_is_missing() {
    let bed = Bed::new(LISTS);
    let fault = "inject=socket:error=EPROTONOSUPPORT";
    let without = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=socket",
        "-e",
        fault,
    ];
    let words = ["this kernel has no nf_tables", "modprobe nf_tables"];
    Bed::check_fails(through(&bed, &without, &["firewall", "check"]), 1, &words);
}

#[test]
fn a_folder_that_others_enter_is_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let bed = Bed::new(LISTS);
    let folder = bed.runtime_dir();
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    Bed::check_fails(bed.command(&["firewall", "apply"]), 1, &["its mode is 755"]);
    std::fs::remove_dir(&folder).unwrap();
    symlink(bed.folder.path(), &folder).unwrap();
    Bed::check_fails(
        bed.command(&["firewall", "apply"]),
        1,
        &["it is not a folder"],
    );
    assert_eq!(bed.table(), None);
}

/// Damaged notes are as good as none: the table is made anew.
#[test]
fn damaged_notes_do_not_stop_it() {
    let bed = Bed::new(LISTS);
    bed.apply(&[]);
    for name in ["applied.json", "pending.json"] {
        std::fs::write(bed.runtime_dir().join(name), "{").unwrap();
    }
    bed.check_state("unknown");
    assert!(bed.apply(&[]).contains("they replace a table"));
    bed.check_state("as_configured");
}
