//! Dashboards for Grafana 9 and later, about coordinators that are scraped or that push.
//!
//! A dashboard is a table of panels. In an expression, `@` stands for the selectors that the variables at the top
//! choose. Ranges are fixed, so that every expression is `PromQL` as it stands.

use serde_json::{Value, json};

use Form::{Heat, Stat, State, Table, Time};

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

const FLEET: &[Panel] = &[
    Panel(
        "Boxes that answer",
        Stat,
        4,
        "none",
        &[("sum(environment:coord_boxes_up:sum{@})", "")],
    ),
    Panel(
        "Boxes",
        Stat,
        4,
        "none",
        &[("sum(environment:coord_boxes:count{@})", "")],
    ),
    Panel(
        "Requests",
        Stat,
        4,
        "reqps",
        &[("sum(environment:coord_requests:rate5m{@})", "")],
    ),
    Panel(
        "Tasks ready",
        Stat,
        4,
        "none",
        &[(
            "sum(environment_state:coord_tasks:sum{@,state=\"ready\"})",
            "",
        )],
    ),
    Panel(
        "Agents present",
        Stat,
        4,
        "none",
        &[(
            "sum(environment_presence:coord_agents:sum{@,presence=~\"online|idle|busy\"})",
            "",
        )],
    ),
    Panel(
        "Alerts",
        Stat,
        4,
        "none",
        &[(
            "count(ALERTS{@,alertname=~\"Coord.*\",alertstate=\"firing\"}) or vector(0)",
            "",
        )],
    ),
    Panel(
        "Silent boxes",
        Table,
        12,
        "none",
        &[("coord:box:up{@} == 0", "")],
    ),
    Panel(
        "Alerts that fire",
        Table,
        12,
        "none",
        &[(
            "count by (alertname, severity, environment, node) (ALERTS{@,alertname=~\"Coord.*\",alertstate=\"firing\"})",
            "",
        )],
    ),
    Panel(
        "Boxes over time",
        Time,
        12,
        "none",
        &[
            (
                "sum by (environment) (environment:coord_boxes_up:sum{@})",
                "{{environment}}: answer",
            ),
            (
                "sum by (environment) (environment:coord_boxes:count{@})",
                "{{environment}}: all",
            ),
        ],
    ),
    Panel(
        "Versions",
        Time,
        12,
        "none",
        &[(
            "sum by (version) (environment_version:coord_boxes:count{@})",
            "{{version}}",
        )],
    ),
    Panel(
        "Requests over time",
        Time,
        12,
        "reqps",
        &[(
            "sum by (environment) (environment:coord_requests:rate5m{@})",
            "{{environment}}",
        )],
    ),
    Panel(
        "Errors",
        Time,
        12,
        "reqps",
        &[(
            "sum by (kind) (environment_kind:coord_request_errors:rate5m{@}) > 0",
            "{{kind}}",
        )],
    ),
    Panel(
        "Time to answer, 99 of 100",
        Time,
        12,
        "s",
        &[(
            "histogram_quantile(0.99, sum by (class, le) (environment_class_le:coord_request_seconds_bucket:rate5m{@}))",
            "{{class}}",
        )],
    ),
    Panel(
        "Syncs to disk",
        Heat,
        12,
        "s",
        &[(
            "sum by (le) (environment_le:coord_journal_sync_seconds_bucket:rate5m{@})",
            "{{le}}",
        )],
    ),
    Panel(
        "Slowest disks, 99 of 100 syncs",
        Time,
        12,
        "s",
        &[(
            "topk(10, instance:coord_journal_sync_seconds:p99_10m{@})",
            "{{node}}",
        )],
    ),
    Panel(
        "Furthest behind with pushing",
        Time,
        12,
        "s",
        &[(
            "topk(10, instance:coord_push_lag_seconds:max5m{@})",
            "{{node}}",
        )],
    ),
    Panel(
        "Tasks",
        Time,
        12,
        "none",
        &[(
            "sum by (state) (environment_state:coord_tasks:sum{@})",
            "{{state}}",
        )],
    ),
    Panel(
        "Agents",
        Time,
        12,
        "none",
        &[(
            "sum by (presence) (environment_presence:coord_agents:sum{@})",
            "{{presence}}",
        )],
    ),
];

const BOX: &[Panel] = &[
    Panel(
        "Answers",
        State,
        3,
        "none",
        &[(
            "coord:box:up{environment=\"$environment\",node=\"$node\"}",
            "",
        )],
    ),
    Panel("Ready", State, 3, "none", &[("coord_ready{@}", "")]),
    Panel(
        "Clock right",
        State,
        3,
        "none",
        &[("1 - coord_wall_clock_wrong{@}", "")],
    ),
    Panel(
        "Space on disk",
        State,
        3,
        "none",
        &[("1 - coord_journal_storage_full{@}", "")],
    ),
    Panel(
        "Up for",
        Stat,
        4,
        "s",
        &[("time() - process_start_time_seconds{@}", "")],
    ),
    Panel(
        "Certificates expire in",
        Stat,
        4,
        "s",
        &[("coord_certificate_not_after_seconds{@} - time()", "{{use}}")],
    ),
    Panel(
        "Version",
        Stat,
        4,
        "none",
        &[("coord_build_info{@}", "{{version}}, {{journal}}")],
    ),
    Panel(
        "Requests",
        Time,
        12,
        "reqps",
        &[(
            "topk(10, rate(coord_requests_total{@}[5m])) > 0",
            "{{operation}}",
        )],
    ),
    Panel(
        "Errors and limits",
        Time,
        12,
        "reqps",
        &[
            ("rate(coord_request_errors_total{@}[5m]) > 0", "{{kind}}"),
            ("rate(coord_limits_hit_total{@}[5m]) > 0", "limit {{limit}}"),
        ],
    ),
    Panel(
        "Time to answer",
        Time,
        12,
        "s",
        &[
            (
                "histogram_quantile(0.5, sum by (class, le) (rate(coord_request_seconds_bucket{@}[5m])))",
                "{{class}}, 50 of 100",
            ),
            (
                "histogram_quantile(0.99, sum by (class, le) (rate(coord_request_seconds_bucket{@}[5m])))",
                "{{class}}, 99 of 100",
            ),
        ],
    ),
    Panel(
        "In progress",
        Time,
        12,
        "none",
        &[
            ("coord_commands_in_flight{@}", "commands to the journal"),
            ("coord_requests_waiting{@}", "requests that wait"),
        ],
    ),
    Panel(
        "Tasks",
        Time,
        12,
        "none",
        &[(
            "sum by (project, state) (coord_tasks{@})",
            "{{project}}: {{state}}",
        )],
    ),
    Panel(
        "Tasks that ended",
        Time,
        12,
        "ops",
        &[
            ("rate(coord_tasks_done_total{@}[5m])", "{{project}}: done"),
            ("rate(coord_tasks_dead_total{@}[5m])", "{{project}}: dead"),
            (
                "rate(coord_attempts_lost_total{@}[5m])",
                "{{project}}: agent lost",
            ),
        ],
    ),
    Panel(
        "Agents",
        Time,
        8,
        "none",
        &[(
            "sum by (project, presence) (coord_agents{@})",
            "{{project}}: {{presence}}",
        )],
    ),
    Panel(
        "Leases",
        Time,
        8,
        "none",
        &[(
            "sum by (project, state) (coord_leases{@})",
            "{{project}}: {{state}}",
        )],
    ),
    Panel(
        "Messages",
        Time,
        8,
        "none",
        &[("coord_messages_waiting{@}", "{{project}}: waiting")],
    ),
    Panel(
        "Connections",
        Time,
        8,
        "none",
        &[
            ("coord_connections{@}", "open"),
            ("coord_sessions{@}", "sessions"),
            (
                "increase(coord_connections_refused_total{@}[5m])",
                "refused in 5 min: {{reason}}",
            ),
        ],
    ),
    Panel(
        "Syncs to disk",
        Heat,
        8,
        "s",
        &[(
            "sum by (le) (rate(coord_journal_sync_seconds_bucket{@}[5m]))",
            "{{le}}",
        )],
    ),
    Panel(
        "Written to disk",
        Time,
        8,
        "Bps",
        &[("rate(coord_journal_written_bytes_total{@}[5m])", "journal")],
    ),
    Panel(
        "Journal",
        Time,
        8,
        "bytes",
        &[
            ("coord_journal_disk_bytes{@}", "on disk"),
            ("coord_journal_live_bytes{@}", "not in a snapshot"),
            ("coord_snapshot_bytes{@}", "snapshots"),
        ],
    ),
    Panel(
        "Memory",
        Time,
        8,
        "bytes",
        &[("process_resident_memory_bytes{@}", "in RAM")],
    ),
    Panel(
        "CPU",
        Time,
        8,
        "percentunit",
        &[("rate(process_cpu_seconds_total{@}[5m])", "of one core")],
    ),
    Panel(
        "Push: behind",
        Time,
        8,
        "s",
        &[
            ("coord_push_lag_seconds{@}", "behind"),
            (
                "coord_push_clock_offset_seconds{@}",
                "clock of the receiver",
            ),
        ],
    ),
    Panel(
        "Push: records",
        Time,
        8,
        "ops",
        &[
            ("rate(coord_push_records_total{@}[5m])", "{{outcome}}"),
            (
                "rate(coord_push_failures_total{@}[5m]) > 0",
                "failed: {{reason}}",
            ),
        ],
    ),
    Panel(
        "Push: waiting",
        Time,
        8,
        "bytes",
        &[("coord_push_backlog_bytes{@}", "")],
    ),
    Panel(
        "Firewall",
        Time,
        24,
        "pps",
        &[("rate(coord_firewall_packets_total{@}[5m])", "{{counter}}")],
    ),
];

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
