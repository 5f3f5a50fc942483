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

/// A rule about a metric that is not there would be silent for ever.
#[test]
fn rules_and_alerts_read_metrics_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let known = fs::read_to_string(tool::checkout().join("docs/metrics.md")).unwrap();
    for command in ["rules", "alerts"] {
        let file = tool::render(folder.path(), command, &[command], &[]);
        let text = fs::read_to_string(file).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
        let metrics = words.filter(|word| !word.contains(':'));
        let metrics =
            metrics.filter(|word| word.starts_with("coord_") || word.starts_with("process_"));
        for word in metrics {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(known.contains(&format!("`{name}`")), "{word}");
        }
    }
}
