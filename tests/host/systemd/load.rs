//! Agents that submit as fast as they can, and remember what they were told.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::Client;

/// What one agent was told of the tasks it submitted.
#[derive(Debug, Default)]
pub struct Told {
    pub acknowledged: Vec<String>,
}

/// Submits one task after the other until the connection ends; counts what was acknowledged.
pub async fn submit(mut client: Client, agent: usize, counted: Arc<watch::Sender<u64>>) -> Told {
    let mut told = Told::default();
    for round in 0.. {
        let title = format!("load-{agent}-{round}");
        let Ok(id) = client.ask("task.submit", json!({"title": title})).await else {
            break;
        };
        match client.answer(id).await {
            Ok(_) => {
                told.acknowledged.push(title);
                counted.send_modify(|count| *count += 1);
            }
            Err(failure) => {
                failure.check("unavailable", &["stopping"]);
                break;
            }
        }
    }
    told
}

/// The titles of all tasks there are.
pub async fn titles(client: &mut Client) -> BTreeSet<String> {
    let mut params = json!({"count_max": 1_000});
    let mut titles = BTreeSet::new();
    loop {
        let page = client.call("task.list", params.clone()).await.unwrap();
        for task in page["tasks"].as_array().unwrap() {
            titles.insert(task["title"].as_str().unwrap().to_owned());
        }
        match &page["next_after"] {
            Value::Null => return titles,
            after => params["after"] = after.clone(),
        }
    }
}
