//! One table is owned: a second apply does nothing, drift is seen, and nothing else is ever touched.

use super::bed::*;
use super::space::assert_well;

/// What others may have on a box: a filter that drops, translation, sets and counters of their own.
const FOREIGN: &str = "\
table inet filter {
	counter seen { packets 7 bytes 700 }
	set bad { type ipv4_addr; flags interval; elements = { 203.0.113.0/24 }; }
	chain input { type filter hook input priority filter; policy accept; ip saddr @bad counter drop
	}
}
table ip nat {
	chain prerouting { type nat hook prerouting priority dstnat; policy accept; tcp dport 8080 dnat to 10.99.0.2:80
	}
}
table ip coord {
	chain input { type filter hook input priority 10; policy accept;
	}
}
table inet coordinates {
}
";

/// Everything of the box but our table, with handles.
fn foreign(bed: &Bed) -> String {
    let ruleset = bed.gateway.run("nft", &["-a", "list", "ruleset"]);
    let mut ours = false;
    let kept = ruleset.lines().filter(|line| {
        ours |= line.starts_with("table inet coord {");
        let keep = !ours;
        ours &= *line != "}";
        keep
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn a_second_apply_changes_nothing() {
    let bed = Bed::new(&format!("{LISTS}interfaces = [\"wan\", \"lo\"]\n"));
    assert!(bed.apply(&[]).contains("the rules are loaded"));
    let table = bed.table().unwrap();
    assert!(bed.apply(&[]).contains("nothing changed"));
    // Loaded anew, every rule would have another handle.
    assert_eq!(bed.table().unwrap(), table);
    assert!(bed.apply(&["--confirm", "1h"]).contains("nothing changed"));
    assert_eq!(bed.table().unwrap(), table);
    assert_eq!(bed.status()["pending"], false);
    let json = bed.coord(&["firewall", "apply", "--json"]);
    let said = String::from_utf8(json.stdout).unwrap();
    assert_eq!(
        said,
        "{\"changed\":\"nothing\",\"confirm_within_ms\":null}\n"
    );
}

#[test]
fn foreign_tables_stay_as_they_are() {
    let bed = Bed::new(LISTS);
    bed.gateway.nft(bed.folder.path(), FOREIGN);
    let before = foreign(&bed);
    assert!(before.contains("packets 7 bytes 700"));
    bed.apply(&[]);
    assert_eq!(foreign(&bed), before);
    bed.configure(&format!("{LISTS}default_drop = true\n"));
    bed.apply(&[]);
    assert_eq!(foreign(&bed), before);
    bed.gateway
        .run("nft", &["add", "chain", "inet", "coord", "foreign"]);
    bed.apply(&[]);
    bed.apply(&["--default-drop"]);
    assert_eq!(foreign(&bed), before);
    bed.configure(LISTS);
    bed.apply(&["--confirm", "1s"]);
    until("the change to be undone", || {
        (bed.status()["pending"] == false).then_some(())
    });
    assert_eq!(foreign(&bed), before);
    assert_well(&bed.coord(&["firewall", "remove"]), "remove");
    assert_eq!(bed.table(), None);
    assert_eq!(bed.gateway.run("nft", &["-a", "list", "ruleset"]), before);
    assert_well(&bed.coord(&["firewall", "remove"]), "a second remove");
}

#[test]
fn drift_is_seen_and_set_right() {
    let bed = Bed::new(LISTS);
    bed.check_state("absent");
    bed.apply(&[]);
    bed.check_state("as_configured");
    bed.gateway.run(
        "nft",
        &["insert", "rule", "inet", "coord", "redis", "accept"],
    );
    let status = bed.status();
    assert_eq!(status["state"], "changed_by_others");
    assert_eq!(status["drift"], true);
    let diff = bed.coord(&["firewall", "diff"]);
    assert_eq!(diff.status.code(), Some(1));
    let shown = String::from_utf8(diff.stdout).unwrap();
    assert!(shown.contains("\n+\t\taccept\n"), "{shown}");
    assert!(!shown.contains("+++ configured"), "{shown}");
    bed.apply(&[]);
    bed.check_state("as_configured");
    // An element that somebody added to a list of ours is drift too.
    let element = [
        "add",
        "element",
        "inet",
        "coord",
        "websocket_from_v4",
        "{ 192.0.2.1 }",
    ];
    bed.gateway.run("nft", &element);
    bed.check_state("changed_by_others");
    bed.apply(&[]);
    bed.gateway
        .run("nft", &["delete", "table", "inet", "coord"]);
    bed.check_state("gone");
    bed.apply(&[]);
    bed.configure(&format!("{LISTS}redis_from = [\"10.77.0.3\"]\n"));
    bed.check_state("outdated");
    let diff = bed.coord(&["firewall", "diff"]);
    let shown = String::from_utf8(diff.stdout).unwrap();
    assert!(shown.contains("\n+\tchain redis_allowed {\n"), "{shown}");
    assert!(!shown.contains("+++ loaded"), "{shown}");
    bed.apply(&[]);
    bed.check_state("as_configured");
    assert_eq!(bed.coord(&["firewall", "diff"]).status.code(), Some(0));
    // What was applied is forgotten at a reboot; a table that is there nevertheless is not trusted.
    std::fs::remove_dir_all(bed.runtime_dir()).unwrap();
    bed.check_state("unknown");
    assert!(bed.apply(&[]).contains("they replace a table"));
    bed.check_state("as_configured");
}

/// What packets did to the table is no drift.
#[test]
fn remembered_sources_are_no_drift_and_outlive_new_rules() {
    let bed = Bed::new(&format!("{LISTS}new_per_minute_max = 1\n"));
    bed.apply(&[]);
    let mut inside = super::talker::Talker::new(&bed.gateway);
    inside.listen("0.0.0.0", WEBSOCKET);
    let mut outside = super::talker::Talker::new(&bed.outside);
    for _ in 0..5 {
        outside.passes(AGENT_V4, BOX_V4, WEBSOCKET);
    }
    bed.drops(
        &mut outside,
        (AGENT_V4, BOX_V4, WEBSOCKET),
        "websocket_limited",
    );
    bed.check_state("as_configured");
    bed.configure(&format!(
        "{LISTS}new_per_minute_max = 1\nlog_per_minute_max = 5\n"
    ));
    assert!(bed.apply(&[]).contains("counters keep their values"));
    // Its tries of before are still counted against it.
    bed.drops(
        &mut outside,
        (AGENT_V4, BOX_V4, WEBSOCKET),
        "websocket_limited",
    );
}

#[test]
fn rendering_is_pure_and_check_changes_nothing() {
    let bed = Bed::new(LISTS);
    let render = |words: &[&str]| {
        let output = bed.coord(words);
        assert_well(&output, "render");
        String::from_utf8(output.stdout).unwrap()
    };
    let once = render(&["firewall", "render"]);
    assert_eq!(render(&["firewall", "render"]), once);
    assert!(once.starts_with("# coord, production profile, only the ports"));
    let closed = render(&[
        "firewall",
        "render",
        "--default-drop",
        "--profile",
        "staging",
    ]);
    assert!(closed.starts_with("# coord, staging profile, a closed box"));
    let json: serde_json::Value =
        serde_json::from_str(&render(&["firewall", "render", "--json"])).unwrap();
    assert_eq!(json["nftables"][0]["add"]["table"]["name"], "coord");
    assert_well(&bed.coord(&["firewall", "check"]), "check");
    assert_well(
        &bed.coord(&["firewall", "check", "--default-drop"]),
        "check",
    );
    assert_eq!(bed.table(), None);
}

#[test]
fn check_does_not_mind_what_is_loaded() {
    let bed = Bed::new(LISTS);
    assert_well(&bed.coord(&["firewall", "apply"]), "apply");
    let loaded = bed.table();
    assert!(loaded.is_some());
    for words in [
        &["firewall", "check"][..],
        &["firewall", "check", "--default-drop"],
    ] {
        assert_well(&bed.coord(words), "check");
    }
    assert_eq!(bed.table(), loaded);
}
