//! The dashboards: their form, their queries as `promtool` reads them, and that what they read exists.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use serde_json::Value;

use super::rules::unknown_metrics;
use super::tool;

const FORMS: [&str; 4] = ["stat", "timeseries", "table", "heatmap"];

fn dashboard(name: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = tool::render(folder.path(), "dashboard.json", &["dashboard", name], &[]);
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    let found = value[key].as_str();
    found.unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// All queries: of the panels, and of the variables.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut queries: Vec<String> = targets
        .map(|target| text(target, "expr").to_owned())
        .collect();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let values = variable["query"]["query"].as_str();
        let values = values.and_then(|text| text.strip_prefix("label_values("));
        queries.extend(values.map(|rest| rest.rsplit_once(',').unwrap().0.to_owned()));
    }
    queries
}

#[test]
fn promtool_parses_every_query() {
    for name in ["fleet", "box"] {
        let mut rules = String::from("groups:\n- name: queries\n  rules:\n");
        let all = queries(&dashboard(name));
        for (query, number) in all.iter().zip(0..) {
            let quoted = serde_json::to_string(query).unwrap();
            writeln!(rules, "  - record: query:{number}\n    expr: {quoted}").unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queries.yml");
        fs::write(&file, rules).unwrap();
        let mut promtool = tool::program("promtool");
        let said = tool::printed(promtool.args(["check", "rules"]).arg(file));
        let found = format!("SUCCESS: {} rules found", all.len());
        assert!(said.contains(&found), "{said}");
    }
}

#[test]
fn they_read_what_exists_and_the_fleet_reads_recorded_series_only() {
    for name in ["fleet", "box"] {
        let queries = queries(&dashboard(name));
        let unknown = unknown_metrics(&queries.join("\n"));
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        for query in queries.iter().filter(|_| name == "fleet") {
            let is_recorded = query.contains(":coord_") || query.contains("coord:box:");
            assert!(is_recorded || query.contains("ALERTS{"), "{query}");
        }
    }
}

/// What Grafana needs of a dashboard to load it and to tell its panels apart.
#[test]
fn they_have_the_form_that_grafana_reads() {
    for (name, panels_min) in [("fleet", 12), ("box", 20)] {
        let dashboard = dashboard(name);
        assert_eq!(text(&dashboard, "uid"), format!("coord-{name}"));
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
        assert!(dashboard.get("id").is_none(), "Grafana gives the id");
        let panels = dashboard["panels"].as_array().unwrap();
        assert!(panels.len() >= panels_min);
        let ids: BTreeSet<u64> = panels
            .iter()
            .map(|panel| panel["id"].as_u64().unwrap())
            .collect();
        assert_eq!(ids.len(), panels.len());
        for panel in panels {
            assert!(FORMS.contains(&text(panel, "type")), "{panel}");
            assert!(!text(panel, "title").is_empty());
            assert_eq!(text(&panel["datasource"], "uid"), "$datasource");
            assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty());
            let targets = panel["targets"].as_array().unwrap();
            let refs: BTreeSet<&str> = targets.iter().map(|target| text(target, "refId")).collect();
            assert_eq!(refs.len(), targets.len());
        }
        check_places(panels);
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: Vec<&str> = variables
            .iter()
            .map(|variable| text(variable, "name"))
            .collect();
        let all = ["datasource", "environment", "node"];
        assert_eq!(names, all[..if name == "box" { 3 } else { 2 }]);
        for query in queries(&dashboard) {
            for rest in query.split('$').skip(1) {
                let used = rest.split(|c: char| !c.is_alphabetic()).next().unwrap();
                assert!(names.contains(&used), "{query}");
            }
        }
    }
}

/// No panel covers another, and none is wider than the page.
fn check_places(panels: &[Value]) {
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{panel} covers another");
            }
        }
    }
}
