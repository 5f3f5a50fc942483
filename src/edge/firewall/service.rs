//! The chains of one service: allowed sources, rate and number of connections.

use super::policy::{Policy, ServicePolicy};
use super::ruleset::{Chain, Rule, Ruleset, Set, SetKind};
use super::statement::{Family, Period, SourceLimit, Statement};
use super::{BURST_MIN, BURST_PART_OF_MINUTE, LOG_BURST_MAX};
use crate::config::Network;

/// Where denied packets of all services end.
pub(super) const DENIED: &str = "denied";
const DENY: &str = "deny";
const TRUSTED: &str = "trusted";

/// Adds what one service needs.
pub(super) fn add(policy: &Policy, service: &ServicePolicy, ruleset: &mut Ruleset) {
    let name = service.service.key();
    let refused = format!("{name}_refused");
    let allowed = format!("{name}_allowed");
    let mut rules = denials(policy);
    if !policy.interfaces.is_empty() && !service.from.is_empty() {
        let through = Statement::NotThrough(policy.interfaces.clone());
        rules.push(rule(None, vec![through, Statement::Goto(refused.clone())]));
    }
    let from = networks_of(&format!("{name}_from"), &service.from);
    rules.extend(sources(&from, &Statement::Goto(allowed.clone())));
    ruleset.sets.extend(from);
    rules.push(rule(None, vec![Statement::Goto(refused.clone())]));
    ruleset.chain(name, rules);
    if !service.from.is_empty() {
        allowed_chain(policy, service, &allowed, ruleset);
    }
    drop_chain(policy, &refused, ruleset);
}

/// Shared by all services: the deny and trusted lists, and the chain for denied packets.
pub(super) fn add_shared(policy: &Policy, ruleset: &mut Ruleset) {
    ruleset.sets.extend(networks_of(DENY, &policy.deny));
    ruleset.sets.extend(networks_of(TRUSTED, &policy.trusted));
    if !policy.deny.is_empty() {
        drop_chain(policy, DENIED, ruleset);
    }
}

/// The rules that drop denied sources.
pub(super) fn denials(policy: &Policy) -> Vec<Rule> {
    let sets = networks_of(DENY, &policy.deny);
    sources(&sets, &Statement::Goto(DENIED.to_owned()))
}

/// A chain that counts, logs if configured, and drops.
pub(super) fn drop_chain(policy: &Policy, name: &str, ruleset: &mut Ruleset) {
    let mut rules = Vec::new();
    if policy.log_per_minute_max > 0 {
        let limit = Statement::AtMost {
            count: policy.log_per_minute_max,
            period: Period::Minute,
            burst: LOG_BURST_MAX,
        };
        let prefix = format!("coord {name}: ");
        rules.push(rule(None, vec![limit, Statement::Log { prefix }]));
    }
    rules.push(rule(None, vec![ruleset.counted(name), Statement::Drop]));
    ruleset.chain(name, rules);
}

/// One set for each family that there is an address of.
pub(super) fn networks_of(name: &str, networks: &[Network]) -> Vec<Set> {
    let of_family = |family: Family| {
        let v4 = family == Family::V4;
        let networks: Vec<Network> = networks
            .iter()
            .filter(|network| network.is_ipv4() == v4)
            .copied()
            .collect();
        (!networks.is_empty()).then(|| Set {
            name: format!("{name}_{}", family.suffix()),
            kind: SetKind::Networks { family, networks },
        })
    };
    Family::BOTH.into_iter().filter_map(of_family).collect()
}

/// A rule a set: sources in it go to a verdict.
pub(super) fn sources(sets: &[Set], verdict: &Statement) -> Vec<Rule> {
    let of_set = |set: &Set| {
        let source = Statement::SourceIn {
            family: set.family()?,
            set: set.name.clone(),
        };
        Some(rule(None, vec![source, verdict.clone()]))
    };
    sets.iter().filter_map(of_set).collect()
}

pub(super) fn rule(note: Option<&'static str>, statements: Vec<Statement>) -> Rule {
    Rule { note, statements }
}

/// For allowed sources: open connections continue, new ones are limited.
fn allowed_chain(policy: &Policy, service: &ServicePolicy, name: &str, ruleset: &mut Ruleset) {
    let key = service.service.key();
    let limited = format!("{key}_limited");
    let capped = format!("{key}_capped");
    let established = Statement::State(&["established", "related"]);
    let accept = vec![
        ruleset.counted(&format!("{key}_accepted")),
        Statement::Accept,
    ];
    let mut rules = vec![rule(None, vec![established, Statement::Accept])];
    let trusted = networks_of(TRUSTED, &policy.trusted);
    for mut trust in sources(&trusted, &Statement::Accept) {
        trust.statements.splice(1.., accept.iter().cloned());
        rules.push(trust);
    }
    let families = families(&service.from);
    for &family in &families {
        let set = format!("{key}_rate_{}", family.suffix());
        let limit = SourceLimit::NewPerMinute {
            max: policy.new_per_minute_max,
            burst: (policy.new_per_minute_max / BURST_PART_OF_MINUTE).max(BURST_MIN),
        };
        rules.push(over(family, set.clone(), limit, &limited));
        let kind = SetKind::Rates { family };
        ruleset.sets.push(Set { name: set, kind });
    }
    for &family in &families {
        let set = format!("{key}_open_{}", family.suffix());
        let limit = SourceLimit::Open {
            max: policy.open_per_source_max,
        };
        rules.push(over(family, set.clone(), limit, &capped));
        let kind = SetKind::Open { family };
        ruleset.sets.push(Set { name: set, kind });
    }
    let in_all = Statement::OverInAll {
        open_max: service.open_max,
    };
    let goto = Statement::Goto(capped.clone());
    rules.push(rule(None, vec![Statement::Opening, in_all, goto]));
    rules.push(rule(None, accept));
    ruleset.chain(name, rules);
    drop_chain(policy, &limited, ruleset);
    drop_chain(policy, &capped, ruleset);
}

fn over(family: Family, set: String, limit: SourceLimit, chain: &str) -> Rule {
    let over = Statement::OverPerSource { family, set, limit };
    let goto = Statement::Goto(chain.to_owned());
    rule(None, vec![Statement::Opening, over, goto])
}

fn families(networks: &[Network]) -> Vec<Family> {
    let has = |family: &Family| {
        let v4 = *family == Family::V4;
        networks.iter().any(|network| network.is_ipv4() == v4)
    };
    Family::BOTH.into_iter().filter(has).collect()
}

impl Set {
    fn family(&self) -> Option<Family> {
        match self.kind {
            SetKind::Networks { family, .. }
            | SetKind::Rates { family }
            | SetKind::Open { family } => Some(family),
            SetKind::LeasePorts => None,
        }
    }
}

impl Ruleset {
    /// A statement that counts under a name of its own.
    pub(super) fn counted(&mut self, name: &str) -> Statement {
        if !self.counters.iter().any(|counter| counter == name) {
            self.counters.push(name.to_owned());
        }
        Statement::Count(name.to_owned())
    }

    pub(super) fn chain(&mut self, name: &str, rules: Vec<Rule>) {
        self.chains.push(Chain {
            name: name.to_owned(),
            hook: None,
            rules,
        });
    }
}
