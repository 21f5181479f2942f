//! A register that is decided once: single-decree Paxos (Lamport, "Paxos Made Simple", 2001).
//! Pure state machines: an acceptor's reply may be sent only after its new state is on disk.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};

use crate::base::error::{Error, Result};
use crate::base::ids::NodeNumber;

/// The most bytes of a value: a topology of thousands of members and partitions.
pub const VALUE_BYTES_MAX: usize = 8 << 20;

/// The number of an attempt; unique, as each node uses its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Ballot {
    /// Raised with each attempt; 0 is no attempt.
    pub round: u64,
    /// Whose attempt.
    pub node: NodeNumber,
}

impl Ballot {
    /// A ballot of this node that is greater than another.
    #[must_use]
    pub fn above(other: Self, node: NodeNumber) -> Self {
        Self { round: other.round.saturating_add(1), node }
    }
}

/// A value that an acceptor has accepted, and under which ballot.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Vote {
    /// The ballot.
    pub ballot: Ballot,
    /// The value.
    pub value: Bytes,
}

/// What an acceptor answers to a prepare.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Promise {
    /// The greatest ballot that it has promised: the one asked for, or the one that outbids it.
    pub promised: Ballot,
    /// What it has accepted before.
    pub accepted: Option<Vote>,
}

/// One of those who decide. Its state must be on disk before a reply leaves.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Acceptor {
    promised: Ballot,
    accepted: Option<Vote>,
}

impl Acceptor {
    /// Promises to ignore lesser ballots, unless it has promised a greater one already.
    pub fn prepare(&mut self, ballot: Ballot) -> Promise {
        self.promised = self.promised.max(ballot);
        Promise { promised: self.promised, accepted: self.accepted.clone() }
    }

    /// Accepts a value, unless a greater ballot was promised; answers with the greatest promised ballot.
    pub fn accept(&mut self, ballot: Ballot, value: Bytes) -> Ballot {
        if ballot >= self.promised {
            self.promised = ballot;
            self.accepted = Some(Vote { ballot, value });
        }
        self.promised
    }

    /// What it has accepted.
    #[must_use]
    pub fn accepted(&self) -> Option<&Vote> {
        self.accepted.as_ref()
    }

    /// Its state, for the disk: version, promised ballot, and, if it has accepted, that ballot and the value.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(32);
        out.put_u8(1);
        put_ballot(&mut out, self.promised);
        if let Some(vote) = &self.accepted {
            put_ballot(&mut out, vote.ballot);
            out.put_slice(&vote.value);
        }
        out.into()
    }

    /// Its state from the disk.
    ///
    /// # Errors
    /// `Corruption` for bytes that `encode` cannot have written.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        let fault = || Error::corrupt(format!("an acceptor's state of {} bytes is damaged", bytes.len()));
        let mut rest = bytes.clone();
        if rest.try_get_u8().map_err(|_| fault())? != 1 {
            return Err(fault());
        }
        let promised = get_ballot(&mut rest).ok_or_else(fault)?;
        if rest.is_empty() {
            return Ok(Self { promised, accepted: None });
        }
        let ballot = get_ballot(&mut rest).ok_or_else(fault)?;
        if ballot > promised || rest.len() > VALUE_BYTES_MAX {
            return Err(fault());
        }
        Ok(Self { promised, accepted: Some(Vote { ballot, value: rest }) })
    }
}

fn put_ballot(out: &mut Vec<u8>, ballot: Ballot) {
    out.put_u64(ballot.round);
    out.put_u32(ballot.node.0);
}

fn get_ballot(bytes: &mut Bytes) -> Option<Ballot> {
    let round = bytes.try_get_u64().ok()?;
    let node = NodeNumber(bytes.try_get_u32().ok()?);
    Some(Ballot { round, node })
}

/// What a proposer does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Wait for more answers.
    Wait,
    /// Ask every acceptor to accept this value.
    Accept(Bytes),
    /// The value is decided.
    Decided(Bytes),
    /// An acceptor has promised this greater ballot: try again above it.
    Outbid(Ballot),
}

/// One attempt to decide.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Proposer {
    ballot: Ballot,
    acceptors: usize,
    value: Bytes,
    promises: BTreeMap<NodeNumber, Option<Vote>>,
    accepting: bool,
    accepted: BTreeMap<NodeNumber, ()>,
}

impl Proposer {
    /// An attempt to decide `value` among so many acceptors. Send its ballot to all of them in a prepare.
    #[must_use]
    pub fn new(ballot: Ballot, acceptors: usize, value: Bytes) -> Self {
        Self {
            ballot,
            acceptors,
            value,
            promises: BTreeMap::new(),
            accepting: false,
            accepted: BTreeMap::new(),
        }
    }

    /// The ballot of this attempt.
    #[must_use]
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// Acceptors that have promised.
    pub fn promised(&self) -> impl Iterator<Item = NodeNumber> + '_ {
        self.promises.keys().copied()
    }

    /// Takes an answer to the prepare. A value that some acceptor has accepted takes the place of the own one.
    pub fn take_promise(&mut self, from: NodeNumber, promise: Promise) -> Step {
        if promise.promised > self.ballot {
            return Step::Outbid(promise.promised);
        }
        if promise.promised < self.ballot || self.accepting {
            return Step::Wait;
        }
        self.promises.insert(from, promise.accepted);
        if !self.is_majority(self.promises.len()) {
            return Step::Wait;
        }
        self.accepting = true;
        let greatest = self.promises.values().flatten().max_by_key(|vote| vote.ballot);
        if let Some(vote) = greatest {
            self.value = vote.value.clone();
        }
        Step::Accept(self.value.clone())
    }

    /// Takes an answer to the accept: the acceptor's greatest promised ballot.
    pub fn take_accepted(&mut self, from: NodeNumber, promised: Ballot) -> Step {
        if promised > self.ballot {
            return Step::Outbid(promised);
        }
        if promised < self.ballot || !self.accepting {
            return Step::Wait;
        }
        self.accepted.insert(from, ());
        if self.is_majority(self.accepted.len()) { Step::Decided(self.value.clone()) } else { Step::Wait }
    }

    fn is_majority(&self, count: usize) -> bool {
        count > self.acceptors / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(round: u64, node: u32) -> Ballot {
        Ballot { round, node: NodeNumber(node) }
    }

    #[test]
    fn a_later_attempt_takes_over_the_accepted_value() {
        let mut acceptors = vec![Acceptor::default(); 3];
        let mut first = Proposer::new(ballot(1, 1), 3, Bytes::from("a"));
        for (number, acceptor) in (1..).zip(acceptors.iter_mut().take(2)) {
            let promise = acceptor.prepare(first.ballot());
            let _step = first.take_promise(NodeNumber(number), promise);
        }
        assert_eq!(acceptors[0].accept(first.ballot(), Bytes::from("a")), first.ballot());
        let mut second = Proposer::new(ballot(2, 2), 3, Bytes::from("b"));
        assert_eq!(second.take_promise(NodeNumber(3), acceptors[2].prepare(second.ballot())), Step::Wait);
        let step = second.take_promise(NodeNumber(1), acceptors[0].prepare(second.ballot()));
        assert_eq!(step, Step::Accept(Bytes::from("a")));
        assert_eq!(acceptors[1].accept(first.ballot(), Bytes::from("a")), first.ballot());
        assert_eq!(first.take_accepted(NodeNumber(1), ballot(2, 2)), Step::Outbid(ballot(2, 2)));
    }

    #[test]
    fn an_acceptors_state_survives_the_disk() {
        let mut acceptor = Acceptor::default();
        assert_eq!(Acceptor::decode(&acceptor.encode()).unwrap(), acceptor);
        acceptor.prepare(ballot(7, 3));
        assert_eq!(Acceptor::decode(&acceptor.encode()).unwrap(), acceptor);
        acceptor.accept(ballot(9, 2), Bytes::from("value"));
        let bytes = acceptor.encode();
        assert_eq!(Acceptor::decode(&bytes).unwrap(), acceptor);
        for cut in 0..20 {
            assert!(Acceptor::decode(&bytes.slice(..cut)).is_err() || cut == 13, "{cut}");
        }
    }
}
