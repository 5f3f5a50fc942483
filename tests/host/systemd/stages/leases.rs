//! Ports that are open while an agent holds a lease on them, by the helper in its sandbox.

use std::net::TcpListener;

use serde_json::json;

use super::{operator, operator_token};
use crate::host::systemd::machine::Machine;
use crate::host::systemd::outside::Outside;

const PORT: u16 = 20_001;
const HELPER: &str = "coord-firewall-leases.service";

pub fn open_ports(machine: &Machine) {
    let outside = Outside::of(machine);
    // The kernel answers for whoever listens.
    let _listener = machine.network(async || TcpListener::bind(("0.0.0.0", PORT)).unwrap());
    let dropped = || {
        let list = ["nft", "list", "counter", "inet", "coord", "closed"];
        !machine.ok(&list).contains("packets 0 ")
    };
    assert!(!outside.reaches(PORT, dropped));
    let token = operator_token(machine);
    let host = machine.ok(&["hostname"]).trim().to_owned();
    let lease = machine.network(async || {
        let mut operator = operator(&token).await;
        let observer = json!({"agent": "firewall", "role": "observer"});
        let made = operator.call("token.create", observer).await.unwrap();
        machine.write(
            "/etc/credstore/coord.firewall_token",
            "600",
            made["secret"].as_str().unwrap(),
        );
        let wanted = json!({"resources": [format!("port:{host}:{PORT}")], "ttl_ms": 3_600_000});
        operator.call("lease.acquire", wanted).await.unwrap()
    });
    let ask = || {
        machine.ok(&["systemctl", "start", HELPER]);
        assert_eq!(
            machine.property(HELPER, "Result"),
            "success",
            "{}",
            machine.log_of(HELPER)
        );
        machine.ok(&["nft", "list", "set", "inet", "coord", "lease_ports"])
    };
    assert!(ask().contains("20001"), "{}", machine.log_of(HELPER));
    assert!(outside.reaches(PORT, || false));
    machine.network(async || {
        let mut operator = operator(&token).await;
        let given = json!({"lease": lease["lease"], "fence": lease["fence"]});
        operator.call("lease.release", given).await.unwrap();
    });
    assert!(!ask().contains("20001"));
    machine.ok(&["nft", "reset", "counters", "table", "inet", "coord"]);
    assert!(!outside.reaches(PORT, dropped));
    let timer = "coord-firewall-leases.timer";
    machine.ok(&["systemctl", "enable", "--now", timer]);
    assert_eq!(machine.property(timer, "ActiveState"), "active");
}
