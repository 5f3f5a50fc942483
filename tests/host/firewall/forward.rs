//! Ports that a container engine publishes: translated before the rules see them, and governed all the
//! same.

use super::bed::*;
use super::space::Space;
use super::talker::Talker;

/// What a container engine sets up for `-p 8766:9000`, `-p 7777:9000` and `-p 443:9000`.
const PUBLISHED: &str = "\
table ip engine {
	chain prerouting { type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local tcp dport { 8766, 7777, 443 } dnat to 10.99.0.2:9000
	}
}
table ip6 engine {
	chain prerouting { type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local tcp dport { 8766, 7777, 443 } dnat to [fd99::2]:9000
	}
}
";

#[test]
fn published_ports_are_governed_by_the_port_that_was_dialled() {
    let bed = Bed::new(LISTS);
    let container = Space::beside(&bed.gateway);
    let (own, others) = (
        ["10.99.0.1/24", "fd99::1/64"],
        ["10.99.0.2/24", "fd99::2/64"],
    );
    bed.gateway.cable("bridge", &own, &container, &others);
    for route in [["-4", "10.99.0.1"], ["-6", "fd99::1"]] {
        container.run(
            "ip",
            &[route[0], "route", "add", "default", "via", route[1]],
        );
    }
    bed.outside
        .run("ip", &["route", "add", "10.99.0.0/24", "via", BOX_V4]);
    for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
        let script = format!("echo 1 > /proc/sys/{key}");
        bed.gateway.run("sh", &["-c", &script]);
    }
    bed.gateway.nft(bed.folder.path(), PUBLISHED);
    let mut inside = Talker::new(&container);
    inside.listen("0.0.0.0", 9000);
    inside.listen("::", 9000);
    let mut outside = Talker::new(&bed.outside);
    // Nobody is kept out yet, which shows that the way leads to the container.
    outside.passes(STRANGER_V4, BOX_V4, WEBSOCKET);
    outside.passes(STRANGER_V6, BOX_V6, WEBSOCKET);

    bed.apply(&[]);
    let open = [
        outside.passes(AGENT_V4, BOX_V4, WEBSOCKET),
        outside.passes(AGENT_V6, BOX_V6, WEBSOCKET),
    ];
    for (stranger, denied, to) in [
        (STRANGER_V4, DENIED_V4, BOX_V4),
        (STRANGER_V6, DENIED_V6, BOX_V6),
    ] {
        bed.drops(&mut outside, (stranger, to, WEBSOCKET), "websocket_refused");
        bed.drops(&mut outside, (denied, to, WEBSOCKET), "denied");
        outside.passes(stranger, to, 7777);
    }

    bed.configure(&format!(
        "{LISTS}default_drop = true\nopen_ports = [\"443\"]\n"
    ));
    bed.apply(&[]);
    outside.talk_all(&open);
    for (agent, stranger, to) in [
        (AGENT_V4, STRANGER_V4, BOX_V4),
        (AGENT_V6, STRANGER_V6, BOX_V6),
    ] {
        outside.passes(agent, to, WEBSOCKET);
        outside.passes(stranger, to, 443);
        bed.drops(&mut outside, (agent, to, 7777), "closed");
    }
    // What the box only passes on is none of the rules' business, closed or not.
    let mut far = Talker::new(&bed.outside);
    far.listen("10.77.0.2", 6000);
    inside.passes("10.99.0.2", "10.77.0.2", 6000);
}
