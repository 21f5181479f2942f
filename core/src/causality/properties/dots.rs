//! Dots: none is issued twice, and a clock covers only what its holder has seen, across new copies, crashes that
//! forget, restarts that do not, and wiped disks, under wall clocks that jump as they like.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Strategy, prop, prop_assert, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;

use super::sibling_of;
use crate::base::hlc::{Hlc, LeaseNeeded};
use crate::base::{Actor, CopyNumber, Dot, NodeNumber, Time};
use crate::causality::{Clock, Record};

const NODES: usize = 3;
const KEYS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    /// A write without a context; `blind` says whether it covers what is stored (`lww`) or nothing (`siblings`).
    Write { at: usize, key: usize, wall_ms: u64, blind: bool },
    /// One node's record of a key is merged into another's.
    Merge { from: usize, to: usize, key: usize },
    /// Everything written so far is on disk.
    Sync { at: usize },
    /// The process ends, but its disk has everything: a clean stop, or a kill with the system still up.
    Restart { at: usize },
    /// The machine ends: what was not synced is forgotten.
    Crash { at: usize, wall_ms: u64 },
    /// The disk is lost; whoever comes back is a new member.
    Wipe { at: usize, wall_ms: u64 },
    /// The copy is dropped whole and taken again.
    Retake { at: usize, key: usize, wall_ms: u64 },
}

fn any_step() -> impl Strategy<Value = Step> {
    let (at, key, wall) = (0..NODES, 0..KEYS, 0..50_u64);
    prop_oneof![
        8 => (at.clone(), key.clone(), wall.clone(), proptest::bool::ANY)
            .prop_map(|(at, key, wall_ms, blind)| Step::Write { at, key, wall_ms, blind }),
        4 => (at.clone(), at.clone(), key.clone()).prop_map(|(from, to, key)| Step::Merge { from, to, key }),
        1 => at.clone().prop_map(|at| Step::Sync { at }),
        1 => at.clone().prop_map(|at| Step::Restart { at }),
        2 => (at.clone(), wall.clone()).prop_map(|(at, wall_ms)| Step::Crash { at, wall_ms }),
        1 => (at.clone(), wall.clone()).prop_map(|(at, wall_ms)| Step::Wipe { at, wall_ms }),
        1 => (at, key, wall).prop_map(|(at, key, wall_ms)| Step::Retake { at, key, wall_ms }),
    ]
}

/// A copy of one key: its number, what it holds, and which writes it has really seen.
#[derive(Clone, Default)]
struct Copy {
    number: CopyNumber,
    record: Record,
    seen: BTreeSet<Dot>,
}

struct Node {
    number: NodeNumber,
    hlc: Hlc,
    copies: Vec<Copy>,
    synced: Vec<Copy>,
}

impl Node {
    fn new(number: u32, wall_ms: u64) -> Self {
        let (number, hlc) = (NodeNumber(number), Hlc::above(Time(0)));
        let mut node = Self { number, hlc, copies: vec![Copy::default(); KEYS], synced: Vec::new() };
        node.renew(wall_ms);
        node.synced.clone_from(&node.copies);
        node
    }

    /// Mints as a node does: the lease is on disk (and synced) before a time under it is issued.
    fn mint(&self, wall_ms: u64, floor: Time) -> Time {
        loop {
            match self.hlc.mint(wall_ms, floor) {
                Ok(time) => return time,
                Err(LeaseNeeded(time)) => self.hlc.extend(Time(time.0 + 5)),
            }
        }
    }

    fn restart(&mut self) {
        self.hlc = Hlc::above(self.hlc.lease());
    }

    fn renew(&mut self, wall_ms: u64) {
        for key in 0..KEYS {
            self.copies[key].number = CopyNumber(self.mint(wall_ms, Time(0)).0);
        }
    }
}

struct World {
    nodes: Vec<Node>,
    members: u32,
    issued: BTreeMap<usize, BTreeSet<Dot>>,
    /// Every clock that ever was, per key.
    ever: Vec<Clock>,
    /// Whether a copy that may have forgotten gets a new number. The model must fail without it.
    renews: bool,
}

impl World {
    fn new(renews: bool) -> Self {
        let nodes = (0..NODES).map(|at| Node::new(u32::try_from(at).unwrap(), 0)).collect();
        let members = u32::try_from(NODES).unwrap();
        Self { nodes, members, issued: BTreeMap::new(), ever: vec![Clock::new(); KEYS], renews }
    }

    fn write(&mut self, at: usize, key: usize, wall_ms: u64, blind: bool) -> Result<(), TestCaseError> {
        let node = &mut self.nodes[at];
        let time = node.mint(wall_ms, node.copies[key].record.clock.greatest());
        let copy = &mut node.copies[key];
        let dot = Dot { time, actor: Actor { node: node.number, copy: copy.number } };
        prop_assert!(self.issued.entry(key).or_default().insert(dot), "{:?} was issued twice", dot);
        prop_assert!(!self.ever[key].covers(dot), "{:?} is covered before it exists", dot);
        let context = if blind { copy.record.clock.clone() } else { Clock::new() };
        copy.record = copy.record.put(&context, sibling_of(dot));
        copy.seen.insert(dot);
        self.ever[key].join(&copy.record.clock);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Write { at, key, wall_ms, blind } => self.write(at, key, wall_ms, blind)?,
            Step::Merge { from, to, key } => {
                let sent = self.nodes[from].copies[key].clone();
                let copy = &mut self.nodes[to].copies[key];
                copy.record = copy.record.merge(&sent.record);
                copy.seen.extend(sent.seen);
            }
            Step::Sync { at } => self.nodes[at].synced = self.nodes[at].copies.clone(),
            Step::Restart { at } => {
                self.nodes[at].synced = self.nodes[at].copies.clone();
                self.nodes[at].restart();
            }
            Step::Crash { at, wall_ms } => {
                let node = &mut self.nodes[at];
                node.copies.clone_from(&node.synced);
                node.restart();
                if self.renews {
                    node.renew(wall_ms);
                    node.synced.clone_from(&node.copies);
                }
            }
            Step::Wipe { at, wall_ms } => {
                self.nodes[at] = Node::new(self.members, wall_ms);
                self.members += 1;
            }
            Step::Retake { at, key, wall_ms } => {
                let number = CopyNumber(self.nodes[at].mint(wall_ms, Time(0)).0);
                // A generation change is one synced metadata write: the old copy is gone from then on.
                let copy = Copy { number, ..Copy::default() };
                self.nodes[at].synced[key] = copy.clone();
                self.nodes[at].copies[key] = copy;
            }
        }
        self.check()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for node in &self.nodes {
            for (key, copy) in node.copies.iter().enumerate() {
                for dot in self.issued.get(&key).into_iter().flatten() {
                    let sound = !copy.record.clock.covers(*dot) || copy.seen.contains(dot);
                    prop_assert!(sound, "node {} covers {:?} unseen", node.number, dot);
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_dot_is_issued_twice_and_none_is_covered_unseen(steps in prop::collection::vec(any_step(), 1..80)) {
        let mut world = World::new(true);
        for step in &steps {
            world.step(step)?;
        }
    }
}

/// The bug known as kv679: without a new number, what a copy writes after a crash covers what it forgot.
#[test]
fn the_model_sees_a_copy_that_keeps_its_number_after_forgetting() {
    let steps = [
        Step::Write { at: 0, key: 0, wall_ms: 1, blind: true },
        Step::Merge { from: 0, to: 1, key: 0 },
        Step::Crash { at: 0, wall_ms: 1 },
        Step::Write { at: 0, key: 0, wall_ms: 1, blind: true },
    ];
    let run = |renews| {
        steps.iter().try_for_each({
            let mut world = World::new(renews);
            move |step| world.step(step)
        })
    };
    assert!(run(false).is_err());
    assert!(run(true).is_ok());
}
