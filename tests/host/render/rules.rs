//! Recording rules and alerts, as `promtool` judges them: each alert fires when it should, and not before.

use std::fs;

use super::tool;

const TESTS: [&str; 2] = ["fleet.test.yml", "versions.test.yml"];

#[test]
fn every_alert_fires_when_it_should_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let own = tool::checkout().join("tests/host/render");
    for (file, command) in [("rules.yml", "rules"), ("alerts.yml", "alerts")] {
        let rendered = tool::render(folder.path(), file, &[command], &[]);
        let mut promtool = tool::program("promtool");
        let said = tool::printed(promtool.args(["check", "rules"]).arg(rendered));
        assert!(said.contains("SUCCESS"), "{said}");
    }
    let mut cases = String::new();
    for file in TESTS {
        let text = fs::read_to_string(own.join(file)).unwrap();
        fs::write(folder.path().join(file), &text).unwrap();
        cases += &text;
    }
    let mut promtool = tool::program("promtool");
    let said = tool::printed(
        promtool
            .args(["test", "rules"])
            .args(TESTS)
            .current_dir(&folder),
    );
    assert!(!said.contains("FAILED"), "{said}");
    let alerts = fs::read_to_string(folder.path().join("alerts.yml")).unwrap();
    let names = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        // Once before it fires, once when it does.
        let quoted = format!("alertname=\"{name}\"");
        assert!(cases.matches(&quoted).count() >= 3, "{name} has no case");
    }
}

/// The metrics and recorded series in queries that neither a coordinator nor a rule makes.
pub(super) fn unknown_metrics(queries: &str) -> Vec<String> {
    let known = fs::read_to_string(tool::checkout().join("docs/metrics.md")).unwrap();
    let rules = fs::read_to_string(tool::checkout().join("src/edge/render/rules.yml")).unwrap();
    let words = queries.split(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
    let is_unknown = |word: &&str| {
        if word.contains(':') {
            return word.contains("coord") && !rules.contains(&format!("record: {word}\n"));
        }
        let name = word.strip_suffix("_bucket").unwrap_or(word);
        let is_metric = name.starts_with("coord_") || name.starts_with("process_");
        let is_known = known.contains(&format!("`{name}`"));
        is_metric && !is_known
    };
    words.filter(is_unknown).map(str::to_owned).collect()
}

/// A rule about a metric that is not there would be silent for ever.
#[test]
fn rules_and_alerts_read_metrics_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["rules", "alerts"] {
        let file = tool::render(folder.path(), command, &[command], &[]);
        let text = fs::read_to_string(file).unwrap();
        let unknown = unknown_metrics(&text);
        assert!(unknown.is_empty(), "{command}: {unknown:?}");
    }
    assert_eq!(
        unknown_metrics("coord_ready coord_invented coord:box:up coord:box:down").join(" "),
        "coord_invented coord:box:down"
    );
}

/// How long, how bad, what, and where: each alert says all of it.
#[test]
fn every_alert_is_whole() {
    let alerts = fs::read_to_string(tool::checkout().join("src/edge/render/alerts.yml")).unwrap();
    let page = fs::read_to_string(tool::checkout().join("docs/monitoring.md")).unwrap();
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        for part in [
            "expr: ",
            "for: ",
            "labels: {severity: ",
            "summary: ",
            "description: ",
        ] {
            assert!(alert.contains(&format!("  {part}")), "{name} has no {part}");
        }
        assert!(name.starts_with("Coord"));
        assert!(
            page.contains(&format!("| `{name}` |")),
            "docs/monitoring.md lacks {name}"
        );
    }
}
