//! The rules of every profile, open and closed, byte for byte; and that `nft` takes them in both forms.

use std::fs;

use cli_coordinator::config::{FirewallConfig, Flags, MapEnvironment};
use cli_coordinator::edge::firewall::{Policy, Ruleset};
use cli_coordinator::edge::ports::{Port, Profile};

use super::bed::source_file;
use super::space::Space;

/// Everything that a policy can have.
const ALL: [(&str, &str); 14] = [
    ("WEBSOCKET_HOST", "::"),
    ("COORD_METRICS_HOST", "0.0.0.0"),
    (
        "COORD_FIREWALL_WEBSOCKET_FROM",
        "10.0.0.0/8,192.0.2.5-192.0.2.9,2001:db8::/32",
    ),
    ("COORD_FIREWALL_METRICS_FROM", "192.0.2.10,2001:db8::10"),
    ("COORD_FIREWALL_REDIS_FROM", "192.0.2.20"),
    ("COORD_FIREWALL_SSH_FROM", "10.0.0.0/8,2001:db8::/32"),
    ("COORD_FIREWALL_SSH_PORTS", "22,2222"),
    ("COORD_FIREWALL_OPEN_PORTS", "443,51820/udp"),
    ("COORD_FIREWALL_LEASE_PORTS", "20000-20999"),
    ("COORD_FIREWALL_INTERFACES", "eth0,wg0"),
    ("COORD_FIREWALL_DENY", "10.6.6.0/24,2001:db8:6::/48"),
    ("COORD_FIREWALL_TRUSTED", "10.0.0.2"),
    ("COORD_FIREWALL_LOG_PER_MINUTE_MAX", "10"),
    ("COORD_FIREWALL_DEFAULT_DROP", "true"),
];

/// Each golden file's name, and its rules: a profile as it is delivered, closed, and with everything.
fn all() -> Vec<(String, Ruleset)> {
    let closed = [("COORD_FIREWALL_DEFAULT_DROP", "true")];
    let kinds = [("", &[][..]), ("-closed", &closed[..]), ("-all", &ALL[..])];
    let of = |profile: Profile| {
        kinds.map(|(suffix, more)| (format!("{profile}{suffix}"), ruleset(profile, more)))
    };
    Profile::ALL.into_iter().flat_map(of).collect()
}

fn ruleset(profile: Profile, variables: &[(&str, &str)]) -> Ruleset {
    let mut environment = MapEnvironment::from([("COORD_PROFILE", profile.name())]);
    for (name, text) in variables {
        environment.variables.insert((*name).into(), (*text).into());
    }
    let (config, warnings) = FirewallConfig::load(&Flags::default(), &environment).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let ssh = Port::new(22).unwrap();
    let (policy, remarks) = Policy::of(&config, &[ssh]).unwrap();
    assert!(remarks.is_empty(), "{remarks:?}");
    policy.ruleset()
}

fn golden_file(name: &str) -> std::path::PathBuf {
    source_file("tests/host/firewall/golden").join(format!("{name}.nft"))
}

#[test]
fn every_profile_has_its_rules() {
    for (name, ruleset) in all() {
        let golden = fs::read_to_string(golden_file(&name)).unwrap();
        assert_eq!(
            ruleset.text(),
            golden,
            "{name}: write_the_golden_files makes them anew"
        );
        assert_eq!(ruleset.text(), ruleset.clone().text());
    }
}

/// Writes them anew: `cargo nextest run --test host --run-ignored only firewall::golden`.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_golden_files() {
    for (name, ruleset) in all() {
        fs::write(golden_file(&name), ruleset.text()).unwrap();
    }
}

/// `nft -c` takes the text and the JSON of each; loaded, both are the same table.
#[test]
fn nft_takes_each_in_both_forms() {
    check_both_forms(&[]);
}

/// As on a system that is only what it needs to be.
#[test]
fn nft_takes_each_without_the_names_of_protocols() {
    let hide = "for file in /etc/protocols /etc/services; do \
                [ ! -e $file ] || mount --bind /dev/null $file; done; exec \"$@\"";
    check_both_forms(&["unshare", "--mount", "sh", "-euc", hide, "sh"]);
}

/// Each command is run by `before`.
fn check_both_forms(before: &[&str]) {
    let space = Space::new();
    let nft = |words: &[&str]| {
        let all = [before, &["nft"], words].concat();
        space.run(all[0], &all[1..])
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, ruleset) in all() {
        let text = golden_file(&name);
        let text = text.to_str().unwrap();
        let json = folder.path().join("rules.json");
        fs::write(&json, ruleset.json().to_string()).unwrap();
        let json = json.to_str().unwrap();
        nft(&["-c", "-f", text]);
        nft(&["-j", "-c", "-f", json]);
        let loaded = |words: &[&str]| {
            nft(words);
            let listing = nft(&["-s", "list", "table", "inet", "coord"]);
            nft(&["delete", "table", "inet", "coord"]);
            cli_coordinator::edge::firewall::normal(&listing)
        };
        let (of_text, of_json) = (loaded(&["-f", text]), loaded(&["-j", "-f", json]));
        assert_eq!(of_text, of_json, "{name}");
    }
}
