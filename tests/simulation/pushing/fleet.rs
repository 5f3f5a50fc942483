//! A hundred boxes whose receiver comes back after 20 minutes: they do not come all at once.

use std::collections::BTreeMap;

use cli_coordinator::push::encode::Protocol;
use cli_coordinator::push::sender::{Answer, Effect, Event, Fate, Now, Rules, Sender};
use cli_coordinator::push::series::{Kind, Record, Series};
use cli_coordinator::push::spool::MemoryBacklog;

use super::world::labels;

const BOXES: u64 = 100;
const INTERVAL_MS: u64 = 60_000;
/// 2027.
const BEGIN_MS: u64 = 1_800_000_000_000;
const BACK_MS: u64 = 20 * 60_000;
const END_MS: u64 = 30 * 60_000;

struct Gateway {
    sender: Sender,
    connected: bool,
    due_ms: u64,
    made: u64,
    /// The times of the samples, in the order in which they came.
    stored: Vec<u64>,
    first_ms: Option<u64>,
}

fn at(now_ms: u64, connected: bool) -> Now {
    Now {
        mono_ms: now_ms,
        wall_ms: BEGIN_MS + now_ms,
        connected,
    }
}

impl Gateway {
    fn new(seed: u64) -> Self {
        let rules = Rules {
            interval_ms: INTERVAL_MS,
            max_age_ms: 24 * 3_600_000,
            catch_up_per_second: 10,
            protocol: Protocol::V1,
        };
        let backlog = Box::new(MemoryBacklog::new(1 << 20));
        Self {
            sender: Sender::new(rules, labels(), backlog, (seed, seed), at(0, false)),
            connected: false,
            due_ms: 0,
            made: 0,
            stored: Vec::new(),
            first_ms: None,
        }
    }

    fn make(&mut self, now_ms: u64) {
        self.due_ms += INTERVAL_MS;
        let now = at(now_ms, self.connected);
        let record = Record {
            head: self.sender.head(now).expect("the clock only goes on"),
            symbols: ["__name__", "n"].map(str::to_owned).into(),
            series: vec![Series {
                kind: Kind::Gauge,
                labels: vec![0, 1],
                value: 1_f64.to_bits(),
            }],
        };
        self.made += 1;
        let record = record.encode().unwrap();
        self.sender.handle(Event::Made(record), now);
    }

    /// Does what is due at this time. Says when to look again, and how many requests the receiver got.
    fn step(&mut self, now_ms: u64) -> (u64, u64) {
        if now_ms >= self.due_ms {
            self.make(now_ms);
        }
        let mut requests = 0;
        loop {
            match self.sender.next(at(now_ms, self.connected)) {
                Effect::Counted(fate, _) => assert_eq!(fate, Fate::Sent),
                Effect::Wait(until) => return (until.min(self.due_ms), requests),
                Effect::Request(request) => {
                    self.connected = now_ms >= BACK_MS;
                    requests += 1;
                    if !self.connected {
                        self.sender.handle(Event::Failed, at(now_ms, false));
                        continue;
                    }
                    if let Some(time_ms) = request.time_ms {
                        self.first_ms.get_or_insert(now_ms);
                        self.stored.push(time_ms);
                    }
                    let answer = Answer {
                        status: 204,
                        date_ms: Some((BEGIN_MS + now_ms) / 1_000 * 1_000),
                        retry_after_ms: None,
                        counts_samples: false,
                    };
                    let now = at(now_ms, true);
                    self.sender.handle(Event::Answered(answer), now);
                }
            }
        }
    }
}

#[test]
fn a_hundred_boxes_come_back_one_after_another() {
    let mut boxes: Vec<Gateway> = (1..=BOXES).map(Gateway::new).collect();
    let mut wakes: Vec<u64> = vec![0; boxes.len()];
    let mut requests: BTreeMap<u64, u64> = BTreeMap::new();
    let mut now_ms = 0;
    while now_ms < END_MS {
        for (one, wake) in boxes.iter_mut().zip(&mut wakes) {
            if *wake <= now_ms {
                let (until, count) = one.step(now_ms);
                *wake = until.max(now_ms + 1);
                *requests.entry(now_ms / 1_000).or_default() += count;
            }
        }
        now_ms = wakes.iter().copied().min().unwrap();
    }
    let mut firsts: BTreeMap<u64, u64> = BTreeMap::new();
    for one in &boxes {
        assert!(one.stored.is_sorted_by(|a, b| a < b), "in their order");
        // The newest may be on its way.
        assert!(one.stored.len() as u64 >= one.made - 1);
        let first_ms = one.first_ms.expect("all come back");
        // The longest pause, the spread, and the first record of a box.
        assert!(first_ms < BACK_MS + 3 * INTERVAL_MS, "{first_ms}");
        *firsts.entry(first_ms / 1_000).or_default() += 1;
    }
    // In a minute of even spread, 1.7 of them come each second.
    let most = firsts.values().max();
    assert!(most <= Some(&8), "{firsts:?}");
    // Each sends 10 a second for 2 s; all at once that would be 1,000.
    let busiest = requests
        .range(BACK_MS / 1_000..)
        .map(|(_, count)| count)
        .max();
    assert!(busiest <= Some(&120), "{busiest:?}");
    // While the receiver is away, each asks about twice a minute.
    let away = requests.range(120..BACK_MS / 1_000).map(|(_, count)| count);
    let away = away.sum::<u64>() / (BACK_MS / 60_000 - 2);
    assert!(away <= 4 * BOXES, "{away} requests a minute");
}
