//! What every store does, on the simulated one: else the simulation would prove something else.

use cli_coordinator::journal::shared::Connector;
use cli_coordinator::journal::shared::sim_store::{SimConnection, SimStore};

use crate::store_contract;

fn connected() -> (SimStore, SimConnection, SimConnection) {
    let store = SimStore::default();
    let project = "p".parse().expect("the name is valid");
    let connect = |from| store.run_alone(store.connector(from).connect(&project));
    let (one, other) = (connect(1), connect(2));
    (store, one.expect("it answers"), other.expect("it answers"))
}

#[test]
fn an_empty_store_makes_nothing_up() {
    let (store, one, _) = connected();
    store.run_alone(store_contract::an_empty_store(&one));
}

#[test]
fn epochs_follow_on_each_other() {
    let (store, one, other) = connected();
    store.run_alone(store_contract::epochs(&one, &other));
}

#[test]
fn snapshots_let_go_of_records() {
    let (store, one, other) = connected();
    store.run_alone(store_contract::snapshots(&one, &other));
}

#[test]
fn one_of_several_fills_an_empty_store() {
    let (store, one, other) = connected();
    store.run_alone(store_contract::seeding(&one, &other));
}
