//! Reads nft's listing of the loaded table: the part that the rules decide, and the counters.

use serde::{Deserialize, Serialize};

/// More counters than any policy makes.
const COUNTERS_MAX: usize = 64;

/// The values of a named counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    pub name: String,
    pub packets: u64,
    pub bytes: u64,
}

/// A stateless listing without the changes that packets and leases made, in an order that does not depend on
/// the kernel's hash tables: the same rules give the same text. It can be loaded.
pub fn normal(listing: &str) -> String {
    let mut text = String::new();
    let mut lines = listing.lines();
    while let Some(line) = lines.next() {
        let opens_set = line.starts_with("\tset ") && line.ends_with('{');
        if !opens_set {
            push(&mut text, &ordered(line));
            continue;
        }
        push(&mut text, line);
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "\t}").collect();
        push_set(&mut text, &body);
        push(&mut text, "\t}");
    }
    text
}

/// The counters of `nft -j list counters`.
pub fn counters(json: &str) -> Result<Vec<Counter>, serde_json::Error> {
    #[derive(Deserialize)]
    struct NftReply {
        nftables: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        counter: Option<Counted>,
    }
    #[derive(Deserialize)]
    struct Counted {
        name: String,
        packets: u64,
        bytes: u64,
    }
    let reply: NftReply = serde_json::from_str(json)?;
    let counted = reply.nftables.into_iter().filter_map(|item| item.counter);
    let of = |it: Counted| Counter {
        name: it.name,
        packets: it.packets,
        bytes: it.bytes,
    };
    Ok(counted.map(of).take(COUNTERS_MAX).collect())
}

fn push_set(text: &mut String, body: &[&str]) {
    let start = body
        .iter()
        .position(|line| line.trim_start().starts_with("elements ="));
    let (definition, elements) = body.split_at(start.unwrap_or(body.len()));
    for line in definition {
        push(text, line);
    }
    let by_packets = definition.iter().any(|line| {
        let flags = line.trim_start().strip_prefix("flags ");
        flags.is_some_and(|flags| {
            flags
                .split(',')
                .any(|flag| matches!(flag, "dynamic" | "timeout"))
        })
    });
    if by_packets || elements.is_empty() {
        return;
    }
    let joined: String = elements
        .iter()
        .flat_map(|line| [line.trim(), " "])
        .collect();
    let inner = joined
        .trim()
        .trim_start_matches("elements = {")
        .trim_end_matches('}');
    let mut elements: Vec<&str> = inner.split(',').map(str::trim).collect();
    elements.sort_unstable();
    push(text, "\t\telements = {");
    for (index, element) in elements.iter().enumerate() {
        let comma = if index + 1 < elements.len() { "," } else { "" };
        push(text, &format!("\t\t\t{element}{comma}"));
    }
    push(text, "\t\t}");
}

/// A rule with the members of its anonymous sets sorted.
fn ordered(line: &str) -> String {
    let Some((before, rest)) = line.split_once(" { ") else {
        return line.to_owned();
    };
    let Some((members, after)) = rest.split_once(" }") else {
        return line.to_owned();
    };
    let mut members: Vec<&str> = members.split(", ").collect();
    members.sort_unstable();
    format!("{before} {{ {} }}{}", members.join(", "), ordered(after))
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
