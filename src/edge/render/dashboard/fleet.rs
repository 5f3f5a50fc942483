//! All boxes: every query reads a recorded series.

use super::Form::{Heat, Stat, Table, Time};
use super::Panel;

pub(super) const FLEET: &[Panel] = &[
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
