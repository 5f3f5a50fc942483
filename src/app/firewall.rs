//! What the firewall's privileged helper left, as metrics. This process may not look at the firewall.

use std::path::Path;

use crate::edge::nft::{Board, Reboot, TableState, read_board};
use crate::metrics::Metrics;

/// Reads the helper's file anew. Without one there are no values: a box without a firewall of ours is
/// no box whose firewall is down.
pub(super) fn refresh(file: &Path, metrics: &Metrics) {
    let gauges = [
        &metrics.firewall.state,
        &metrics.firewall.drift,
        &metrics.firewall.unconfirmed,
        &metrics.firewall.configuration_unconfirmed,
        &metrics.firewall.configuration_wrong,
        &metrics.firewall.age_seconds,
    ];
    for gauge in gauges {
        gauge.reset();
    }
    metrics.firewall.packets.reset();
    metrics.firewall.bytes.reset();
    let read = read_board(file);
    metrics.firewall.unreadable.set(i64::from(read.is_err()));
    match read {
        Ok(Some(board)) => show(&board, metrics),
        Ok(None) => {}
        Err(error) => tracing::debug!(
            file = %file.display(), error = &error as &dyn std::error::Error,
            "cannot use the firewall's status file"
        ),
    }
}

fn show(board: &Board, metrics: &Metrics) {
    for state in TableState::ALL {
        let holds = i64::from(state == board.state);
        let gauge = metrics.firewall.state.with_label_values(&[state.name()]);
        gauge.set(holds);
    }
    let none: &[&str] = &[];
    let single = |gauge: &prometheus::IntGaugeVec, value| gauge.with_label_values(none).set(value);
    single(&metrics.firewall.drift, i64::from(board.state.is_drift()));
    single(&metrics.firewall.unconfirmed, i64::from(board.pending));
    let other = i64::from(board.reboot != Reboot::Configured);
    single(&metrics.firewall.configuration_unconfirmed, other);
    let wrong = i64::from(board.configuration_wrong);
    single(&metrics.firewall.configuration_wrong, wrong);
    if let Ok(age_ms) = board.age_ms() {
        let seconds = i64::try_from(age_ms / 1_000).unwrap_or(i64::MAX);
        single(&metrics.firewall.age_seconds, seconds);
    }
    for counter in &board.counters {
        let name = &[counter.name.as_str()];
        metrics
            .firewall
            .packets
            .with_label_values(name)
            .inc_by(counter.packets);
        metrics
            .firewall
            .bytes
            .with_label_values(name)
            .inc_by(counter.bytes);
    }
}
