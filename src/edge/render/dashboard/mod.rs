//! Dashboards for Grafana 9 and later, about coordinators that are scraped or that push.
//!
//! A dashboard is a table of panels. In an expression, `@` stands for the selectors that the variables at the top
//! choose. Ranges are fixed, so that every expression is `PromQL` as it stands.

use serde_json::{Value, json};

mod fleet;
mod one_box;

use Form::{Heat, Stat, State, Table, Time};
use fleet::FLEET;
use one_box::BOX;

/// A dashboard that `coord render dashboard` can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dashboard {
    /// All boxes: from the recording rules only, so that a thousand boxes cost as little as one.
    Fleet,
    /// One box in detail.
    Box,
}

/// How a panel shows its queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The present number.
    Stat,
    /// 1 is good, 0 is bad.
    State,
    /// Lines over time.
    Time,
    /// A row for each series.
    Table,
    /// Buckets of a histogram over time.
    Heat,
}

/// Title, form, width of 24, unit of Grafana, and queries with the legend of each.
struct Panel(
    &'static str,
    Form,
    u64,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const FLEET_SELECTORS: &str = "environment=~\"$environment\"";
const BOX_SELECTORS: &str = "job=\"coord\",environment=\"$environment\",node=\"$node\"";

impl Dashboard {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "fleet" => Some(Self::Fleet),
            "box" => Some(Self::Box),
            _ => None,
        }
    }

    /// The dashboard as Grafana imports it. Its `uid` stays the same, so a later one replaces it.
    pub fn json(self) -> Value {
        let (uid, title, panels, selectors) = match self {
            Self::Fleet => ("coord-fleet", "Coordinators: fleet", FLEET, FLEET_SELECTORS),
            Self::Box => ("coord-box", "Coordinators: one box", BOX, BOX_SELECTORS),
        };
        json!({
            "uid": uid, "title": title, "tags": ["coord"], "schemaVersion": 37, "version": 1, "editable": true,
            "timezone": "browser", "refresh": "1m", "time": { "from": "now-6h", "to": "now" },
            "templating": { "list": self.variables() },
            "annotations": { "list": [] },
            "links": [{ "type": "dashboards", "title": "Coordinators", "tags": ["coord"], "asDropdown": false,
                "includeVars": true, "keepTime": true, "targetBlank": false, "icon": "external link", "tooltip": "",
                "url": "" }],
            "panels": placed(panels, selectors),
        })
    }

    fn variables(self) -> Vec<Value> {
        let is_fleet = self == Self::Fleet;
        let mut list = vec![
            json!({ "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus" }),
            variable(
                "environment",
                "label_values(coord:box:seen6h, environment)",
                is_fleet,
            ),
        ];
        if !is_fleet {
            let query = "label_values(coord:box:seen6h{environment=\"$environment\"}, node)";
            list.push(variable("node", query, false));
        }
        list
    }
}

/// A variable of the values of a label; of the whole fleet several may be chosen.
fn variable(name: &str, query: &str, several: bool) -> Value {
    json!({
        "name": name, "label": name, "type": "query", "datasource": source(),
        "query": { "query": query, "refId": name }, "refresh": 2, "sort": 1, "multi": several,
        "includeAll": several,
    })
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "$datasource" })
}

/// The panels from left to right, in rows.
fn placed(panels: &[Panel], selectors: &str) -> Vec<Value> {
    let (mut x, mut y, mut row) = (0, 0, 0);
    let mut list = Vec::new();
    for (Panel(title, form, width, unit, queries), id) in panels.iter().zip(1..) {
        let height = if matches!(form, Stat | State) { 4 } else { 8 };
        if x + width > 24 {
            (x, y) = (0, y + row);
        }
        row = height;
        let targets = queries.iter().zip('A'..).map(|((expr, legend), id)| {
            json!({
                "refId": id.to_string(), "datasource": source(), "expr": expr.replace('@', selectors),
                "legendFormat": legend, "instant": *form == Table,
                "format": match form { Table => "table", Heat => "heatmap", _ => "time_series" },
            })
        });
        let mut panel = json!({
            "id": id, "title": title, "type": form.kind(), "datasource": source(),
            "gridPos": { "x": x, "y": y, "w": width, "h": height },
            "fieldConfig": { "defaults": { "unit": unit }, "overrides": [] },
            "targets": targets.collect::<Vec<_>>(),
        });
        form.finish(&mut panel);
        list.push(panel);
        x += width;
    }
    list
}

impl Form {
    fn kind(self) -> &'static str {
        match self {
            Stat | State => "stat",
            Time => "timeseries",
            Table => "table",
            Heat => "heatmap",
        }
    }

    /// What only some forms have.
    fn finish(self, panel: &mut Value) {
        match self {
            Stat | Time => {}
            State => {
                panel["options"] = json!({ "colorMode": "background" });
                let defaults = &mut panel["fieldConfig"]["defaults"];
                defaults["mappings"] = json!([{ "type": "value", "options": {
                    "0": { "text": "no", "color": "red" }, "1": { "text": "yes", "color": "green" },
                } }]);
            }
            Table => {
                // A row leads to its box.
                let url = "/d/coord-box?var-environment=${__data.fields.environment}&var-node=${__data.fields.node}";
                panel["fieldConfig"]["defaults"]["links"] =
                    json!([{ "title": "this box", "url": url }]);
                panel["transformations"] = json!([{ "id": "organize", "options": {
                    "excludeByName": { "Time": true, "Value": true, "__name__": true },
                } }]);
            }
            Heat => panel["options"] = json!({ "calculate": false, "yAxis": { "unit": "s" } }),
        }
    }
}
