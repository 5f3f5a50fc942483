//! A box that gathers and pushes; its clock jumps, it is killed and started again.

use std::collections::{BTreeMap, BTreeSet};

use cli_coordinator::push::encode::{ExternalLabels, Protocol};
use cli_coordinator::push::sender::{Effect, Event, Fate, Now, Rules, Sender};
use cli_coordinator::push::series::{Kind, Record, Series};

use super::super::chance::{Chance, Trace};
use super::super::seeds::Report;
use super::super::violation::{Checked, Invariant, Violation, ensure};
use super::disk::SharedDisk;
use super::receiver::{Mode, Receiver, Reply};

/// 2027, at the beginning of a run.
const BEGIN_MS: u64 = 1_800_000_000_000;
const MAX_AGE_MS: u64 = 24 * 3_600_000;
/// How long a run goes with faults, and how long without.
const FAULTS_MS: u64 = 2 * 3_600_000;
const HEALED_MS: u64 = 6 * 3_600_000;
/// The clock is right within a minute; `Date` and late answers add to that.
const TIME_GRAIN_MS: u64 = 80_000;

pub(crate) struct World {
    chance: Chance,
    trace: Trace,
    seen: BTreeMap<String, u64>,
    /// The true time.
    now_ms: u64,
    boot_ms: u64,
    /// The box's clock minus the true time.
    skew_ms: i64,
    rules: Rules,
    disk: SharedDisk,
    sender: Sender,
    connected: bool,
    /// When the answer comes, and whether the request had samples.
    flight: Option<(u64, Reply, bool)>,
    due_ms: u64,
    receiver: Receiver,
    /// When each record was made.
    made: Vec<u64>,
    /// Records that a kill took, and those that may have been there twice.
    lost: BTreeSet<u64>,
    counted: BTreeMap<Fate, u64>,
    /// When a record was taken last.
    taken_ms: u64,
    unsure: bool,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, printed: bool) -> Result<Report, Violation> {
    let mut world = World::new(seed, printed);
    world.faults()?;
    world.heal()?;
    world.judge()?;
    Ok(Report {
        hash: world.trace.hash,
        seen: world.seen,
    })
}

impl World {
    fn new(seed: u64, printed: bool) -> Self {
        let mut chance = Chance::new(seed);
        let receiver = Receiver::new(&mut chance);
        let rules = Rules {
            interval_ms: chance.one_of(&[10_000, 60_000, 60_000, 120_000]),
            max_age_ms: if chance.one_in(4) {
                3_600_000
            } else {
                MAX_AGE_MS
            },
            catch_up_per_second: chance.one_of(&[1, 10, 50]),
            protocol: if chance.one_in(3) {
                Protocol::V2
            } else {
                Protocol::V1
            },
        };
        let disk = SharedDisk::new(if chance.one_in(4) { 2_000 } else { 1_000_000 });
        let boot_ms = BEGIN_MS - 5_000;
        let skew_ms = skew(&receiver, &mut chance);
        let mut world = Self {
            sender: Sender::new(
                rules,
                labels(),
                Box::new(disk.clone()),
                (1, 1),
                at(BEGIN_MS, boot_ms, skew_ms, false),
            ),
            trace: Trace::new(printed),
            seen: BTreeMap::new(),
            now_ms: BEGIN_MS,
            boot_ms,
            skew_ms,
            rules,
            disk,
            connected: false,
            flight: None,
            due_ms: BEGIN_MS,
            receiver,
            made: Vec::new(),
            lost: BTreeSet::new(),
            counted: BTreeMap::new(),
            taken_ms: 0,
            unsure: false,
            chance,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let ids = (self.chance.next_u64(), self.chance.next_u64());
        self.connected = false;
        self.flight = None;
        self.taken_ms = 0;
        self.receiver.quiet_until = 0;
        self.receiver.newest_ms = 0;
        let now = self.now();
        self.sender = Sender::new(self.rules, labels(), Box::new(self.disk.clone()), ids, now);
    }

    fn now(&self) -> Now {
        at(self.now_ms, self.boot_ms, self.skew_ms, self.connected)
    }

    fn see(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    fn faults(&mut self) -> Checked {
        let end = BEGIN_MS + FAULTS_MS;
        let mut change_ms = self.now_ms;
        while self.now_ms < end {
            if self.now_ms >= change_ms {
                change_ms = self.now_ms + 1_000 + self.chance.number(900_000);
                self.change();
            }
            self.step(change_ms)?;
        }
        Ok(())
    }

    fn change(&mut self) {
        match self.chance.below(8) {
            0 => self.restart(true),
            1 => self.restart(false),
            2 => {
                self.skew_ms = skew(&self.receiver, &mut self.chance);
                self.unsure = true;
                self.see("clock set");
            }
            _ => self.receiver.next_mode(&mut self.chance),
        }
        let mode = format!("{:?}", self.receiver.mode);
        let text = format!("{} skew {}", mode, self.skew_ms);
        self.trace.note("change", text.as_bytes());
        self.see(mode);
    }

    /// The process ends, in order or by a kill; or the box loses its power.
    fn restart(&mut self, orderly: bool) {
        self.unsure = true;
        if orderly {
            let now = self.now();
            self.sender.handle(Event::Stop, now);
            while let Effect::Counted(fate, count) = self.sender.next(now) {
                *self.counted.entry(fate).or_default() += count;
            }
            self.see("stop");
        } else {
            let cut = self.chance.one_in(2);
            if cut {
                let records = self.chance.below(3);
                self.disk.lock().cut(records);
                self.boot_ms = self.now_ms;
                self.skew_ms = skew(&self.receiver, &mut self.chance);
            }
            self.see(if cut { "power cut" } else { "kill" });
        }
        // What went to the receiver without an answer may be there and come again.
        self.receiver.unknown += u64::from(self.flight.is_some());
        let disk = self.disk.lock();
        let kept: BTreeSet<u64> = disk
            .waiting()
            .map(|(_, record)| number_in(record))
            .collect();
        drop(disk);
        if !orderly {
            let all = 0..self.made.len() as u64;
            self.lost
                .extend(all.filter(|number| !kept.contains(number)));
        }
        self.receiver.unknown += kept
            .iter()
            .filter(|number| self.receiver.stored.contains_key(number))
            .count() as u64;
        self.now_ms += 1_000;
        self.start();
    }

    /// Goes on to the next moment at which something happens.
    fn step(&mut self, until_ms: u64) -> Checked {
        if self.now_ms >= self.due_ms {
            self.due_ms = self.now_ms + self.rules.interval_ms;
            self.make();
        }
        if let Some((_, reply, data)) = self.flight.take_if(|(at, ..)| *at <= self.now_ms) {
            self.answer(reply, data);
        }
        let wake_ms = loop {
            match self.sender.next(self.now()) {
                Effect::Counted(fate, count) => self.count(fate, count)?,
                Effect::Request(request) => {
                    ensure(self.flight.is_none(), Invariant::Patient, || {
                        "two requests in flight".to_owned()
                    })?;
                    if request.time_ms.is_some() {
                        let since = self.now_ms - self.taken_ms;
                        let pause = 1_000 / self.rules.catch_up_per_second;
                        ensure(since >= pause, Invariant::Patient, || {
                            format!("the next record after {since} ms")
                        })?;
                        self.check_time(&request.body, &request)?;
                    }
                    let reply = self
                        .receiver
                        .serve(&request, self.now_ms, &mut self.chance)?;
                    self.connected = self.receiver.mode != Mode::Away;
                    self.trace.note(
                        "request",
                        format!("{:?} {reply:?}", request.time_ms).as_bytes(),
                    );
                    self.flight = Some((
                        self.now_ms + reply.after_ms,
                        reply,
                        request.time_ms.is_some(),
                    ));
                    if request.time_ms.is_some() && reply.answer.is_some_and(|a| a.status == 204) {
                        self.see("data");
                    }
                }
                Effect::Wait(until) => break until.saturating_add(self.boot_ms),
            }
        };
        let answer_ms = self.flight.map_or(u64::MAX, |(at, ..)| at);
        let next = wake_ms.min(answer_ms).min(self.due_ms).min(until_ms);
        self.now_ms = next.max(self.now_ms + 1);
        Ok(())
    }

    fn make(&mut self) {
        let now = self.now();
        let Some(head) = self.sender.head(now) else {
            return self.see("held");
        };
        let number = self.made.len();
        self.made.push(self.now_ms);
        let record = Record {
            head,
            symbols: ["__name__", "n"].map(str::to_owned).into(),
            series: vec![Series {
                kind: Kind::Gauge,
                labels: vec![0, 1],
                value: f64::from(u32::try_from(number).unwrap()).to_bits(),
            }],
        };
        self.sender
            .handle(Event::Made(record.encode().unwrap()), now);
    }

    fn answer(&mut self, reply: Reply, data: bool) {
        self.connected &= reply.answer.is_some();
        let event = reply.answer.map_or(Event::Failed, Event::Answered);
        if data && reply.answer.is_some_and(|answer| answer.status == 204) {
            self.taken_ms = self.now_ms;
        }
        // Servers end idle connections.
        if self.chance.one_in(10) {
            self.connected = false;
        }
        let now = self.now();
        self.sender.handle(event, now);
    }

    /// Nothing goes out with a wrong time.
    fn check_time(&self, body: &[u8], request: &cli_coordinator::push::sender::Request) -> Checked {
        let version = if request.protocol == Protocol::V1 {
            "0.1.0"
        } else {
            "2.0.0"
        };
        for sample in crate::remote_write::decode(version, body) {
            let number = super::receiver::number_of(&sample);
            let made = self.made[usize::try_from(number).unwrap()];
            let right = made.saturating_add_signed(self.receiver.skew_ms);
            let off_by = sample.time_ms.cast_unsigned().abs_diff(right);
            ensure(off_by <= TIME_GRAIN_MS, Invariant::RightTime, || {
                format!("record {number} goes out {off_by} ms from its time")
            })?;
        }
        Ok(())
    }

    /// A record is only given up for a reason.
    fn count(&mut self, fate: Fate, count: u64) -> Checked {
        self.see(fate.as_str());
        *self.counted.entry(fate).or_default() += count;
        let counted = self.counted[&fate];
        let fits = match fate {
            Fate::Sent => true,
            Fate::Rejected => counted <= self.receiver.rejections,
            Fate::Poison => counted * 3 <= self.receiver.poisonings,
            Fate::Overflow => counted <= self.disk.lock().dropped,
            Fate::Clock => self.unsure,
            Fate::Expired => {
                let oldest = self.missing().next();
                let age = oldest.map_or(0, |number| {
                    self.now_ms - self.made[usize::try_from(number).unwrap()]
                });
                age + TIME_GRAIN_MS > self.rules.max_age_ms || self.receiver.unknown > 0
            }
        };
        ensure(fits, Invariant::Delivered, || {
            format!("{count} records are given up as {}", fate.as_str())
        })
    }

    /// Records that are not stored and that no kill took.
    fn missing(&self) -> impl Iterator<Item = u64> {
        let all = 0..self.made.len() as u64;
        all.filter(|number| {
            !self.receiver.stored.contains_key(number) && !self.lost.contains(number)
        })
    }

    fn heal(&mut self) -> Checked {
        self.receiver.mode = Mode::Up;
        self.skew_ms = self.receiver.skew_ms;
        self.trace.note("healed", &[]);
        self.due_ms = u64::MAX;
        let end = self.now_ms + HEALED_MS;
        while self.now_ms < end && self.sender.status(self.now()).records > 0 {
            self.step(end)?;
        }
        let left = self.sender.status(self.now()).records;
        ensure(left == 0, Invariant::Live, || {
            format!("{left} records still wait, hours after the last fault")
        })
    }

    /// Each record is there once, or was counted.
    fn judge(&mut self) -> Checked {
        // The last effects.
        while let Effect::Counted(fate, count) = self.sender.next(self.now()) {
            self.count(fate, count)?;
        }
        let missing = self.missing().count() as u64;
        let dropped = self.counted.iter().filter(|(fate, _)| **fate != Fate::Sent);
        let dropped: u64 = dropped.map(|(_, count)| count).sum();
        ensure(missing <= dropped, Invariant::Delivered, || {
            format!("{missing} records are missing, but only {dropped} were counted")
        })?;
        let (unknown, lost) = (self.receiver.unknown, self.lost.len() as u64);
        ensure(
            dropped <= missing + unknown + lost,
            Invariant::Delivered,
            || format!("{dropped} records were counted, but only {missing} are missing"),
        )
    }
}

fn at(now_ms: u64, boot_ms: u64, skew_ms: i64, connected: bool) -> Now {
    Now {
        mono_ms: now_ms - boot_ms,
        wall_ms: now_ms.saturating_add_signed(skew_ms),
        connected,
    }
}

/// Without the receiver's `Date` only a clock of 1970 is known to be wrong.
fn skew(receiver: &Receiver, chance: &mut Chance) -> i64 {
    let of_1970 = -BEGIN_MS.cast_signed();
    let base = receiver.skew_ms;
    match chance.below(8) {
        0 => of_1970,
        1 if receiver.sends_date => base + 7_200_000,
        2 if receiver.sends_date => base - 3 * 7_200_000,
        3 if receiver.sends_date => base + 300_000,
        4 => base - 40_000,
        5 => base + 30_000,
        _ => base,
    }
}

pub(super) fn labels() -> ExternalLabels {
    [("job".to_owned(), "coord".to_owned())].into()
}

fn number_in(record: &[u8]) -> u64 {
    let record = Record::decode(record).unwrap();
    #[allow(clippy::cast_sign_loss, reason = "records are numbered from 0")]
    let number = f64::from_bits(record.series[0].value) as u64;
    number
}
