//! The checkers: pure functions from what clients did and saw, and from what replicas hold, to what was broken.
//! Each has a hand-made history that it must pass and one that it must not.

pub mod clocks;
pub mod convergence;
pub mod registers;
pub mod sets;
pub mod siblings;

use std::fmt;

use crate::history::History;

/// A promise that was broken, and by what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The promise.
    pub promise: &'static str,
    /// What broke it.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.found)
    }
}

/// What every checker of histories finds. The last reads of a history are those after everything healed.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let checkers = [
        sets::acked_elements_stay,
        siblings::no_false_causality,
        siblings::no_resurrection,
        siblings::no_phantom,
        registers::acked_blind_writes_show,
        clocks::quorum_reads_never_go_back,
    ];
    checkers.iter().flat_map(|checker| checker(history)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use ringkeep::base::{Actor, CopyNumber, Dot, NodeNumber, Time};
    use ringkeep::causality::Clock;

    use crate::history::{Basis, Call, History, Key, Outcome, Space, Value, WriteId};

    /// Writes histories by hand, one operation after the other unless left open.
    pub(crate) struct Script {
        pub(crate) history: History,
        key: Key,
    }

    impl Script {
        pub(crate) fn new(space: Space) -> Self {
            Self { history: History::default(), key: Key { space, number: 1 } }
        }

        /// Begins a put and leaves it open.
        pub(crate) fn open(&mut self, basis: Basis, elements: &[WriteId]) -> (usize, WriteId) {
            let write = self.history.write_id();
            let elements = elements.iter().copied().chain([write]).collect();
            let value = Some(Value { write, elements });
            (self.history.begin(0, 0, self.key, Call::Write { write, value, basis }), write)
        }

        pub(crate) fn end(&mut self, operation: usize, outcome: Outcome) {
            self.history.end(operation, outcome);
        }

        /// A put that is acknowledged.
        pub(crate) fn put(&mut self, basis: Basis, elements: &[WriteId]) -> WriteId {
            let (operation, write) = self.open(basis, elements);
            self.end(operation, written());
            write
        }

        /// A delete that is acknowledged.
        pub(crate) fn delete(&mut self, basis: Basis) -> WriteId {
            let write = self.history.write_id();
            let operation = self.history.begin(0, 0, self.key, Call::Write { write, value: None, basis });
            self.end(operation, written());
            write
        }

        /// A read that shows these writes, each a set of itself and the elements given with it.
        pub(crate) fn read_sets(&mut self, shown: &[(WriteId, &[WriteId])]) {
            let value = |(write, elements): &(WriteId, &[WriteId])| Value {
                write: *write,
                elements: elements.iter().copied().chain([*write]).collect(),
            };
            let operation = self.history.begin(0, 0, self.key, Call::Read);
            let siblings = shown.iter().map(value).collect();
            self.end(operation, Outcome::Shown { siblings, clock: Clock::new() });
        }

        /// A read that shows these writes.
        pub(crate) fn read(&mut self, shown: &[WriteId]) {
            let sets: Vec<(WriteId, &[WriteId])> = shown.iter().map(|write| (*write, &[][..])).collect();
            self.read_sets(&sets);
        }

        /// A read that shows nothing but this clock.
        pub(crate) fn read_clock(&mut self, clock: Clock) {
            let operation = self.history.begin(0, 0, self.key, Call::Read);
            self.end(operation, Outcome::Shown { siblings: Vec::new(), clock });
        }
    }

    pub(crate) fn seen(writes: &[WriteId]) -> Basis {
        Basis::Seen(writes.iter().copied().collect::<BTreeSet<_>>())
    }

    pub(crate) fn written() -> Outcome {
        Outcome::Written { clock: Clock::new() }
    }

    pub(crate) fn unknown() -> Outcome {
        Outcome::Unknown("TIMEOUT".to_owned())
    }

    pub(crate) fn clock(entries: &[(u32, u64)]) -> Clock {
        let dot = |(node, time): &(u32, u64)| Dot {
            time: Time(*time),
            actor: Actor { node: NodeNumber(*node), copy: CopyNumber(1) },
        };
        entries.iter().map(dot).collect()
    }
}
