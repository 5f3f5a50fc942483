//! Agents that do a little of everything, with a request id each time, until the wire goes dead.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::task::LocalSet;
use tokio_tungstenite::tungstenite::Message;

pub mod check;
pub mod record;

use crate::support::random::Random;
use crate::support::{Client, Coordinator, RpcFailure};
use record::{Record, number, text};

/// One agent and what it remembers over the crashes.
#[derive(Debug)]
pub struct Worker {
    name: String,
    pub secret: String,
    random: Random,
    sequence: u64,
    /// How many there are: it writes to any of them.
    count: u64,
    /// Sent and not answered: to be sent again, word for word.
    pub open: Option<(&'static str, Value)>,
    /// Claimed tasks with their fences.
    claims: Vec<(u64, u64)>,
    leases: Vec<(u64, u64)>,
    inbox: Vec<u64>,
}

pub type Workers = Vec<Rc<RefCell<Worker>>>;

pub async fn tokens(coordinator: &Coordinator, count: u64) -> Workers {
    let mut workers = Vec::new();
    for number in 0..count {
        let name = format!("worker-{number}");
        let secret = coordinator.token(&name, "agent").await;
        // An agent is known, and can get messages, once it has been here.
        let mut client = Client::connect(coordinator.port(), &secret).await;
        client
            .call("agent.update", json!({"status": "idle"}))
            .await
            .unwrap();
        workers.push(Rc::new(RefCell::new(Worker {
            name,
            secret,
            random: Random::new(number),
            sequence: 0,
            count,
            open: None,
            claims: Vec::new(),
            leases: Vec::new(),
            inbox: Vec::new(),
        })));
    }
    workers
}

/// Runs all workers, and kills the coordinator after `pause`.
pub async fn until_killed(
    coordinator: &mut Coordinator,
    workers: &Workers,
    record: &mut Record,
    random: &mut Random,
    pause: Duration,
) {
    let shared = Rc::new(RefCell::new(std::mem::take(record)));
    let local = LocalSet::new();
    let mut running = Vec::new();
    for worker in workers {
        worker.borrow_mut().random = Random::new(random.next());
        let (worker, shared) = (Rc::clone(worker), Rc::clone(&shared));
        let port = coordinator.port();
        running.push(local.spawn_local(work(worker, shared, port)));
    }
    local
        .run_until(async {
            // Not a wait for something to have happened: the moment of the kill is what varies.
            tokio::time::sleep(pause).await;
            coordinator.kill().await;
            for task in running {
                task.await.unwrap();
            }
        })
        .await;
    *record = shared.take();
}

#[expect(
    clippy::await_holding_refcell_ref,
    reason = "a worker belongs to its one task while that runs"
)]
async fn work(worker: Rc<RefCell<Worker>>, record: Rc<RefCell<Record>>, port: u16) {
    let mut worker = worker.borrow_mut();
    let secret = worker.secret.clone();
    let Ok(mut client) = Client::try_connect(port, "/ws", &secret).await else {
        return;
    };
    loop {
        let (method, params) = worker.next_request();
        if method == "task.submit" {
            record.borrow_mut().tried.insert(text(&params["title"]));
        }
        worker.open = Some((method, params.clone()));
        let Some(answer) = exchange(&mut client, method, &params).await else {
            return;
        };
        worker.open = None;
        worker.learn(method, &params, &answer, &mut record.borrow_mut());
    }
}

/// One call; `None` when the connection is dead.
pub async fn exchange(
    client: &mut Client,
    method: &str,
    params: &Value,
) -> Option<Result<Value, RpcFailure>> {
    let id = client.ask(method, params.clone()).await.ok()?;
    loop {
        let frame: Value = match client.socket.next().await? {
            Ok(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => continue,
        };
        if frame["id"] == json!(id) {
            return Some(crate::support::client::outcome(frame));
        }
    }
}

/// After a restart: what was not answered is asked again, with the same id, twice. Both answers must
/// be the same: one effect, one answer.
pub async fn settle(coordinator: &Coordinator, workers: &Workers, record: &mut Record) {
    for worker in workers {
        let Some((method, params)) = worker.borrow_mut().open.take() else {
            continue;
        };
        let secret = worker.borrow().secret.clone();
        let mut client = Client::connect(coordinator.port(), &secret).await;
        let first = client.call(method, params.clone()).await;
        let second = client.call(method, params.clone()).await;
        let nothing = method == "task.claim" && first.as_ref().is_ok_and(|a| a["claim"].is_null());
        // A look into the mailbox is no effect, so it is not remembered.
        if first.is_ok() && !nothing && method != "message.inbox" {
            assert_eq!(
                first, second,
                "{method} {params} had another answer the second time"
            );
        }
        let mut worker = worker.borrow_mut();
        worker.learn(method, &params, &first, record);
        if nothing {
            worker.learn(method, &params, &second, record);
        }
    }
}

impl Worker {
    /// Makes up the next request; whatever it is, it bears an id of its own.
    pub fn next_request(&mut self) -> (&'static str, Value) {
        self.sequence += 1;
        let id = format!("{}-{}", self.name, self.sequence);
        let (method, mut params) = self.choose(&id);
        params["request_id"] = json!(id);
        (method, params)
    }

    fn choose(&mut self, id: &str) -> (&'static str, Value) {
        match self.random.below(12) {
            0..3 => {
                let size = usize::try_from(self.random.below(600)).unwrap();
                (
                    "task.submit",
                    json!({"title": id, "payload": "x".repeat(size)}),
                )
            }
            3..5 if self.claims.len() < 3 => ("task.claim", json!({"ttl_ms": 3_600_000})),
            5..7 if !self.claims.is_empty() => {
                let (task, fence) = self.claims.remove(0);
                let mut params = json!({"task": task, "fence": fence});
                if self.random.below(4) == 0 {
                    params["error"] = json!("it did not work");
                    return ("task.fail", params);
                }
                params["result"] = json!(id);
                if self.random.below(2) == 0 {
                    params["next"] = json!({"ttl_ms": 3_600_000});
                }
                ("task.complete", params)
            }
            7 if self.leases.len() < 3 => {
                let resource = format!("name:{id}");
                (
                    "lease.acquire",
                    json!({"resources": [resource], "ttl_ms": 3_600_000}),
                )
            }
            8 if !self.leases.is_empty() => {
                let (lease, fence) = self.leases.remove(0);
                ("lease.release", json!({"lease": lease, "fence": fence}))
            }
            9 => {
                let to = format!("worker-{}", self.random.below(self.count));
                ("message.send", json!({"to": {"agent": to}, "body": id}))
            }
            10 if !self.inbox.is_empty() => {
                let messages = std::mem::take(&mut self.inbox);
                ("message.ack", json!({"messages": messages}))
            }
            10 => ("message.inbox", json!({"count_max": 5})),
            _ => {
                let key = format!("{}/{}", self.name, self.random.below(3));
                ("context.put", json!({"key": key, "value": self.sequence}))
            }
        }
    }

    /// Takes in an answer, into the worker's own memory and the common record.
    pub fn learn(
        &mut self,
        method: &str,
        params: &Value,
        answer: &Result<Value, RpcFailure>,
        record: &mut Record,
    ) {
        let result = match answer {
            Ok(result) => result,
            Err(failure) => {
                // Nothing here competes, so nothing but the stop of the coordinator may refuse it.
                assert_eq!(
                    failure.kind, "unavailable",
                    "{method} {params}: {failure:?}"
                );
                return;
            }
        };
        record.note(method, params, result);
        match method {
            "task.claim" => self.keep(&result["claim"]),
            "task.complete" => self.keep(&result["next"]),
            "lease.acquire" => {
                self.leases
                    .push((number(&result["lease"]), number(&result["fence"])));
            }
            "message.inbox" => {
                let messages = result["messages"].as_array().unwrap();
                self.inbox = messages.iter().map(|m| number(&m["message"])).collect();
            }
            _ => {}
        }
    }

    fn keep(&mut self, claim: &Value) {
        if claim.is_object() {
            self.claims
                .push((number(&claim["task"]), number(&claim["fence"])));
        }
    }
}
