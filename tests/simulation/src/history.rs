//! What clients asked and what they were told, in one total order of moments.
//! Every write has a number and every value names the write that made it, so that a history can be judged by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringkeep::causality::Clock;

/// The number of a write; its value carries it.
pub type WriteId = u64;

/// A moment in the order in which a simulation's events happen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Moment(pub u64);

/// The buckets that clients use, each with rules of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Space {
    /// Resolver `siblings`; every value is a set that only grows.
    Sets,
    /// Resolver `siblings`; blind puts, resolutions and deletes with contexts.
    Siblings,
    /// Resolver `lww`; blind puts and deletes.
    Registers,
    /// As `Siblings`, with sloppy reads and writes.
    Sloppy,
}

impl Space {
    /// Every space.
    pub const ALL: [Self; 4] = [Self::Sets, Self::Siblings, Self::Registers, Self::Sloppy];
    /// Those whose reads and writes count owners alone.
    pub const STRICT: [Self; 3] = [Self::Sets, Self::Siblings, Self::Registers];

    /// The name of its bucket.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sets => "sets",
            Self::Siblings => "siblings",
            Self::Registers => "registers",
            Self::Sloppy => "sloppy",
        }
    }
}

/// A key of a space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    /// Its space.
    pub space: Space,
    /// Its number.
    pub number: u32,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/k{}", self.space.name(), self.number)
    }
}

/// A value: the write that made it, and the elements that it holds if it is a set.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Value {
    /// The write.
    pub write: WriteId,
    /// The writes whose elements are in the set.
    pub elements: BTreeSet<WriteId>,
}

impl Value {
    /// The bytes that are stored.
    #[must_use]
    pub fn encode(&self) -> String {
        let elements: Vec<String> = self.elements.iter().map(WriteId::to_string).collect();
        format!("{}|{}", self.write, elements.join(","))
    }

    /// Reads the bytes back; none if no client wrote them.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (write, elements) = std::str::from_utf8(bytes).ok()?.split_once('|')?;
        let elements = elements.split(',').filter(|element| !element.is_empty()).map(str::parse);
        Some(Self { write: write.parse().ok()?, elements: elements.collect::<Result<_, _>>().ok()? })
    }
}

/// What a write says it has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Basis {
    /// Nothing: a put without context in a `siblings` bucket.
    Nothing,
    /// What its coordinator has stored, which the client cannot know.
    Stored,
    /// The writes that a read showed, and with them whatever those had superseded.
    Seen(BTreeSet<WriteId>),
}

/// What a client asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// Read all siblings from a quorum.
    Read,
    /// Write.
    Write {
        /// The write's number.
        write: WriteId,
        /// What it stores; none for a delete.
        value: Option<Value>,
        /// What it supersedes.
        basis: Basis,
    },
}

/// What it was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing yet.
    Pending,
    /// The live siblings, and the clock of the context that came with them.
    Shown {
        /// The siblings, the winner last.
        siblings: Vec<Value>,
        /// What the context covers.
        clock: Clock,
    },
    /// The write is acknowledged; the clock is that of the receipt's context.
    Written {
        /// What the receipt's context covers.
        clock: Clock,
    },
    /// Nothing was accepted.
    Failed(String),
    /// It may be applied.
    Unknown(String),
}

/// One operation of one client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The client.
    pub client: u32,
    /// The node that it asked.
    pub node: u32,
    /// The key.
    pub key: Key,
    /// What it asked.
    pub call: Call,
    /// What it was told.
    pub outcome: Outcome,
    /// When it asked.
    pub began: Moment,
    /// When it was told.
    pub ended: Option<Moment>,
}

impl Operation {
    /// Whether it had ended before that moment.
    #[must_use]
    pub fn ended_before(&self, moment: Moment) -> bool {
        self.ended.is_some_and(|ended| ended < moment)
    }

    /// The siblings and the clock of a read that succeeded.
    #[must_use]
    pub fn shown(&self) -> Option<(&[Value], &Clock)> {
        match &self.outcome {
            Outcome::Shown { siblings, clock } => Some((siblings, clock)),
            _ => None,
        }
    }

    /// Whether it is a write that was acknowledged.
    #[must_use]
    pub fn acked(&self) -> bool {
        matches!(self.outcome, Outcome::Written { .. })
    }
}

/// A write's number and the operation that carried it.
#[derive(Clone, Copy, Debug)]
pub struct WriteOf<'a> {
    /// The number.
    pub write: WriteId,
    /// None for a delete.
    pub value: Option<&'a Value>,
    /// What it supersedes.
    pub basis: &'a Basis,
    /// The operation.
    pub operation: &'a Operation,
}

/// Everything that clients did.
#[derive(Clone, Default, Debug)]
pub struct History {
    operations: Vec<Operation>,
    clock: u64,
    writes: WriteId,
}

impl History {
    /// A fresh number for a write.
    pub fn write_id(&mut self) -> WriteId {
        self.writes += 1;
        self.writes
    }

    /// Notes that a client asks something; the answer goes to the number that is returned.
    pub fn begin(&mut self, client: u32, node: u32, key: Key, call: Call) -> usize {
        self.clock += 1;
        let began = Moment(self.clock);
        let operation = Operation { client, node, key, call, outcome: Outcome::Pending, began, ended: None };
        self.operations.push(operation);
        self.operations.len() - 1
    }

    /// Notes what it was told.
    pub fn end(&mut self, operation: usize, outcome: Outcome) {
        self.clock += 1;
        if let Some(operation) = self.operations.get_mut(operation) {
            operation.outcome = outcome;
            operation.ended = Some(Moment(self.clock));
        }
    }

    /// The operations in the order in which they began.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operations on each key.
    #[must_use]
    pub fn by_key(&self, space: Space) -> BTreeMap<Key, Vec<&Operation>> {
        let mut keys: BTreeMap<Key, Vec<&Operation>> = BTreeMap::new();
        for operation in self.operations.iter().filter(|operation| operation.key.space == space) {
            keys.entry(operation.key).or_default().push(operation);
        }
        keys
    }
}

/// The writes among some operations.
#[must_use]
pub fn writes<'a>(operations: &[&'a Operation]) -> Vec<WriteOf<'a>> {
    let write_of = |operation: &&'a Operation| match &operation.call {
        Call::Read => None,
        Call::Write { write, value, basis } => {
            Some(WriteOf { write: *write, value: value.as_ref(), basis, operation })
        }
    };
    operations.iter().filter_map(write_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_name_their_write_and_their_elements() {
        for elements in [vec![], vec![3], vec![3, 17]] {
            let value = Value { write: 17, elements: elements.into_iter().collect() };
            assert_eq!(Value::decode(value.encode().as_bytes()), Some(value));
        }
        assert_eq!(Value::decode(b"someone else's"), None);
        assert_eq!(Value::decode(b"1|x"), None);
    }
}
