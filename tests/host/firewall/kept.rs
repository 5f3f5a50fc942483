//! What a start of the box loads: never what nobody confirmed, and something whenever there is something.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Output;

use super::bed::*;
use super::space::assert_well;

const LOGGING: &str = "log_per_minute_max = 5\n";

fn file(bed: &Bed) -> PathBuf {
    bed.kept_dir().join("kept.json")
}

fn has_logging(bed: &Bed) -> bool {
    bed.table().unwrap().contains("limit rate 5/minute")
}

#[track_caller]
fn check_reboot(bed: &Bed, expected: &str) {
    assert_eq!(bed.status()["reboot"], expected);
}

/// Fails, but not without having done what could be done.
#[track_caller]
fn fails(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
}

#[test]
fn the_first_start_loads_what_is_configured_and_keeps_it() {
    let bed = Bed::new(LISTS);
    assert!(!bed.kept_dir().exists());
    assert!(bed.boot().contains("loaded the rules of the configuration"));
    bed.check_state("as_configured");
    check_reboot(&bed, "configured");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(bed.kept_dir()), mode(file(&bed))), (0o700, 0o600));
    // Once more, without and with a reboot between: nothing changes, and nothing is written.
    let (table, written) = (
        bed.table(),
        fs::metadata(file(&bed)).unwrap().modified().unwrap(),
    );
    bed.boot();
    assert_eq!(bed.table(), table);
    bed.lose_power();
    bed.boot();
    bed.check_state("as_configured");
    assert_eq!(
        fs::metadata(file(&bed)).unwrap().modified().unwrap(),
        written
    );
}

/// The heart of it: the power goes while a change waits for its confirmation.
#[test]
fn a_start_does_not_load_what_nobody_confirmed() {
    let bed = Bed::new(LISTS);
    bed.apply(&[]);
    bed.configure(&format!("{LISTS}{LOGGING}"));
    bed.apply(&["--confirm", "1h"]);
    assert!(has_logging(&bed));
    check_reboot(&bed, "last_confirmed");
    super::confirm::end_waiting(&bed);
    bed.lose_power();
    let said = bed.boot();
    assert!(
        said.contains("the rules of the configuration were never confirmed"),
        "{said}"
    );
    assert!(!has_logging(&bed));
    bed.check_state("outdated");
    check_reboot(&bed, "last_confirmed");
    let diff = bed.coord(&["firewall", "diff"]);
    fails(&diff, 1, &["a reboot loads the rules last confirmed"]);
    assert!(String::from_utf8_lossy(&diff.stdout).contains("+\t\tlimit rate 5/minute"));
    let shown = bed.coord(&["firewall", "status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("loads the rules last confirmed"), "{shown}");

    // Confirmed, it is what the next start loads.
    bed.apply(&["--confirm", "1h"]);
    assert_well(&bed.coord(&["firewall", "confirm"]), "confirm");
    check_reboot(&bed, "configured");
    bed.lose_power();
    bed.boot();
    assert!(has_logging(&bed));
    bed.check_state("as_configured");
}

#[test]
fn what_was_undone_is_not_loaded_by_the_next_start() {
    let bed = Bed::new(LISTS);
    bed.apply(&[]);
    bed.configure(&format!("{LISTS}{LOGGING}"));
    bed.apply(&["--confirm", "1s"]);
    until("the change to be undone", || {
        (bed.status()["reverted"] == true).then_some(())
    });
    check_reboot(&bed, "last_confirmed");
    bed.lose_power();
    bed.boot();
    assert!(!has_logging(&bed));
    // Who edits the file has confirmed nothing; who applies it has.
    bed.apply(&[]);
    check_reboot(&bed, "configured");
    bed.lose_power();
    bed.boot();
    assert!(has_logging(&bed));
}

/// The very first rules, tried by hand: what was before was nothing.
#[test]
fn first_rules_that_nobody_confirmed_are_not_loaded() {
    let bed = Bed::new(LISTS);
    bed.apply(&["--confirm", "1h"]);
    check_reboot(&bed, "nothing");
    super::confirm::end_waiting(&bed);
    bed.lose_power();
    let words = ["were never confirmed", "coord firewall apply --confirm 60s"];
    Bed::check_fails(bed.command(&["firewall", "boot"]), 1, &words);
    assert_eq!(bed.table(), None);
    bed.apply(&["--confirm", "1h"]);
    assert_well(&bed.coord(&["firewall", "confirm"]), "confirm");
    bed.lose_power();
    bed.boot();
    bed.check_state("as_configured");
}

/// A change that did not come about leaves no trace.
#[test]
fn a_change_that_is_refused_confirms_and_forgets_nothing() {
    let bed = Bed::new(LISTS);
    let mut refused = bed.command(&["firewall", "apply", "--confirm", "1h"]);
    refused.env("RUNTIME_DIRECTORY", "/proc/none");
    Bed::check_fails(refused, 1, &["make the folder"]);
    assert!(!file(&bed).exists());
    bed.boot();
    bed.check_state("as_configured");
}

#[test]
fn a_configuration_without_rules_leaves_those_last_confirmed() {
    let bed = Bed::new(LISTS);
    bed.boot();
    for (wrong, words) in [
        ("default_drop = 7\n", "default_drop"),
        (
            "redis_from = [\"10.77.0.66\"]\ndeny = [\"10.77.0.66\"]\n",
            "firewall.redis_from",
        ),
        ("nonsense", "coord.toml"),
    ] {
        bed.configure(wrong);
        bed.lose_power();
        let boot = bed.coord(&["firewall", "boot"]);
        fails(&boot, 2, &["loaded the rules last confirmed", words]);
        assert!(bed.table().unwrap().contains("10.77.0.0/24"));
        let status = bed.coord(&["firewall", "status", "--json"]);
        fails(&status, 2, &[words]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(status["configuration_wrong"], true);
        assert_eq!(status["state"], "outdated");
        assert_eq!(status["reboot"], "last_confirmed");
    }
    bed.configure(LISTS);
    bed.lose_power();
    bed.boot();
    bed.check_state("as_configured");
    // With nothing kept there is nothing to be loaded.
    assert_well(&bed.coord(&["firewall", "remove"]), "remove");
    bed.configure("default_drop = 7\n");
    fails(
        &bed.coord(&["firewall", "boot"]),
        2,
        &["loaded no rules", "default_drop"],
    );
    assert_eq!(bed.table(), None);
}

/// A wrong configuration is a metric, and the counters go on.
#[test]
fn a_wrong_configuration_is_told_to_the_coordinator() {
    let bed = Bed::new(LISTS);
    bed.boot();
    let board = || {
        let status = bed.status_file();
        let write = format!("--write={}", status.display());
        assert_well(
            &bed.coord(&["firewall", "status", &write]),
            "status --write",
        );
        let text = fs::read_to_string(status).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let right = board();
    assert_eq!(
        (&right["configuration_wrong"], &right["reboot"]),
        (&false.into(), &"configured".into())
    );
    bed.configure("default_drop = 7\n");
    let wrong = board();
    assert_eq!(
        (&wrong["configuration_wrong"], &wrong["reboot"]),
        (&true.into(), &"last_confirmed".into())
    );
    assert_eq!(wrong["counters"], right["counters"]);
}

#[test]
fn removing_forgets_what_was_confirmed() {
    let bed = Bed::new(LISTS);
    bed.apply(&[]);
    assert!(file(&bed).exists());
    assert_well(&bed.coord(&["firewall", "remove"]), "remove");
    assert_eq!(fs::read_dir(bed.kept_dir()).unwrap().count(), 0);
    check_reboot(&bed, "configured");
    bed.configure(&format!("{LISTS}{LOGGING}"));
    bed.boot();
    assert!(has_logging(&bed));
}

/// A power cut while the file is written: the old one is there, beside what came of the new one.
#[test]
fn a_write_that_was_cut_off_does_no_harm() {
    let bed = Bed::new(LISTS);
    bed.apply(&[]);
    let whole = fs::read(file(&bed)).unwrap();
    bed.configure(&format!("{LISTS}{LOGGING}"));
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(bed.kept_dir().join("kept.json.new"), &whole[..length]).unwrap();
        bed.lose_power();
        assert!(bed.boot().contains("the rules last confirmed"));
        assert!(!has_logging(&bed));
    }
    bed.apply(&[]);
    assert_eq!(fs::read_dir(bed.kept_dir()).unwrap().count(), 1);
    check_reboot(&bed, "configured");
}

/// Somebody else's hand, or a medium that forgets: it is not loaded, it is told, and rules there are.
#[test]
fn what_was_tampered_with_is_not_loaded() {
    let bed = Bed::new(LISTS);
    bed.apply(&[]);
    let (path, good) = (file(&bed), fs::read_to_string(file(&bed)).unwrap());
    bed.configure(&format!("{LISTS}{LOGGING}"));
    let open = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let put = |text: &str| {
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        open(0o600);
    };
    let check = |why: &str| {
        bed.lose_power();
        let boot = bed.coord(&["firewall", "boot"]);
        fails(&boot, 1, &["loaded the rules of the configuration", why]);
        assert!(has_logging(&bed));
        check_reboot(&bed, "unreadable");
    };
    for (text, why) in [
        (String::new(), "it is incomplete or changed"),
        (
            good[..good.len() / 2].to_owned(),
            "it is incomplete or changed",
        ),
        (
            good.replace("10.77.0.0/24", "10.66.0.0/24"),
            "it has changed since it was written",
        ),
        (
            good.replace("\"format\":1", "\"format\":2"),
            "it is of another version",
        ),
    ] {
        assert_ne!(text, good);
        put(&text);
        check(why);
    }
    put(&good);
    open(0o620);
    check("a plain file that only this user can write");
    fs::rename(&path, bed.folder.path().join("elsewhere")).unwrap();
    symlink(bed.folder.path().join("elsewhere"), &path).unwrap();
    check("cannot read");
    fs::remove_file(&path).unwrap();
    put(&good);
    let folder = bed.kept_dir();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    check("its mode is 755");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    put("{");
    // Whoever applies anew has set it right.
    bed.apply(&[]);
    check_reboot(&bed, "configured");
}

/// Nowhere to keep them: a change that cannot be confirmed stays on trial.
#[test]
fn what_cannot_be_kept_is_not_confirmed() {
    let bed = Bed::new(LISTS);
    bed.apply(&["--confirm", "1h"]);
    fs::remove_dir_all(bed.kept_dir()).unwrap();
    fs::write(bed.kept_dir(), "").unwrap();
    let words = ["cannot confirm the change", "it is not a folder"];
    Bed::check_fails(bed.command(&["firewall", "confirm"]), 1, &words);
    let status = bed.status();
    assert_eq!(
        (&status["pending"], &status["guarded"]),
        (&true.into(), &true.into())
    );
    fs::remove_file(bed.kept_dir()).unwrap();
    assert_well(&bed.coord(&["firewall", "confirm"]), "confirm");
    assert!(file(&bed).exists());
    fs::remove_dir_all(bed.kept_dir()).unwrap();
    fs::write(bed.kept_dir(), "").unwrap();
    bed.configure(&format!("{LISTS}{LOGGING}"));
    let words = ["the rules are loaded, but could not be saved"];
    Bed::check_fails(bed.command(&["firewall", "apply"]), 1, &words);
    assert!(has_logging(&bed));
}
