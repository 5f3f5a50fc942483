//! What the unprivileged coordinator tells of the firewall: read from a file that a privileged helper
//! leaves, and believed only as far as it can be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::bed::*;
use super::space::assert_well;

fn scrape(bed: &Bed) -> String {
    let script = format!(
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:{METRICS}/metrics').read().decode())"
    );
    bed.gateway.run("python3", &["-c", &script])
}

#[track_caller]
fn check_metrics(bed: &Bed, expected: &[&str]) {
    let text = scrape(bed);
    for line in expected {
        assert!(
            text.lines().any(|found| found == *line),
            "{line:?} is not in {text}"
        );
    }
}

/// Leaves the board, as the timer does.
fn look(bed: &Bed) {
    let status = bed.coord(&["firewall", "status", "--write"]);
    assert_well(&status, "status --write");
}

#[test]
fn counters_and_drift_are_metrics() {
    let bed = Bed::new(LISTS);
    let _coordinator = bed.serve();
    let text = until("the metrics", || {
        let text = scrape(&bed);
        text.contains("coord_build_info").then_some(text)
    });
    assert!(!text.contains("coord_firewall_drift "), "{text}");
    check_metrics(&bed, &["coord_firewall_unreadable 0"]);
    bed.apply(&["--confirm", "1h"]);
    let mut outside = super::talker::Talker::new(&bed.outside);
    bed.drops(&mut outside, (STRANGER_V4, BOX_V4, REDIS), "redis_refused");
    look(&bed);
    let mode = fs::metadata(bed.status_file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
    check_metrics(
        &bed,
        &[
            "coord_firewall_drift 0",
            "coord_firewall_unconfirmed 1",
            "coord_firewall_state{state=\"as_configured\"} 1",
            "coord_firewall_state{state=\"gone\"} 0",
        ],
    );
    let counted = scrape(&bed)
        .lines()
        .find_map(|line| {
            line.strip_prefix("coord_firewall_packets_total{counter=\"redis_refused\"} ")
        })
        .and_then(|number| number.parse::<u64>().ok());
    assert!(counted.unwrap() >= 1);
    assert_well(&bed.coord(&["firewall", "confirm"]), "confirm");
    bed.gateway
        .run("nft", &["flush", "chain", "inet", "coord", "redis"]);
    look(&bed);
    check_metrics(
        &bed,
        &[
            "coord_firewall_drift 1",
            "coord_firewall_unconfirmed 0",
            "coord_firewall_state{state=\"changed_by_others\"} 1",
            "coord_firewall_state{state=\"as_configured\"} 0",
        ],
    );
}

#[test]
fn a_board_that_cannot_be_believed_is_told_and_does_no_harm() {
    let bed = Bed::new(LISTS);
    let _coordinator = bed.serve();
    until("the metrics", || {
        scrape(&bed).contains("coord_build_info").then_some(())
    });
    bed.apply(&[]);
    look(&bed);
    let good = fs::read_to_string(bed.status_file()).unwrap();
    let file = bed.status_file();
    let put = |text: &str| {
        let _ = fs::remove_file(&file);
        fs::write(&file, text).unwrap();
    };
    let long = format!("{good}{}", " ".repeat(70_000));
    let many: Vec<String> = (0..65)
        .map(|i| format!("{{\"name\":\"a{i}\",\"packets\":0,\"bytes\":0}}"))
        .collect();
    let many = format!(
        "{{\"format\":1,\"uptime_ms\":0,\"state\":\"gone\",\"pending\":false,\"counters\":[{}]}}",
        many.join(",")
    );
    let bad = [
        String::new(),
        "[]".to_owned(),
        good.replace("\"format\":1", "\"format\":2"),
        good.replace("as_configured", "excellent"),
        good.replace("redis_refused", "a\\\"} 1\\nevil"),
        good.replace("redis_refused", &"a".repeat(65)),
        good.replace("\"packets\":0", "\"packets\":-1"),
        many,
        long,
    ];
    for text in bad {
        assert_ne!(text, good);
        put(&text);
        let scraped = scrape(&bed);
        assert!(
            scraped.contains("\ncoord_firewall_unreadable 1\n"),
            "{text:.200}"
        );
        assert!(!scraped.contains("evil") && !scraped.contains("coord_firewall_drift "));
    }
    // A link, a pipe and a folder in its place neither mislead nor block.
    fs::remove_file(&file).unwrap();
    symlink("/etc/passwd", &file).unwrap();
    check_metrics(&bed, &["coord_firewall_unreadable 1"]);
    fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    check_metrics(&bed, &["coord_firewall_unreadable 1"]);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    check_metrics(&bed, &["coord_firewall_unreadable 1"]);
    fs::remove_dir(&file).unwrap();
    check_metrics(&bed, &["coord_firewall_unreadable 0"]);
    put(&good);
    check_metrics(
        &bed,
        &["coord_firewall_unreadable 0", "coord_firewall_drift 0"],
    );
}

/// Whoever could write to the folder could lead a privileged writer elsewhere.
#[test]
fn the_board_is_not_left_where_others_write() {
    let bed = Bed::new(LISTS);
    let folder = bed.status_file().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let command = bed.command(&["firewall", "status", "--write"]);
    Bed::check_fails(command, 2, &["its folder is writable by others"]);
    assert!(!bed.status_file().exists());
}
