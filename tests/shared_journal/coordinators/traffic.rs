//! Agents that go on whatever happens: what was not answered, or answered with `unavailable`, they ask
//! again with the same id, of the next coordinator.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::task::{JoinHandle, LocalSet};

use crate::support::load::record::{Record, text};
use crate::support::load::{Worker, Workers, exchange};
use crate::support::{Client, POLL, until};

/// Refusals that say that nothing is decided, or that nothing can be taken in at the moment.
const TRY_AGAIN: &[&str] = &["unavailable", "storage_full", "overloaded"];
/// Refusals by one coordinator before the next one is asked.
const PATIENT_REFUSALS: u32 = 4;

/// Running workers. Dropped, they end in the middle.
pub struct Traffic {
    local: LocalSet,
    record: Rc<RefCell<Record>>,
    stop: Rc<Cell<bool>>,
    running: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts them, spread over the coordinators at these ports.
    pub fn start(workers: &Workers, ports: &[u16]) -> Self {
        let local = LocalSet::new();
        let record = Rc::new(RefCell::new(Record::default()));
        let stop = Rc::new(Cell::new(false));
        let running = workers.iter().enumerate().map(|(number, worker)| {
            let one = One {
                worker: Rc::clone(worker),
                record: Rc::clone(&record),
                stop: Rc::clone(&stop),
                ports: ports.to_vec(),
                at: number % ports.len(),
            };
            local.spawn_local(one.run())
        });
        let running = running.collect();
        Self {
            local,
            record,
            stop,
            running,
        }
    }

    /// Lets them work beside `meanwhile`.
    pub async fn beside<T>(&self, meanwhile: impl Future<Output = T>) -> T {
        self.local.run_until(meanwhile).await
    }

    /// Lets them work until this many more requests were acknowledged.
    pub async fn acknowledges(&self, more: usize) {
        let begun = self.record.borrow().acknowledged();
        self.beside(until("acknowledged requests", async || {
            (self.record.borrow().acknowledged() >= begun + more).then_some(())
        }))
        .await;
    }

    /// Every worker gets its last answer; returns what they were told.
    pub async fn end(mut self) -> Record {
        self.stop.set(true);
        let running = std::mem::take(&mut self.running);
        self.local
            .run_until(async {
                for worker in running {
                    crate::support::within("the last answers", worker)
                        .await
                        .unwrap();
                }
            })
            .await;
        self.record.take()
    }
}

struct One {
    worker: Rc<RefCell<Worker>>,
    record: Rc<RefCell<Record>>,
    stop: Rc<Cell<bool>>,
    ports: Vec<u16>,
    at: usize,
}

impl One {
    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "a worker belongs to its one task while that runs"
    )]
    async fn run(mut self) {
        let worker = Rc::clone(&self.worker);
        let mut worker = worker.borrow_mut();
        while !self.served(&mut worker).await {
            self.at = (self.at + 1) % self.ports.len();
            tokio::time::sleep(POLL).await;
        }
    }

    /// Works over one connection. Says whether all is done.
    async fn served(&self, worker: &mut Worker) -> bool {
        let secret = worker.secret.clone();
        // A coordinator that stands still takes connections and does not answer.
        let connecting = Client::try_connect(self.ports[self.at], "/ws", &secret);
        let Ok(Ok(mut client)) = tokio::time::timeout(STANDSTILL, connecting).await else {
            return false;
        };
        let mut refused = 0;
        while refused < PATIENT_REFUSALS {
            let Some((method, params)) = self.next(worker) else {
                return true;
            };
            let asked = exchange(&mut client, method, &params);
            let Ok(Some(answer)) = tokio::time::timeout(STANDSTILL, asked).await else {
                return false;
            };
            if let Err(failure) = &answer
                && TRY_AGAIN.contains(&&*failure.kind)
            {
                refused += 1;
                tokio::time::sleep(POLL).await;
                continue;
            }
            refused = 0;
            worker.open = None;
            worker.learn(method, &params, &answer, &mut self.record.borrow_mut());
        }
        false
    }

    fn next(&self, worker: &mut Worker) -> Option<(&'static str, serde_json::Value)> {
        if worker.open.is_none() {
            if self.stop.get() {
                return None;
            }
            let (method, params) = worker.next_request();
            if method == "task.submit" {
                let title = text(&params["title"]);
                self.record.borrow_mut().tried.insert(title);
            }
            worker.open = Some((method, params));
        }
        worker.open.clone()
    }
}

/// How long an agent waits for an answer before it asks another coordinator.
const STANDSTILL: std::time::Duration = std::time::Duration::from_secs(3);
