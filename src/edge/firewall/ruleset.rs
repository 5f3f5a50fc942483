//! One table: counters, sets and chains, and its text.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::statement::{Family, Statement, joined};
use super::{FAMILY, LEASE_PORTS_OPEN_MAX, SOURCE_MEMORY_MINUTES, SOURCES_PER_LIMIT_MAX, TABLE};
use crate::config::Network;

/// A table's content, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// Comment lines that stand before the table.
    pub(super) head: Vec<String>,
    pub(super) counters: Vec<String>,
    pub(super) sets: Vec<Set>,
    pub(super) chains: Vec<Chain>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) name: String,
    pub(super) kind: SetKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SetKind {
    Networks {
        family: Family,
        networks: Vec<Network>,
    },
    /// Sources with the rate of their new connections.
    Rates {
        family: Family,
    },
    /// Sources with their open connections.
    Open {
        family: Family,
    },
    LeasePorts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) hook: Option<Hook>,
    pub(super) rules: Vec<Rule>,
}

/// The hook at which the kernel enters a chain, and the policy at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) name: &'static str,
    pub(super) drops: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// A comment that explains it in the text.
    pub(super) note: Option<&'static str>,
    pub(super) statements: Vec<Statement>,
}

/// What a later transaction must know about a loaded table to change it without losing its counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    pub(super) counters: Vec<String>,
    pub(super) sets: Vec<OutlinedSet>,
    pub(super) chains: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutlinedSet {
    pub(super) name: String,
    /// Its text without elements: a set with a changed definition must be created again.
    pub(super) definition: String,
    /// Its elements come from the rules, not from packets or leases.
    pub(super) fixed: bool,
}

impl Ruleset {
    /// The table as `nft -f` reads it, with comments. The same rules give the same bytes.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.head {
            push(&mut text, format_args!("# {line}"));
        }
        push(&mut text, format_args!("table {FAMILY} {TABLE} {{"));
        for name in &self.counters {
            push(&mut text, format_args!("\tcounter {name} {{\n\t}}\n"));
        }
        for set in &self.sets {
            push(&mut text, format_args!("\tset {} {{", set.name));
            text.push_str(&set.definition());
            if let Some(elements) = set.elements() {
                push(&mut text, format_args!("\t\telements = {{ {elements} }}"));
            }
            push(&mut text, format_args!("\t}}\n"));
        }
        for (index, chain) in self.chains.iter().enumerate() {
            let gap = if index > 0 { "\n" } else { "" };
            push(&mut text, format_args!("{gap}\tchain {} {{", chain.name));
            text.push_str(&chain.body());
            push(&mut text, format_args!("\t}}"));
        }
        push(&mut text, format_args!("}}"));
        text
    }

    pub fn outline(&self) -> Outline {
        let outlined = |set: &Set| OutlinedSet {
            name: set.name.clone(),
            definition: set.definition(),
            fixed: matches!(set.kind, SetKind::Networks { .. }),
        };
        Outline {
            counters: self.counters.clone(),
            sets: self.sets.iter().map(outlined).collect(),
            chains: self.chains.iter().map(|chain| chain.name.clone()).collect(),
        }
    }
}

impl Set {
    fn definition(&self) -> String {
        match &self.kind {
            SetKind::Networks { family, .. } => {
                format!("\t\ttype {}\n\t\tflags interval\n", family.address_type())
            }
            SetKind::Rates { family } => format!(
                "\t\ttype {}\n\t\tsize {SOURCES_PER_LIMIT_MAX}\n\t\tflags dynamic,timeout\n\
                 \t\ttimeout {SOURCE_MEMORY_MINUTES}m\n",
                family.address_type()
            ),
            SetKind::Open { family } => format!(
                "\t\ttype {}\n\t\tsize {SOURCES_PER_LIMIT_MAX}\n\t\tflags dynamic\n",
                family.address_type()
            ),
            SetKind::LeasePorts => format!(
                "\t\ttype inet_service\n\t\tsize {LEASE_PORTS_OPEN_MAX}\n\t\tflags timeout\n"
            ),
        }
    }

    fn elements(&self) -> Option<String> {
        match &self.kind {
            SetKind::Networks { networks, .. } => Some(joined(networks.iter())),
            _ => None,
        }
    }
}

impl Chain {
    fn body(&self) -> String {
        let mut text = String::new();
        if let Some(hook) = self.hook {
            let policy = if hook.drops { "drop" } else { "accept" };
            let name = hook.name;
            push(
                &mut text,
                format_args!("\t\ttype filter hook {name} priority filter; policy {policy};"),
            );
        }
        for rule in &self.rules {
            if let Some(note) = rule.note {
                push(&mut text, format_args!("\t\t# {note}"));
            }
            let words: Vec<String> = rule.statements.iter().map(ToString::to_string).collect();
            push(&mut text, format_args!("\t\t{}", words.join(" ")));
        }
        text
    }
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes all that is written to it");
}
