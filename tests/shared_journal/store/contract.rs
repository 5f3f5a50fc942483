//! What every store does, on Redis.

use super::fixture::connect;
use crate::store_contract;
use crate::support::redis::Redis;

#[tokio::test]
async fn an_empty_store_makes_nothing_up() {
    let redis = Redis::start(&[]).await;
    store_contract::an_empty_store(&connect(&redis).await).await;
}

#[tokio::test]
async fn epochs_follow_on_each_other() {
    let redis = Redis::start(&[]).await;
    store_contract::epochs(&connect(&redis).await, &connect(&redis).await).await;
}

#[tokio::test]
async fn snapshots_let_go_of_records() {
    let redis = Redis::start(&[]).await;
    store_contract::snapshots(&connect(&redis).await, &connect(&redis).await).await;
}

#[tokio::test]
async fn one_of_several_fills_an_empty_store() {
    let redis = Redis::start(&[]).await;
    store_contract::seeding(&connect(&redis).await, &connect(&redis).await).await;
}
