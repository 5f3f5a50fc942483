//! The input of `nft -f`: the whole change in one text, which the kernel applies or refuses as a whole.

use std::fmt::Write as _;

use super::ruleset::Outline;
use super::{FAMILY, LEASE_SET, TABLE};
use crate::edge::ports::Port;

/// What is known of the table before it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded<'a> {
    Absent,
    /// As it was loaded, and unchanged since.
    Known(&'a Outline),
    /// Another program changed or made it: nothing of it is kept.
    Unknown,
}

/// Replaces the loaded rules. A known table keeps its counters and the sources that are remembered for
/// limits.
pub fn load(text: &str, outline: &Outline, loaded: Loaded<'_>) -> String {
    let before = match loaded {
        Loaded::Absent => String::new(),
        Loaded::Known(old) => emptied(old, outline),
        Loaded::Unknown => removal(),
    };
    before + text
}

/// Deletes the table, whether it is there or not.
pub fn removal() -> String {
    format!("table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\n")
}

/// Restores a listed table; without one, deletes the table.
pub fn restoration(listing: Option<&str>) -> String {
    removal() + listing.unwrap_or_default()
}

/// Makes these ports, with so many milliseconds each, the ones that leases hold open.
pub fn lease_ports(ports: &[(Port, u64)]) -> String {
    let mut text = format!("flush set {FAMILY} {TABLE} {LEASE_SET}\n");
    if ports.is_empty() {
        return text;
    }
    let elements: Vec<String> = ports
        .iter()
        .map(|(port, ms)| format!("{port} timeout {ms}ms"))
        .collect();
    let elements = elements.join(", ");
    line(
        &mut text,
        format_args!("add element {FAMILY} {TABLE} {LEASE_SET} {{ {elements} }}"),
    );
    text
}

/// Removes all rules, and objects that the new table does not have or has in another form.
fn emptied(old: &Outline, new: &Outline) -> String {
    let mut text = format!("flush table {FAMILY} {TABLE}\n");
    for chain in old
        .chains
        .iter()
        .filter(|chain| !new.chains.contains(chain))
    {
        line(
            &mut text,
            format_args!("delete chain {FAMILY} {TABLE} {chain}"),
        );
    }
    for set in &old.sets {
        let name = &set.name;
        if !new.sets.contains(set) {
            line(
                &mut text,
                format_args!("delete set {FAMILY} {TABLE} {name}"),
            );
        } else if set.fixed {
            line(&mut text, format_args!("flush set {FAMILY} {TABLE} {name}"));
        }
    }
    let gone = old
        .counters
        .iter()
        .filter(|name| !new.counters.contains(name));
    for counter in gone {
        line(
            &mut text,
            format_args!("delete counter {FAMILY} {TABLE} {counter}"),
        );
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes all that is written to it");
}
