//! Recording rules and alerts for a fleet of coordinators. They fit boxes that are scraped with the job of
//! `coord render prometheus`, and do not depend on the configuration of one of them.

const VERSION: &str = env!("CARGO_PKG_VERSION");
const RULES: &str = include_str!("rules.yml");
const ALERTS: &str = include_str!("alerts.yml");

/// What dashboards of the fleet and the alerts read.
pub fn rules() -> String {
    headed("Recording rules", "rules", RULES)
}

/// They need the recording rules.
pub fn alerts() -> String {
    headed("Alerts", "alerts", ALERTS)
}

fn headed(what: &str, command: &str, text: &str) -> String {
    format!(
        "# {what} for coordinators, made by `coord render {command}` (coord {VERSION}); each upgrade may bring others.\n\
         {text}"
    )
}
