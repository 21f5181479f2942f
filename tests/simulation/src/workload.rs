//! What clients do next, drawn from a seed: sets that grow, siblings that are made and resolved, blind registers.
//! Pure: the driver asks for an action, carries it out, and says what it read.

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use crate::history::{Key, Space};

/// One thing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Read all siblings.
    Read(Key),
    /// Put without a context.
    PutBlind(Key),
    /// Read, then put what was read (and for a set the new element) with the context.
    Resolve(Key),
    /// Put with the context of the last read of the key, however old.
    PutStale(Key),
    /// Read, then delete with the context.
    DeleteSeen(Key),
    /// Delete without a context.
    DeleteBlind(Key),
}

/// How much clients do.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Keys in each space: few, so that clients meet.
    pub keys: u32,
    /// The longest pause between two actions of a client.
    pub pause_ms_max: u64,
}

/// The choices of one client.
#[derive(Debug)]
pub struct Workload {
    random: SmallRng,
    shape: Shape,
}

impl Workload {
    /// The client with this number in the run of this seed.
    #[must_use]
    pub fn new(seed: u64, client: u32, shape: Shape) -> Self {
        // An odd constant keeps the clients of neighbouring seeds apart.
        let random =
            SmallRng::seed_from_u64(seed ^ u64::from(client + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { random, shape }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }

    /// How long to wait before the next action.
    pub fn pause_ms(&mut self) -> u64 {
        self.below(self.shape.pause_ms_max + 1)
    }

    /// What to do next.
    pub fn next_action(&mut self) -> Action {
        let space = match self.below(4) {
            0 => Space::Sets,
            1 => Space::Siblings,
            2 => Space::Sloppy,
            _ => Space::Registers,
        };
        let number = u32::try_from(self.below(u64::from(self.shape.keys))).unwrap_or(0);
        let key = Key { space, number };
        let dice = self.below(100);
        match space {
            Space::Sets => match dice {
                0..25 => Action::Read(key),
                25..50 => Action::PutBlind(key),
                _ => Action::Resolve(key),
            },
            Space::Siblings | Space::Sloppy => match dice {
                0..25 => Action::Read(key),
                25..55 => Action::PutBlind(key),
                55..75 => Action::Resolve(key),
                75..88 => Action::PutStale(key),
                88..96 => Action::DeleteSeen(key),
                _ => Action::DeleteBlind(key),
            },
            Space::Registers => match dice {
                0..35 => Action::Read(key),
                35..90 => Action::PutBlind(key),
                _ => Action::DeleteBlind(key),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SHAPE: Shape = Shape { keys: 2, pause_ms_max: 10 };

    fn actions(seed: u64, client: u32) -> Vec<Action> {
        let mut workload = Workload::new(seed, client, SHAPE);
        (0..2_000).map(|_| workload.next_action()).collect()
    }

    #[test]
    fn a_seed_and_a_client_decide_everything() {
        assert_eq!(actions(1, 1), actions(1, 1));
        assert_ne!(actions(1, 1), actions(1, 2));
        assert_ne!(actions(1, 1), actions(2, 1));
    }

    #[test]
    fn every_action_happens_in_every_space_that_allows_it() {
        let kinds: BTreeSet<String> = actions(1, 1).iter().map(|action| format!("{action:?}")).collect();
        // Sets: 3 kinds, siblings: 6, sloppy: 6, registers: 3; each on two keys.
        assert_eq!(kinds.len(), 36);
    }
}
