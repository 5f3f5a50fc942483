//! Packets that pass and packets that do not, over IPv4 and IPv6, with a coordinator and other
//! listeners behind the rules.

use super::bed::*;
use super::talker::Talker;

/// Listens on each port of the box, over both families.
fn listening(bed: &Bed, ports: &[u16]) -> (Talker, Talker) {
    let mut inside = Talker::new(&bed.gateway);
    for &port in ports {
        inside.listen("0.0.0.0", port);
        inside.listen("::", port);
    }
    (inside, Talker::new(&bed.outside))
}

#[test]
fn each_service_is_for_those_who_were_named() {
    let bed = Bed::new(LISTS);
    let (mut inside, mut outside) = listening(&bed, &[WEBSOCKET, METRICS, REDIS, 5000]);
    // Before there are rules, everybody gets everywhere.
    outside.passes(STRANGER_V4, BOX_V4, REDIS);
    outside.passes(STRANGER_V6, BOX_V6, REDIS);
    bed.apply(&[]);
    for (source, to) in [
        (AGENT_V4, BOX_V4),
        (TRUSTED_V4, BOX_V4),
        (AGENT_V6, BOX_V6),
        (OTHER_NETWORK_V6, BOX_V6),
    ] {
        outside.passes(source, to, WEBSOCKET);
    }
    for (source, to) in [(STRANGER_V4, BOX_V4), (STRANGER_V6, BOX_V6)] {
        bed.drops(&mut outside, (source, to, WEBSOCKET), "websocket_refused");
        bed.drops(&mut outside, (source, to, METRICS), "metrics_refused");
        // The box is not closed: other ports are none of the rules' business.
        outside.passes(source, to, 5000);
    }
    for (source, to) in [(DENIED_V4, BOX_V4), (DENIED_V6, BOX_V6)] {
        bed.drops(&mut outside, (source, to, WEBSOCKET), "denied");
        bed.drops(&mut outside, (source, to, REDIS), "denied");
    }
    for (prometheus, agent, to) in [
        (PROMETHEUS_V4, AGENT_V4, BOX_V4),
        (PROMETHEUS_V6, AGENT_V6, BOX_V6),
    ] {
        outside.passes(prometheus, to, METRICS);
        bed.drops(&mut outside, (agent, to, METRICS), "metrics_refused");
        bed.drops(&mut outside, (agent, to, REDIS), "redis_refused");
    }
    // The box itself reaches all of it, by whichever of its addresses.
    for to in ["127.0.0.1", BOX_V4] {
        inside.passes(to, to, REDIS);
    }
    for to in ["::1", BOX_V6] {
        inside.passes(to, to, METRICS);
    }
    assert!(bed.counted("websocket_accepted") >= 4);
}

#[test]
fn redis_is_reached_by_those_it_is_shared_with() {
    let bed = Bed::new(
        "redis_from = [\"10.77.0.3\"]\nwebsocket_from = [\"10.77.0.2\"]\nmetrics_from = [\"10.77.0.10\"]\n",
    );
    let (_inside, mut outside) = listening(&bed, &[REDIS]);
    bed.apply(&[]);
    outside.passes(OTHER_AGENT_V4, BOX_V4, REDIS);
    bed.drops(&mut outside, (AGENT_V4, BOX_V4, REDIS), "redis_refused");
    bed.drops(&mut outside, (AGENT_V6, BOX_V6, REDIS), "redis_refused");
}

/// One new connection a minute, five at once; a minute does not pass here.
#[test]
fn new_connections_of_one_source_are_limited_in_rate() {
    let bed = Bed::new(&format!("{LISTS}new_per_minute_max = 1\n"));
    let (_inside, mut outside) = listening(&bed, &[WEBSOCKET]);
    bed.apply(&[]);
    let mut kept = Vec::new();
    for _ in 0..5 {
        kept.push(outside.passes(AGENT_V4, BOX_V4, WEBSOCKET));
    }
    bed.drops(
        &mut outside,
        (AGENT_V4, BOX_V4, WEBSOCKET),
        "websocket_limited",
    );
    // Another address is another source, and who is trusted is not limited.
    outside.passes(OTHER_AGENT_V4, BOX_V4, WEBSOCKET);
    for _ in 0..8 {
        outside.passes(TRUSTED_V4, BOX_V4, WEBSOCKET);
    }
    // All addresses of an IPv6 /64 are one source.
    for source in [
        AGENT_V6,
        SAME_NETWORK_V6,
        AGENT_V6,
        SAME_NETWORK_V6,
        AGENT_V6,
    ] {
        kept.push(outside.passes(source, BOX_V6, WEBSOCKET));
    }
    bed.drops(
        &mut outside,
        (SAME_NETWORK_V6, BOX_V6, WEBSOCKET),
        "websocket_limited",
    );
    outside.passes(OTHER_NETWORK_V6, BOX_V6, WEBSOCKET);
    // What is open stays open.
    for connection in kept {
        outside.talk(connection);
    }
}

#[test]
fn connections_of_one_source_are_capped() {
    let bed = Bed::new(&format!("{LISTS}connections_per_source_max = 2\n"));
    let (_inside, mut outside) = listening(&bed, &[WEBSOCKET]);
    bed.apply(&[]);
    for (source, same, to) in [
        (AGENT_V4, AGENT_V4, BOX_V4),
        (AGENT_V6, SAME_NETWORK_V6, BOX_V6),
    ] {
        let one = outside.passes(source, to, WEBSOCKET);
        let two = outside.passes(same, to, WEBSOCKET);
        bed.drops(&mut outside, (source, to, WEBSOCKET), "websocket_capped");
        outside.talk(one);
        outside.talk(two);
    }
    outside.passes(OTHER_AGENT_V4, BOX_V4, WEBSOCKET);
    for _ in 0..4 {
        outside.passes(TRUSTED_V4, BOX_V4, WEBSOCKET);
    }
}

#[test]
fn a_closed_box_keeps_what_it_needs() {
    let bed = Bed::new(&format!(
        "{LISTS}default_drop = true\nssh_ports = [\"2222\"]\nssh_from = [\"10.77.0.0/24\", \"fd77::/64\"]\nopen_ports = [\"443\"]\n"
    ));
    let (mut inside, mut outside) = listening(&bed, &[WEBSOCKET, 2222, 443, 5000]);
    let mut far = Talker::new(&bed.outside);
    far.listen("0.0.0.0", 6000);
    far.listen("::", 6000);
    bed.apply(&[]);
    for (agent, stranger, denied, to) in [
        (AGENT_V4, STRANGER_V4, DENIED_V4, BOX_V4),
        (AGENT_V6, STRANGER_V6, DENIED_V6, BOX_V6),
    ] {
        outside.passes(agent, to, WEBSOCKET);
        outside.passes(agent, to, 2222);
        bed.drops(&mut outside, (stranger, to, 2222), "closed");
        bed.drops(&mut outside, (denied, to, 2222), "denied");
        outside.passes(stranger, to, 443);
        bed.drops(&mut outside, (agent, to, 5000), "closed");
        outside.pings(stranger, to);
    }
    // The box's own connections get their answers.
    inside.passes(BOX_V4, AGENT_V4, 6000);
    inside.passes(BOX_V6, AGENT_V6, 6000);
}

#[test]
fn services_are_reached_through_the_named_interfaces_only() {
    let bed = Bed::new(&format!("{LISTS}interfaces = [\"wan\"]\n"));
    let (_inside, mut outside) = listening(&bed, &[WEBSOCKET]);
    bed.apply(&[]);
    outside.passes(AGENT_V4, BOX_V4, WEBSOCKET);
    bed.configure(&format!("{LISTS}interfaces = [\"lo\"]\n"));
    bed.apply(&[]);
    bed.drops(
        &mut outside,
        (AGENT_V4, BOX_V4, WEBSOCKET),
        "websocket_refused",
    );
    bed.drops(
        &mut outside,
        (AGENT_V6, BOX_V6, WEBSOCKET),
        "websocket_refused",
    );
}

#[test]
fn open_connections_outlive_new_rules_that_allow_them() {
    let bed = Bed::new(LISTS);
    let (_inside, mut outside) = listening(&bed, &[WEBSOCKET]);
    bed.apply(&[]);
    let kept = [
        outside.passes(AGENT_V4, BOX_V4, WEBSOCKET),
        outside.passes(AGENT_V6, BOX_V6, WEBSOCKET),
    ];
    outside.passes(OTHER_AGENT_V4, BOX_V4, WEBSOCKET);
    let accepted = bed.counted("websocket_accepted");
    // Other rules, in a table that is changed; then in one that is made anew.
    bed.configure(&format!("{LISTS}log_per_minute_max = 5\n"));
    assert!(bed.apply(&[]).contains("counters keep their values"));
    outside.talk_all(&kept);
    assert!(bed.counted("websocket_accepted") >= accepted);
    bed.gateway
        .run("nft", &["add", "counter", "inet", "coord", "foreign"]);
    assert!(
        bed.apply(&[])
            .contains("they replace a table that another program had changed")
    );
    outside.talk_all(&kept);
    // Rules that no longer allow one close it at once.
    bed.configure(&LISTS.replace("\"10.77.0.66\"", "\"10.77.0.66\", \"10.77.0.3\""));
    bed.apply(&[]);
    outside.talk_all(&kept);
    bed.drops(&mut outside, (OTHER_AGENT_V4, BOX_V4, WEBSOCKET), "denied");
}

/// The real coordinator behind the real rules: agents work, Prometheus scrapes, others see nothing.
#[test]
fn a_coordinator_serves_those_who_may() {
    let bed = Bed::new(LISTS);
    let coordinator = bed.serve();
    bed.apply(&[]);
    let url = format!("ws://{BOX_V4}:{WEBSOCKET}/ws");
    let ping = |source: &str| {
        // Where a packet comes from is decided by the route.
        bed.outside.run(
            "ip",
            &[
                "route",
                "replace",
                "10.77.0.1/32",
                "dev",
                "wan-far",
                "src",
                source,
            ],
        );
        let mut command = bed.command_in(&bed.outside, &["ping", "--url", &url]);
        command
            .env(
                "COORD_TOKEN_FILE",
                bed.folder.path().join("state/operator.token"),
            )
            .env("COORD_ALLOW_PLAINTEXT", "true");
        command
    };
    super::space::assert_well(&ping(AGENT_V4).output().unwrap(), "an agent's ping");
    let mut outside = Talker::new(&bed.outside);
    let scrape = |source: &str| {
        let script = format!(
            "import http.client as h; c = h.HTTPConnection('{BOX_V4}', {METRICS}, source_address=('{source}', 0)); \
             c.request('GET', '/metrics'); print(c.getresponse().read().decode())"
        );
        bed.outside.run("python3", &["-c", &script])
    };
    assert!(scrape(PROMETHEUS_V4).contains("coord_build_info"));
    bed.drops(&mut outside, (AGENT_V4, BOX_V4, METRICS), "metrics_refused");
    bed.drops(
        &mut outside,
        (STRANGER_V4, BOX_V4, WEBSOCKET),
        "websocket_refused",
    );
    // One that is denied begins in vain, and is still at it when it is stopped.
    let refused = bed.counted("denied");
    let mut denied = ping(DENIED_V4)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the denied agent's packet", || {
        (bed.counted("denied") > refused).then_some(())
    });
    denied.kill().unwrap();
    denied.wait().unwrap();
    drop(coordinator);
}
