//! Blind writes in `lww`: what readers see is an acknowledged write, or one that is not older than it, whatever the
//! clocks of the nodes say. Owners are a majority quorum; messages and answers are delayed, reordered and lost.

use std::collections::BTreeMap;

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_oneof, proptest};

use super::sibling_of;
use crate::base::hlc::{Hlc, LeaseNeeded};
use crate::base::{Actor, CopyNumber, Dot, NodeNumber, Time};
use crate::causality::Record;
use crate::causality::blind::remint;

#[derive(Clone, Debug)]
enum Step {
    /// A client writes through an owner.
    Write { at: usize },
    /// A message arrives; it may arrive again later.
    Deliver { message: prop::sample::Index },
    /// A message is lost.
    Lose { message: prop::sample::Index },
    /// A client reads from a majority, which starts at this owner.
    Read { from: usize, stride: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    let message = any::<prop::sample::Index>();
    prop_oneof![
        3 => (0..8_usize).prop_map(|at| Step::Write { at }),
        12 => message.clone().prop_map(|message| Step::Deliver { message }),
        1 => message.prop_map(|message| Step::Lose { message }),
        3 => (0..8_usize, 1..3_usize).prop_map(|(from, stride)| Step::Read { from, stride }),
    ]
}

#[derive(Clone)]
enum Message {
    Apply { write: usize, to: usize, dot: Dot, record: Record },
    Ack { write: usize, from: usize, dot: Dot, winner: Dot },
}

struct Owner {
    number: NodeNumber,
    hlc: Hlc,
    /// How far its wall clock is ahead of the slowest.
    ahead_ms: u64,
    record: Record,
}

struct Write {
    at: usize,
    dot: Dot,
    minted_again: bool,
    /// The owners that have this dot, with the winner that each named.
    winners: BTreeMap<usize, Dot>,
    started: usize,
    acked: Option<usize>,
}

struct World {
    owners: Vec<Owner>,
    writes: Vec<Write>,
    messages: Vec<Message>,
    /// The write of each dot.
    dots: BTreeMap<Dot, usize>,
    now: usize,
    /// Whether the coordinator fetches and merges the winner, or only mints above it.
    merges: bool,
    /// Whether it acts on the winners at all. The model must fail without it.
    remints: bool,
}

impl World {
    fn new(ahead_ms: &[u64], merges: bool, remints: bool) -> Self {
        let owners = ahead_ms.iter().zip(0..).map(|(&ahead_ms, number)| Owner {
            number: NodeNumber(number),
            hlc: Hlc::above(Time(0)),
            ahead_ms,
            record: Record::default(),
        });
        let owners = owners.collect();
        Self { owners, writes: vec![], messages: vec![], dots: BTreeMap::new(), now: 0, merges, remints }
    }

    fn majority(&self) -> usize {
        self.owners.len() / 2 + 1
    }

    /// Reads, mints above the floor, replaces, and sends the record to the other owners.
    fn mint(&mut self, write: usize, at: usize, floor: Time) -> Dot {
        let owner = &mut self.owners[at];
        let floor = floor.max(owner.record.clock.greatest());
        let wall_ms = owner.ahead_ms + u64::try_from(self.now).unwrap();
        let time = loop {
            match owner.hlc.mint(wall_ms, floor) {
                Ok(time) => break time,
                Err(LeaseNeeded(time)) => owner.hlc.extend(Time(time.0 + 100)),
            }
        };
        let dot = Dot { time, actor: Actor { node: owner.number, copy: CopyNumber(1) } };
        owner.record = owner.record.clone().replace(sibling_of(dot));
        let record = owner.record.clone();
        let others = (0..self.owners.len()).filter(|to| *to != at);
        self.messages.extend(others.map(|to| Message::Apply { write, to, dot, record: record.clone() }));
        self.dots.insert(dot, write);
        dot
    }

    fn start(&mut self, at: usize) {
        let write = self.writes.len();
        let dot = self.mint(write, at, Time(0));
        let winners = BTreeMap::from([(at, dot)]);
        let started = self.now;
        self.writes.push(Write { at, dot, minted_again: false, winners, started, acked: None });
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Apply { write, to, dot, record } => {
                let owner = &mut self.owners[to];
                owner.record = owner.record.merge(&record);
                let winner = owner.record.winner().expect("it holds what it merged").dot;
                self.messages.push(Message::Ack { write, from: to, dot, winner });
            }
            Message::Ack { write, from, dot, winner } => {
                if self.writes[write].dot == dot && self.writes[write].acked.is_none() {
                    self.writes[write].winners.insert(from, winner);
                    self.decide(write);
                }
            }
        }
    }

    /// The coordinator's rule, once W owners have answered.
    fn decide(&mut self, write: usize) {
        let Write { at, dot, minted_again, ref winners, .. } = self.writes[write];
        if winners.len() < self.majority() {
            return;
        }
        let floor = remint(dot, winners.values().copied()).filter(|_| self.remints && !minted_again);
        let Some(floor) = floor else {
            self.writes[write].acked = Some(self.now);
            return;
        };
        if self.merges {
            for owner in winners.keys().copied().collect::<Vec<_>>() {
                self.owners[at].record = self.owners[at].record.merge(&self.owners[owner].record);
            }
        }
        let dot = self.mint(write, at, floor);
        let state = &mut self.writes[write];
        state.dot = dot;
        state.minted_again = true;
        state.winners = BTreeMap::from([(at, dot)]);
    }

    /// What a read of a majority shows, checked against every write that was acknowledged before.
    fn read(&self, from: usize, stride: usize) -> Result<(), String> {
        let count = self.owners.len();
        let asked = (0..self.majority()).map(|step| (from + step * stride) % count);
        let all = asked.fold(Record::default(), |all, at| all.merge(&self.owners[at].record));
        let shown = all.winner().map(|winner| self.dots[&winner.dot]);
        for (at, write) in self.writes.iter().enumerate() {
            let Some(shown) = shown else {
                if write.acked.is_some() {
                    return Err(format!("write {at} was acknowledged and a read shows nothing"));
                }
                continue;
            };
            let older = self.writes[shown].acked.is_some_and(|acked| acked < write.started);
            if write.acked.is_some() && shown != at && older {
                return Err(format!("write {at} was acknowledged and a read shows the older write {shown}"));
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.now += 1;
        match step {
            Step::Write { at } => self.start(at % self.owners.len()),
            Step::Deliver { message } if !self.messages.is_empty() => {
                self.deliver(message.get(&self.messages).clone());
            }
            Step::Lose { message } if !self.messages.is_empty() => {
                self.messages.swap_remove(message.index(self.messages.len()));
            }
            Step::Deliver { .. } | Step::Lose { .. } => {}
            Step::Read { from, stride } => self.read(*from, *stride)?,
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn an_acked_blind_write_is_the_one_that_reads_show(
        ahead_ms in prop_oneof![
            prop::collection::vec(0..100_000_000_u64, 3),
            prop::collection::vec(0..3_u64, 3),
            prop::collection::vec(0..100_000_000_u64, 5),
        ],
        merges in any::<bool>(),
        steps in prop::collection::vec(any_step(), 1..150),
    ) {
        let mut world = World::new(&ahead_ms, merges, true);
        for step in &steps {
            let outcome = world.step(step);
            prop_assert!(outcome.is_ok(), "{:?}", outcome);
        }
    }
}

/// An owner whose clock is a day ahead writes first; without the rule its write hides every later one.
#[test]
fn the_model_sees_a_write_that_is_acknowledged_below_the_winner() {
    let run = |remints| {
        let mut world = World::new(&[0, 0, 86_400_000], true, remints);
        world.start(2);
        world.now += 1;
        while let Some(message) = world.messages.pop() {
            world.deliver(message);
        }
        // The owner that now coordinates missed it: its disk was slow to merge, or it was cut off.
        world.owners[0].record = Record::default();
        world.now += 1;
        world.start(0);
        while let Some(message) = world.messages.pop() {
            world.deliver(message);
        }
        assert!(world.writes.iter().all(|write| write.acked.is_some()));
        world.read(0, 1)
    };
    assert!(run(false).is_err());
    assert_eq!(run(true), Ok(()));
}
