//! What the clients were told: the external record that the state is checked against.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Everything acknowledged, over all rounds and workers.
#[derive(Debug, Default)]
pub struct Record {
    /// Task to the unique title it was submitted with.
    pub submitted: BTreeMap<u64, String>,
    /// Task to the result of its completion.
    pub completed: BTreeMap<u64, String>,
    /// Every fence ever granted, with what it was granted for.
    pub fences: BTreeMap<u64, String>,
    /// Context key to the last acknowledged value and its revision. Each key has one writer.
    pub context: BTreeMap<String, (u64, u64)>,
    /// Leases that are held by time-to-live: lease to its fence.
    pub leases: BTreeMap<u64, u64>,
    pub released: BTreeSet<u64>,
    /// Message to its recipient.
    pub sent: BTreeMap<u64, String>,
    pub acked: BTreeSet<u64>,
    /// All titles that anybody tried to submit; each stands for one `request_id`.
    pub tried: BTreeSet<String>,
}

impl Record {
    pub fn acknowledged(&self) -> usize {
        self.submitted.len()
            + self.completed.len()
            + self.leases.len()
            + self.released.len()
            + self.sent.len()
            + self.acked.len()
    }

    /// Notes an answer to `method`; the record itself objects to what can never be.
    pub fn note(&mut self, method: &str, params: &Value, result: &Value) {
        match method {
            "task.submit" => {
                let (task, title) = (number(&result["task"]), text(&params["title"]));
                if let Some(before) = self.submitted.insert(task, title.clone()) {
                    assert_eq!(before, title, "task {task} was given to two submissions");
                }
            }
            "task.claim" => self.claimed(&result["claim"]),
            "task.complete" => {
                let task = number(&params["task"]);
                let fresh = self.completed.insert(task, text(&params["result"]));
                assert_eq!(fresh, None, "task {task} was completed twice");
                self.claimed(&result["next"]);
            }
            "lease.acquire" => {
                let (lease, fence) = (number(&result["lease"]), number(&result["fence"]));
                self.granted(fence, &format!("lease {lease}"));
                self.leases.insert(lease, fence);
            }
            "lease.release" => {
                let lease = number(&params["lease"]);
                self.leases.remove(&lease);
                assert!(
                    self.released.insert(lease),
                    "lease {lease} was released twice"
                );
            }
            "message.send" => {
                let message = number(&result["message"]);
                self.sent.insert(message, text(&params["to"]["agent"]));
            }
            "message.ack" => {
                for message in result["acked"].as_array().unwrap() {
                    let fresh = self.acked.insert(number(message));
                    assert!(fresh, "message {message} was acknowledged twice");
                }
            }
            "context.put" => {
                let (key, value) = (text(&params["key"]), number(&params["value"]));
                let revision = number(&result["revision"]);
                if let Some((_, before)) = self.context.insert(key, (value, revision)) {
                    assert!(revision > before, "revision {revision} after {before}");
                }
            }
            _ => {}
        }
    }

    fn claimed(&mut self, claim: &Value) {
        if claim.is_object() {
            let what = format!("task {} attempt {}", claim["task"], claim["attempt"]);
            self.granted(number(&claim["fence"]), &what);
        }
    }

    /// A fence is granted once. The same grant told twice, to a repeated request, is one.
    fn granted(&mut self, fence: u64, what: &str) {
        if let Some(before) = self.fences.insert(fence, what.to_owned()) {
            assert_eq!(before, what, "fence {fence} was granted twice");
        }
    }
}

pub fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

pub fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}
