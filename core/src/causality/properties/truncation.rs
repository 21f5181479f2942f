//! Truncation: settled truncation changes nothing that a reader can tell, however far it got; forced truncation
//! never loses a sibling; and replicas that go on merging come to agree and stay so.

use std::collections::BTreeSet;

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{dot, sibling_of};
use crate::base::Dot;
use crate::causality::truncation::{truncate_forced, truncate_settled};
use crate::causality::{Clock, Record, RecordHash};

const REPLICAS: usize = 4;

/// A record as it is, and as it would be if nothing were ever truncated.
#[derive(Clone, Default)]
struct Twin {
    real: Record,
    full: Record,
}

impl Twin {
    fn merge(&self, other: &Self) -> Self {
        Self { real: self.real.merge(&other.real), full: self.full.merge(&other.full) }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        at: usize,
        read: Option<prop::sample::Index>,
    },
    Blind {
        at: usize,
    },
    Read {
        at: usize,
    },
    /// A replica sends its record; it arrives later, twice, or never.
    Send {
        from: usize,
        to: usize,
    },
    Arrive {
        message: prop::sample::Index,
    },
    /// What was captured too long ago is refused wherever it arrives.
    Expire,
    /// All pairs exchange: the replicas agree.
    Settle,
    /// If all agree and nothing older is under way, a truncation is ordered.
    Order,
    /// A replica carries the last order out, if its record is still the one that was confirmed.
    Truncate {
        at: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let at = 0..REPLICAS;
    prop_oneof![
        3 => (at.clone(), any::<Option<prop::sample::Index>>()).prop_map(|(at, read)| Step::Put { at, read }),
        3 => at.clone().prop_map(|at| Step::Blind { at }),
        2 => at.clone().prop_map(|at| Step::Read { at }),
        4 => (at.clone(), at.clone()).prop_map(|(from, to)| Step::Send { from, to }),
        4 => any::<prop::sample::Index>().prop_map(|message| Step::Arrive { message }),
        2 => (0..1).prop_map(|_| Step::Expire),
        2 => (0..1).prop_map(|_| Step::Settle),
        3 => (0..1).prop_map(|_| Step::Order),
        4 => at.prop_map(|at| Step::Truncate { at }),
    ]
}

/// Four owners of one key, with clients that keep contexts as long as they like.
struct World {
    replicas: Vec<Twin>,
    reads: Vec<(Clock, Clock)>,
    messages: Vec<(usize, Twin)>,
    order: Option<RecordHash>,
    time: u64,
    /// The longest clock that a client's write may leave.
    entries_max: usize,
    truncations: usize,
}

impl World {
    fn new(entries_max: usize) -> Self {
        Self {
            replicas: vec![Twin::default(); REPLICAS],
            reads: vec![(Clock::new(), Clock::new())],
            messages: Vec::new(),
            order: None,
            time: 0,
            entries_max,
            truncations: 0,
        }
    }

    /// Each write comes from a fresh actor, as if every copy were renewed after it: clocks grow fast.
    fn write(&mut self, at: usize, contexts: &(Clock, Clock)) {
        self.time += 1;
        let new = sibling_of(dot(u32::try_from(self.time).unwrap(), self.time));
        let twin = &mut self.replicas[at];
        twin.real = truncate_forced(twin.real.put(&contexts.0, new.clone()), self.entries_max);
        twin.full = twin.full.put(&contexts.1, new);
    }

    fn clocks(&self, at: usize) -> (Clock, Clock) {
        (self.replicas[at].real.clock.clone(), self.replicas[at].full.clock.clone())
    }

    fn exchange_all(&mut self) {
        let all = self.replicas.iter().fold(Twin::default(), |all, twin| all.merge(twin));
        self.replicas.fill(all);
    }

    fn settled(&self) -> Option<RecordHash> {
        let mut hashes = self.replicas.iter().map(|twin| twin.real.hash());
        let first = hashes.next()?;
        (self.messages.is_empty() && hashes.all(|hash| hash == first)).then_some(first)
    }

    fn truncate(&mut self, at: usize) {
        let twin = &mut self.replicas[at];
        if Some(twin.real.hash()) == self.order {
            twin.real = truncate_settled(&twin.real);
            self.truncations += 1;
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Put { at, read } => {
                let contexts = read.map_or_else(Default::default, |read| read.get(&self.reads).clone());
                self.write(*at, &contexts);
            }
            Step::Blind { at } => self.write(*at, &self.clocks(*at)),
            Step::Read { at } => self.reads.push(self.clocks(*at)),
            Step::Send { from, to } => self.messages.push((*to, self.replicas[*from].clone())),
            Step::Arrive { message } => {
                if !self.messages.is_empty() {
                    let (to, twin) = message.get(&self.messages).clone();
                    self.replicas[to] = self.replicas[to].merge(&twin);
                }
            }
            Step::Expire => self.messages.clear(),
            Step::Settle => self.exchange_all(),
            Step::Order => self.order = self.settled().or(self.order),
            Step::Truncate { at } => self.truncate(*at),
        }
    }

    /// Merges neighbours around a ring until nothing changes; returns the rounds that it took.
    fn merge_until_agreed(&mut self) -> usize {
        for round in 0.. {
            let before: Vec<_> = self.replicas.iter().map(|twin| twin.real.clone()).collect();
            for at in 0..REPLICAS {
                let next = (at + 1) % REPLICAS;
                let both = self.replicas[at].merge(&self.replicas[next]);
                self.replicas[at] = both.clone();
                self.replicas[next] = both;
            }
            if self.replicas.iter().zip(&before).all(|(twin, before)| twin.real == *before) {
                return round;
            }
        }
        unreachable!("the loop has no end")
    }
}

fn dots(record: &Record) -> BTreeSet<Dot> {
    record.siblings.iter().map(|sibling| sibling.dot).collect()
}

proptest! {
    #[test]
    fn settled_truncation_changes_no_sibling_anywhere(steps in prop::collection::vec(any_step(), 1..120)) {
        let mut world = World::new(usize::MAX);
        for step in &steps {
            world.step(step);
            for twin in &world.replicas {
                prop_assert_eq!(&twin.real.siblings, &twin.full.siblings, "after {:?}", step);
            }
        }
    }

    #[test]
    fn pruned_and_unpruned_replicas_come_to_agree_and_lose_nothing(
        steps in prop::collection::vec(any_step(), 1..80),
        cut in prop::collection::vec(any::<bool>(), REPLICAS),
    ) {
        let mut world = World::new(usize::MAX);
        steps.iter().for_each(|step| world.step(step));
        world.messages.clear();
        world.exchange_all();
        world.order = world.settled();
        (0..REPLICAS).filter(|at| cut[*at]).for_each(|at| world.truncate(at));
        prop_assert!(world.merge_until_agreed() <= 2, "two passes around a ring carry everything everywhere");
        // The second try reaches everyone: the clocks are short, and stay so.
        world.order = world.settled();
        prop_assert!(world.order.is_some());
        (0..REPLICAS).for_each(|at| world.truncate(at));
        prop_assert_eq!(world.merge_until_agreed(), 0);
        for twin in &world.replicas {
            prop_assert_eq!(&twin.real.siblings, &twin.full.siblings);
            prop_assert!(twin.real.clock.len() <= twin.real.siblings.len());
        }
    }

    #[test]
    fn forced_truncation_never_loses_a_sibling_and_merging_still_ends(
        steps in prop::collection::vec(any_step(), 1..80),
        entries_max in 1..5_usize,
    ) {
        let mut world = World::new(entries_max);
        // Settled truncation is judged by what full clocks would keep, so it is left out here.
        for step in steps.iter().filter(|step| !matches!(step, Step::Order | Step::Truncate { .. })) {
            world.step(step);
            for twin in &world.replicas {
                prop_assert!(dots(&twin.real).is_superset(&dots(&twin.full)), "after {:?}", step);
            }
        }
        prop_assert!(world.merge_until_agreed() <= 2);
        let twin = &world.replicas[0];
        prop_assert!(dots(&twin.real).is_superset(&dots(&twin.full)));
    }
}

#[test]
fn the_model_does_truncate() {
    let mut world = World::new(usize::MAX);
    for at in 0..REPLICAS {
        world.step(&Step::Blind { at });
        world.step(&Step::Settle);
    }
    world.step(&Step::Order);
    world.step(&Step::Truncate { at: 0 });
    assert_eq!(world.truncations, 1);
    assert!(world.replicas[0].real.clock.len() < world.replicas[1].real.clock.len());
}
