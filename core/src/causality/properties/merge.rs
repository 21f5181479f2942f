//! Merge is a join; clocks agree with a map; a sibling leaves only if a later write's context covers it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{any_clock, any_dot, any_record, dot, sibling_of};
use crate::base::{Actor, Dot, Time};
use crate::causality::{Clock, Record};

proptest! {
    #[test]
    fn merge_is_commutative(a in any_record(), b in any_record()) {
        prop_assert_eq!(a.merge(&b), b.merge(&a));
    }

    #[test]
    fn merge_is_associative(a in any_record(), b in any_record(), c in any_record()) {
        prop_assert_eq!(a.merge(&b).merge(&c), a.merge(&b.merge(&c)));
    }

    #[test]
    fn merge_is_idempotent_and_absorbs_its_parts(a in any_record(), b in any_record()) {
        let both = a.merge(&b);
        prop_assert_eq!(&a.merge(&a), &a);
        prop_assert_eq!(&both.merge(&a), &both);
        prop_assert_eq!(&both.merge(&b), &both);
    }

    #[test]
    fn contains_says_whether_a_merge_would_change_anything(a in any_record(), b in any_record()) {
        prop_assert_eq!(a.contains(&b), a.merge(&b) == a);
        prop_assert!(a.merge(&b).contains(&b));
    }

    #[test]
    fn clocks_agree_with_a_map(a in any_clock(), b in any_clock(), dot in any_dot()) {
        let map = |clock: &Clock| clock.iter().collect::<BTreeMap<Actor, Time>>();
        let (left, right) = (map(&a), map(&b));
        let mut joined = a.clone();
        joined.join(&b);
        let mut expected = left.clone();
        for (actor, time) in &right {
            let known = expected.entry(*actor).or_default();
            *known = (*known).max(*time);
        }
        prop_assert_eq!(map(&joined), expected);
        prop_assert!(joined.iter().is_sorted());
        let below = |(actor, time): (&Actor, &Time)| left.get(actor).is_some_and(|known| known >= time);
        prop_assert_eq!(a.dominates(&b), right.iter().all(below));
        prop_assert_eq!(a.covers(dot), left.get(&dot.actor).is_some_and(|time| *time >= dot.time));
    }
}

/// One step of a history among four replicas of a key.
#[derive(Clone, Debug)]
enum Step {
    /// A put at a replica with the context of an earlier read (or none: it covers nothing).
    Put { at: usize, read: Option<prop::sample::Index> },
    /// A put without a context in `lww`: it covers what the replica has stored.
    Blind { at: usize },
    /// One replica's record reaches another.
    Merge { from: usize, to: usize },
    /// A client reads at a replica and keeps the context.
    Read { at: usize },
}

const REPLICAS: usize = 4;

fn any_step() -> impl Strategy<Value = Step> {
    let at = 0..REPLICAS;
    prop_oneof![
        (at.clone(), any::<Option<prop::sample::Index>>()).prop_map(|(at, read)| Step::Put { at, read }),
        at.clone().prop_map(|at| Step::Blind { at }),
        (at.clone(), at.clone()).prop_map(|(from, to)| Step::Merge { from, to }),
        at.prop_map(|at| Step::Read { at }),
    ]
}

/// The same key without clocks: which writes are known here, and which of them a known write's context named.
#[derive(Clone, Default)]
struct Ghost {
    seen: BTreeSet<Dot>,
    superseded: BTreeSet<Dot>,
}

impl Ghost {
    fn put(&mut self, context: &BTreeSet<Dot>, dot: Dot) {
        self.seen.extend(context);
        self.superseded.extend(context);
        self.seen.insert(dot);
    }

    fn merge(&mut self, other: &Self) {
        self.seen.extend(&other.seen);
        self.superseded.extend(&other.superseded);
    }
}

proptest! {
    /// The siblings of every replica are, at every moment, exactly the writes that it has heard of and that no
    /// write that it has heard of had seen.
    #[test]
    fn a_sibling_leaves_only_if_a_later_writes_context_covers_it(
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let mut records = vec![Record::default(); REPLICAS];
        let mut ghosts = vec![Ghost::default(); REPLICAS];
        let mut reads = vec![(Clock::new(), BTreeSet::new())];
        let mut time = 0;
        for step in steps {
            time += 1;
            match step {
                Step::Put { at, read } => {
                    let none = (Clock::new(), BTreeSet::new());
                    let (context, named) = read.map_or(none, |read| read.get(&reads).clone());
                    let dot = dot(u32::try_from(at).unwrap(), time);
                    records[at] = records[at].put(&context, sibling_of(dot));
                    ghosts[at].put(&named, dot);
                }
                Step::Blind { at } => {
                    let dot = dot(u32::try_from(at).unwrap(), time);
                    records[at] = records[at].clone().replace(sibling_of(dot));
                    let named = ghosts[at].seen.clone();
                    ghosts[at].put(&named, dot);
                }
                Step::Merge { from, to } => {
                    records[to] = records[to].merge(&records[from]);
                    let heard = ghosts[from].clone();
                    ghosts[to].merge(&heard);
                }
                Step::Read { at } => reads.push((records[at].clock.clone(), ghosts[at].seen.clone())),
            }
            for (record, ghost) in records.iter().zip(&ghosts) {
                let held: BTreeSet<Dot> = record.siblings.iter().map(|sibling| sibling.dot).collect();
                prop_assert_eq!(held, &ghost.seen - &ghost.superseded);
            }
        }
    }
}
