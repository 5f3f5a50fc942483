//! One box in detail.

use super::Form::{Heat, Stat, State, Time};
use super::Panel;

pub(super) const BOX: &[Panel] = &[
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
        "MQTT: connection",
        Time,
        12,
        "none",
        &[
            ("coord_mqtt_connected{@}", "connected"),
            ("increase(coord_mqtt_takeovers_total{@}[1h])", "taken over"),
        ],
    ),
    Panel(
        "MQTT: events",
        Time,
        12,
        "none",
        &[
            ("coord_mqtt_lag_events{@}", "behind"),
            (
                "rate(coord_mqtt_events_total{@}[5m])",
                "a second: {{outcome}}",
            ),
        ],
    ),
    Panel(
        "Firewall",
        Time,
        24,
        "pps",
        &[("rate(coord_firewall_packets_total{@}[5m])", "{{counter}}")],
    ),
];
