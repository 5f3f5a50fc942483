//! Makes the rules from the policy: the input chains, and what stays open with `default_drop`.

use super::policy::{Closed, Policy};
use super::ruleset::{Chain, Hook, Rule, Ruleset, Set, SetKind};
use super::service::{self, networks_of, rule, sources};
use super::statement::{Family, Period, PortField, Statement};
use super::{LEASE_SET, PINGS_BURST_MAX, PINGS_PER_SECOND_MAX};
use crate::config::Transport;
use crate::edge::ports::{PortRange, Service};

const CLOSED: &str = "closed";
const LEASED: &str = "leased";
const SSH: &str = "ssh";

/// ICMP errors, including path MTU discovery. Echo requests have a separate limit.
const ICMP_V4: &[&str] = &[
    "destination-unreachable",
    "time-exceeded",
    "parameter-problem",
    "echo-reply",
];
const ICMP_V6: &[&str] = &[
    "destination-unreachable",
    "packet-too-big",
    "time-exceeded",
    "parameter-problem",
    "echo-reply",
];
/// Without these an IPv6 host has no neighbours, no router and no address.
const NEIGHBOURS_V6: &[&str] = &[
    "nd-router-solicit",
    "nd-router-advert",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
];
/// Multicast listener discovery, without which switches stop forwarding neighbour solicitations.
const LISTENERS_V6: &[&str] = &[
    "mld-listener-query",
    "mld-listener-report",
    "mld-listener-done",
    "mld2-listener-report",
];

impl Policy {
    /// The rules that enforce it.
    pub fn ruleset(&self) -> Ruleset {
        let mut ruleset = Ruleset {
            head: self.head(),
            counters: Vec::new(),
            sets: Vec::new(),
            chains: Vec::new(),
        };
        let input = self.input(&mut ruleset);
        let forward = self.forward();
        service::add_shared(self, &mut ruleset);
        for service in &self.services {
            service::add(self, service, &mut ruleset);
        }
        if let Some(closed) = &self.closed {
            self.add_leased(closed, &mut ruleset);
            service::drop_chain(self, CLOSED, &mut ruleset);
        }
        ruleset.chains.splice(0..0, [input, forward]);
        ruleset
    }

    fn head(&self) -> Vec<String> {
        let kind = if self.closed.is_some() {
            "a closed box: what is not let in here is dropped"
        } else {
            "only the ports of the services are governed"
        };
        let mut head = vec![format!("coord, {} profile, {kind}.", self.profile)];
        for service in &self.services {
            let ports: Vec<String> = service.ports.iter().map(ToString::to_string).collect();
            let from: Vec<String> = service.from.iter().map(ToString::to_string).collect();
            let from = if from.is_empty() {
                "this machine only".to_owned()
            } else {
                from.join(", ")
            };
            head.push(format!(
                "{} {} from {from}",
                service.service,
                ports.join(", ")
            ));
        }
        head
    }

    fn input(&self, ruleset: &mut Ruleset) -> Chain {
        let field = PortField::Destination(Transport::Tcp);
        let mut rules = vec![
            rule(None, vec![Statement::Loopback, Statement::Accept]),
            rule(None, vec![self.dispatch(field)]),
        ];
        if let Some(closed) = &self.closed {
            rules.extend(essentials());
            rules.extend(service::denials(self));
            rules.extend(open_rules(closed, ruleset));
            let end = vec![Statement::Goto(CLOSED.to_owned())];
            rules.push(rule(Some("everything else"), end));
        }
        hooked("input", self.closed.is_some(), rules)
    }

    /// A published port is translated before this hook, so the original destination port is checked. Routing
    /// for other machines still works: only translated connections are checked.
    fn forward(&self) -> Chain {
        let translated =
            |carries: Transport| vec![Statement::Translated, Statement::Carries(carries)];
        let mut dispatch = translated(Transport::Tcp);
        dispatch.push(self.dispatch(PortField::Dialled));
        let note = "ports that a container engine publishes never pass the input hook";
        let mut rules = vec![rule(Some(note), dispatch)];
        if let Some(closed) = &self.closed {
            let established = Statement::State(&["established", "related"]);
            rules.push(rule(None, vec![established, Statement::Accept]));
            for mut denial in service::denials(self) {
                denial.statements.insert(0, Statement::Translated);
                rules.push(denial);
            }
            for (transport, ports) in left_open(closed) {
                let field = PortField::Dialled;
                let mut open = translated(transport);
                open.extend([Statement::PortAmong { field, ports }, Statement::Accept]);
                rules.push(rule(None, open));
            }
            if closed.lease_ports.is_some() {
                let mut leased = translated(Transport::Tcp);
                leased.extend(leased_port(PortField::Dialled));
                rules.push(rule(None, leased));
            }
            let end = vec![Statement::Translated, Statement::Goto(CLOSED.to_owned())];
            rules.push(rule(Some("other published ports are closed too"), end));
        }
        hooked("forward", false, rules)
    }

    fn dispatch(&self, field: PortField) -> Statement {
        let of = |service: Service| service.key().to_owned();
        let mut chains: Vec<(PortRange, String)> = self
            .services
            .iter()
            .flat_map(|it| it.ports.iter().map(move |ports| (*ports, of(it.service))))
            .collect();
        chains.sort_by_key(|(ports, _)| ports.first());
        Statement::Dispatch { field, chains }
    }

    /// Leased ports are open to the sources that may reach the coordinator.
    fn add_leased(&self, closed: &Closed, ruleset: &mut Ruleset) {
        if closed.lease_ports.is_none() {
            return;
        }
        ruleset.sets.push(Set {
            name: LEASE_SET.to_owned(),
            kind: SetKind::LeasePorts,
        });
        let agents = self
            .services
            .iter()
            .find(|service| service.service == Service::WebSocket);
        let from = agents.map_or(&[][..], |agents| &agents.from);
        let mut rules = Vec::new();
        if !self.interfaces.is_empty() {
            let through = Statement::NotThrough(self.interfaces.clone());
            rules.push(rule(
                None,
                vec![through, Statement::Goto(CLOSED.to_owned())],
            ));
        }
        let sets = networks_of(&format!("{}_from", Service::WebSocket.key()), from);
        for mut open in sources(&sets, &Statement::Accept) {
            let counted = ruleset.counted("leased_accepted");
            open.statements.insert(1, counted);
            rules.push(open);
        }
        rules.push(rule(None, vec![Statement::Goto(CLOSED.to_owned())]));
        ruleset.chain(LEASED, rules);
    }
}

/// Rules that the network itself needs, whatever ports are open.
fn essentials() -> Vec<Rule> {
    let icmp = |family, kinds| Statement::Icmp { family, kinds };
    let pings = Statement::AtMost {
        count: PINGS_PER_SECOND_MAX,
        period: Period::Second,
        burst: PINGS_BURST_MAX,
    };
    let accept = || Statement::Accept;
    let dhcp = |source, destination| Statement::UdpPorts {
        source,
        destination,
    };
    vec![
        rule(
            Some("neighbours and routers, which only a packet from the same link can be"),
            vec![
                icmp(Family::V6, NEIGHBOURS_V6),
                Statement::HopLimitWhole,
                accept(),
            ],
        ),
        rule(
            None,
            vec![
                Statement::SourceLinkLocal,
                icmp(Family::V6, LISTENERS_V6),
                accept(),
            ],
        ),
        rule(None, vec![Statement::Igmp, accept()]),
        rule(
            Some("errors on the way; without them large packets vanish"),
            vec![icmp(Family::V4, ICMP_V4), accept()],
        ),
        rule(None, vec![icmp(Family::V6, ICMP_V6), accept()]),
        rule(
            None,
            vec![icmp(Family::V4, &["echo-request"]), pings.clone(), accept()],
        ),
        rule(
            None,
            vec![icmp(Family::V6, &["echo-request"]), pings, accept()],
        ),
        rule(
            Some("the box's own connections, and those that were let in"),
            vec![Statement::State(&["established", "related"]), accept()],
        ),
        rule(
            Some("answers of DHCP servers, which conntrack cannot tell"),
            vec![dhcp(67, 68), accept()],
        ),
        rule(
            None,
            vec![Statement::SourceLinkLocal, dhcp(547, 546), accept()],
        ),
    ]
}

fn open_rules(closed: &Closed, ruleset: &mut Ruleset) -> Vec<Rule> {
    let mut rules = Vec::new();
    let among = |transport, ports| Statement::PortAmong {
        field: PortField::Destination(transport),
        ports,
    };
    if !closed.ssh_ports.is_empty() {
        let ssh = among(Transport::Tcp, closed.ssh_ports.clone());
        let accept = [ruleset.counted("ssh_accepted"), Statement::Accept];
        let sets = networks_of(&format!("{SSH}_from"), &closed.ssh_from);
        let mut opened = sources(&sets, &Statement::Accept);
        if closed.ssh_from.is_empty() {
            opened.push(rule(None, vec![Statement::Accept]));
        }
        for mut open in opened {
            open.statements.pop();
            open.statements.push(ssh.clone());
            open.statements.extend(accept.iter().cloned());
            rules.push(open);
        }
        ruleset.sets.extend(sets);
    }
    for (transport, ports) in left_open(closed) {
        rules.push(rule(None, vec![among(transport, ports), Statement::Accept]));
    }
    if closed.lease_ports.is_some() {
        let leased = leased_port(PortField::Destination(Transport::Tcp));
        rules.push(rule(None, leased));
    }
    rules
}

fn leased_port(field: PortField) -> Vec<Statement> {
    vec![
        Statement::PortIn {
            field,
            set: LEASE_SET,
        },
        Statement::Goto(LEASED.to_owned()),
    ]
}

/// The ports that are open to everybody, by transport protocol.
fn left_open(closed: &Closed) -> Vec<(Transport, Vec<PortRange>)> {
    let all = [
        (Transport::Tcp, closed.open_tcp.clone()),
        (Transport::Udp, closed.open_udp.clone()),
    ];
    all.into_iter()
        .filter(|(_, ports)| !ports.is_empty())
        .collect()
}

fn hooked(name: &'static str, drops: bool, rules: Vec<Rule>) -> Chain {
    Chain {
        name: name.to_owned(),
        hook: Some(Hook { name, drops }),
        rules,
    }
}
