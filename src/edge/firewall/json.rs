//! The same rules in the JSON that `nft -j -f` reads: one object for each command, in the order that nft
//! needs.

use serde_json::{Value, json};

use super::ruleset::{Chain, Rule, Ruleset, Set, SetKind};
use super::statement::{Family, PortField, SOURCE_MASK_V6, SourceLimit, Statement, icmp};
use super::{FAMILY, TABLE};
use crate::config::Network;
use crate::edge::ports::PortRange;

/// The number of the protocol in an IP header.
const IGMP: u8 = 2;

impl Ruleset {
    /// A whole table; loading it over an existing one would add to it.
    pub fn json(&self) -> Value {
        json!({ "nftables": self.commands() })
    }

    /// The same, replacing a table that may exist.
    pub fn json_in_place(&self) -> Value {
        let table = named(TABLE, json!({}));
        let mut commands = vec![
            add("table", &table),
            json!({ "delete": { "table": table } }),
        ];
        commands.extend(self.commands());
        json!({ "nftables": commands })
    }

    fn commands(&self) -> Vec<Value> {
        let mut commands = vec![add("table", &named(TABLE, json!({})))];
        commands.extend(
            self.counters
                .iter()
                .map(|name| add("counter", &owned(json!({ "name": name })))),
        );
        commands.extend(self.sets.iter().map(|set| add("set", &of_set(set))));
        commands.extend(
            self.chains
                .iter()
                .map(|chain| add("chain", &of_chain(chain))),
        );
        for chain in &self.chains {
            let rules = chain.rules.iter();
            commands.extend(rules.map(|rule| add("rule", &of_rule(&chain.name, rule))));
        }
        commands
    }
}

fn add(what: &str, object: &Value) -> Value {
    json!({ "add": { what: object } })
}

fn named(name: &str, mut object: Value) -> Value {
    object["family"] = json!(FAMILY);
    object["name"] = json!(name);
    object
}

fn owned(mut object: Value) -> Value {
    object["family"] = json!(FAMILY);
    object["table"] = json!(TABLE);
    object
}

/// The flag for sets that packets fill is left out: `nft` derives it from the rules, and older versions
/// refuse it in JSON.
fn of_set(set: &Set) -> Value {
    let object = match &set.kind {
        SetKind::Networks { family, networks } => {
            let networks: Vec<Value> = networks.iter().map(of_network).collect();
            json!({ "type": family.address_type(), "flags": ["interval"], "elem": networks })
        }
        SetKind::Rates { family } => json!({
            "type": family.address_type(), "flags": ["timeout"],
            "size": super::SOURCES_PER_LIMIT_MAX, "timeout": super::SOURCE_MEMORY_MINUTES * 60,
        }),
        SetKind::Open { family } => json!({
            "type": family.address_type(),
            "size": super::SOURCES_PER_LIMIT_MAX,
        }),
        SetKind::LeasePorts => json!({
            "type": "inet_service", "flags": ["timeout"], "size": super::LEASE_PORTS_OPEN_MAX,
        }),
    };
    owned(named(&set.name, object))
}

fn of_network(network: &Network) -> Value {
    let text = network.to_string();
    if let Some((address, bits)) = text.split_once('/') {
        let bits: u8 = bits
            .parse()
            .expect("a network displays its bits as a number");
        return json!({ "prefix": { "addr": address, "len": bits } });
    }
    match text.split_once('-') {
        Some((first, last)) => json!({ "range": [first, last] }),
        None => json!(text),
    }
}

fn of_chain(chain: &Chain) -> Value {
    let object = match chain.hook {
        None => json!({}),
        Some(hook) => json!({
            "type": "filter", "hook": hook.name, "prio": 0,
            "policy": if hook.drops { "drop" } else { "accept" },
        }),
    };
    owned(named(&chain.name, object))
}

fn of_rule(chain: &str, rule: &Rule) -> Value {
    let statements: Vec<Value> = rule.statements.iter().flat_map(of_statement).collect();
    owned(json!({ "chain": chain, "expr": statements }))
}

fn of_statement(statement: &Statement) -> Vec<Value> {
    vec![match statement {
        Statement::Loopback => equal(&json!({ "meta": { "key": "iifname" } }), &json!("lo")),
        Statement::NotThrough(names) => matched(
            "!=",
            &json!({ "meta": { "key": "iifname" } }),
            &json!({ "set": names }),
        ),
        Statement::SourceIn { family, set } => equal(&source(*family), &json!(format!("@{set}"))),
        Statement::SourceLinkLocal => {
            let network = json!({ "prefix": { "addr": "fe80::", "len": 10 } });
            equal(&source(Family::V6), &network)
        }
        Statement::State(states) => {
            matched("in", &json!({ "ct": { "key": "state" } }), &json!(states))
        }
        Statement::Translated => return translated().into(),
        Statement::Opening => opening(),
        Statement::Carries(transport) => equal(
            &json!({ "meta": { "key": "l4proto" } }),
            // For a name nft would ask /etc/protocols, which small systems do not have.
            &json!(transport.number()),
        ),
        Statement::PortAmong { field, ports } => {
            let ports: Vec<Value> = ports.iter().copied().map(of_ports).collect();
            equal(&port(*field), &json!({ "set": ports }))
        }
        Statement::PortIn { field, set } => equal(&port(*field), &json!(format!("@{set}"))),
        Statement::UdpPorts {
            source,
            destination,
        } => {
            return vec![
                equal(&payload("udp", "sport"), &json!(source)),
                equal(&payload("udp", "dport"), &json!(destination)),
            ];
        }
        Statement::Dispatch { field, chains } => dispatch(*field, chains),
        Statement::Icmp { family, kinds } => {
            equal(&payload(icmp(*family), "type"), &json!({ "set": kinds }))
        }
        Statement::Igmp => equal(&payload("ip", "protocol"), &json!(IGMP)),
        Statement::HopLimitWhole => equal(&payload("ip6", "hoplimit"), &json!(255)),
        Statement::OverPerSource { family, set, limit } => json!({ "set": {
            "op": limit.operation(), "elem": masked_source(*family), "set": format!("@{set}"),
            "stmt": [of_limit(*limit)],
        } }),
        Statement::OverInAll { open_max } => {
            json!({ "ct count": { "val": open_max, "inv": true } })
        }
        Statement::AtMost {
            count,
            period,
            burst,
        } => json!({ "limit": { "rate": count, "per": period.name(), "burst": burst } }),
        Statement::Log { prefix } => json!({ "log": { "prefix": prefix, "level": "info" } }),
        Statement::Count(counter) => json!({ "counter": counter }),
        Statement::Accept => json!({ "accept": null }),
        Statement::Drop => json!({ "drop": null }),
        Statement::Goto(chain) => json!({ "goto": { "target": chain } }),
    }]
}

/// nft lists the two sides of `ct status dnat ct direction original` as two matches.
fn translated() -> [Value; 2] {
    [
        matched("in", &json!({ "ct": { "key": "status" } }), &json!("dnat")),
        equal(&json!({ "ct": { "key": "direction" } }), &json!("original")),
    ]
}

fn opening() -> Value {
    let flags = json!({ "&": [payload("tcp", "flags"), ["fin", "syn", "rst", "ack"]] });
    equal(&flags, &json!("syn"))
}

fn dispatch(field: PortField, chains: &[(PortRange, String)]) -> Value {
    let chains: Vec<Value> = chains
        .iter()
        .map(|(ports, chain)| json!([of_ports(*ports), { "jump": { "target": chain } }]))
        .collect();
    json!({ "vmap": { "key": port(field), "data": { "set": chains } } })
}

fn of_limit(limit: SourceLimit) -> Value {
    match limit {
        SourceLimit::NewPerMinute { max, burst } => {
            json!({ "limit": { "rate": max, "per": "minute", "burst": burst, "inv": true } })
        }
        SourceLimit::Open { max } => json!({ "ct count": { "val": max, "inv": true } }),
    }
}

fn equal(left: &Value, right: &Value) -> Value {
    matched("==", left, right)
}

fn matched(operator: &str, left: &Value, right: &Value) -> Value {
    json!({ "match": { "op": operator, "left": left, "right": right } })
}

fn payload(protocol: &str, field: &str) -> Value {
    json!({ "payload": { "protocol": protocol, "field": field } })
}

fn source(family: Family) -> Value {
    payload(family.protocol(), "saddr")
}

fn masked_source(family: Family) -> Value {
    match family {
        Family::V4 => source(family),
        Family::V6 => json!({ "&": [source(family), SOURCE_MASK_V6] }),
    }
}

fn port(field: PortField) -> Value {
    match field {
        PortField::Destination(transport) => payload(transport.name(), "dport"),
        PortField::Dialled => json!({ "ct": { "key": "proto-dst", "dir": "original" } }),
    }
}

fn of_ports(ports: PortRange) -> Value {
    let (first, last) = (ports.first().number(), ports.last().number());
    if first == last {
        return json!(first);
    }
    json!({ "range": [first, last] })
}
