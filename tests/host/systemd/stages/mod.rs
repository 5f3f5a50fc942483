//! What the service must do, stage by stage. Each stage leaves it running, unless it says otherwise.

pub mod confirm;
pub mod failing;
pub mod firewall;
pub mod install;
pub mod leases;
pub mod newer;
pub mod sandbox;
pub mod secrets;
pub mod serving;

use crate::host::systemd::machine::Machine;
use crate::support::Client;

/// The ports of the production profile.
pub const WEBSOCKET: u16 = 8766;
pub const METRICS: u16 = 9091;

pub const CONFIGURATION: &str = "/etc/coord/coord.toml";

/// The operator's token, from the state directory.
pub fn operator_token(machine: &Machine) -> String {
    machine
        .ok(&["cat", "/var/lib/coord/operator.token"])
        .trim()
        .to_owned()
}

/// Connects as the operator. Only in the network of the machine.
pub async fn operator(token: &str) -> Client {
    Client::connect(WEBSOCKET, token).await
}
