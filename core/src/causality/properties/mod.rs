//! Properties of causality, checked on random records and random histories (proptest).
//! A model here is the rule said another way: sets of writes instead of clocks, a register instead of siblings.

mod blind;
mod dots;
mod encoding;
mod merge;
mod truncation;
mod vectors;

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop};

use super::siblings::tests::dot;
use super::{Clock, Payload, Record, Sibling};
use crate::base::Dot;

/// The sibling of a dot: everything about it follows from the dot, as in the world.
fn sibling_of(dot: Dot) -> Sibling {
    let payload = match dot.time.0 % 3 {
        0 => Payload::Tombstone,
        _ => Payload::Value(Bytes::from(format!("{}@{}", dot.actor, dot.time))),
    };
    let expires = (dot.time.0 % 4 == 1).then_some(dot.time.0 * 10);
    Sibling { dot, payload, expires }
}

fn any_dot() -> impl Strategy<Value = Dot> {
    (1..6_u32, 1..9_u64).prop_map(|(node, time)| dot(node, time))
}

fn any_clock() -> impl Strategy<Value = Clock> {
    prop::collection::vec(any_dot(), 0..6).prop_map(|dots| dots.into_iter().collect())
}

/// Any record that keeps its promise: siblings sorted, each covered by the clock, each named by its dot.
fn any_record() -> impl Strategy<Value = Record> {
    any_clock()
        .prop_flat_map(|clock| {
            let mut held: Vec<Dot> = clock
                .iter()
                .flat_map(|(actor, until)| (1..=until.0).map(move |time| dot(actor.node.0, time)))
                .collect();
            held.sort_unstable();
            let count = held.len();
            (Just(clock), Just(held), prop::collection::vec(any::<bool>(), count))
        })
        .prop_map(|(clock, held, chosen)| {
            let siblings = held
                .into_iter()
                .zip(chosen)
                .filter(|(_, chosen)| *chosen)
                .map(|(dot, _)| sibling_of(dot))
                .collect();
            Record { clock, siblings }
        })
}
