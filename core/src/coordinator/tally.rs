//! Counting replies: whether enough have answered, may still, or cannot any more. Pure. A sloppy request is told which
//! fallbacks to ask, one for each owner that is away or fails, and counts owners and fallbacks together.

use std::collections::BTreeMap;

use super::quorum::{Requirement, list, quorum_detail, unavailable};
use crate::base::error::{Error, ErrorKind};
use crate::base::ids::NodeNumber;
use crate::ring::preference::Nodes;

/// What a reply changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// More replies are needed, and may come.
    Wait,
    /// Enough have answered.
    Done,
    /// Too many have failed.
    Impossible,
}

/// The replies to one request.
#[derive(Clone, Debug)]
pub struct Tally {
    requirement: Requirement,
    answered: Nodes,
    failed: BTreeMap<NodeNumber, String>,
    unknown: bool,
    /// The fallbacks that are asked.
    asked: Nodes,
    /// A fallback had no space left.
    full: bool,
}

impl Tally {
    /// No replies yet.
    #[must_use]
    pub fn new(requirement: Requirement) -> Self {
        Self {
            requirement,
            answered: Nodes::new(),
            failed: BTreeMap::new(),
            unknown: false,
            asked: Nodes::new(),
            full: false,
        }
    }

    /// The fallbacks to ask now, each once: one for each owner that is away or failed.
    pub fn next_fallbacks(&mut self) -> Nodes {
        if !self.requirement.sloppy {
            return Nodes::new();
        }
        let answered = |node: NodeNumber| self.answered.contains(&node);
        let failed = |node: NodeNumber| self.failed.contains_key(&node);
        let turns = self.requirement.groups.iter().flat_map(|group| group.stand_ins(&answered, &failed));
        let next: Nodes = turns.filter(|node| !self.asked.contains(node)).collect();
        self.asked.extend_from_slice(&next);
        next
    }

    /// Says that a node, which the caller asks itself, is one of the replicas.
    pub fn asks(&mut self, node: NodeNumber) {
        if !self.asked.contains(&node) {
            self.asked.push(node);
        }
    }

    /// Says that a node refused for want of space. An owner that does is one that failed, no more.
    pub fn refused_for_space(&mut self, node: NodeNumber) {
        self.full |= self.requirement.sloppy && !self.requirement.owners().any(|owner| owner == node);
    }

    /// Counts an answer.
    pub fn answered(&mut self, node: NodeNumber) -> Progress {
        self.failed.remove(&node);
        if !self.answered.contains(&node) {
            self.answered.push(node);
        }
        self.progress()
    }

    /// Counts a failure, unless the node has answered already; `unknown` says that it may have done what it was asked.
    pub fn failed(&mut self, node: NodeNumber, reason: String, unknown: bool) -> Progress {
        self.unknown |= unknown;
        if !self.answered.contains(&node) {
            self.failed.insert(node, reason);
        }
        self.progress()
    }

    /// Where it stands.
    #[must_use]
    pub fn progress(&self) -> Progress {
        if self.requirement.met_by(&self.answered) {
            return Progress::Done;
        }
        let possible = self.requirement.groups.iter().all(|group| {
            let may = |nodes: &Nodes| nodes.iter().filter(|node| !self.failed.contains_key(node)).count();
            may(&group.owners) + may(&group.fallbacks) >= group.needed
        });
        if possible { Progress::Wait } else { Progress::Impossible }
    }

    /// The nodes that answered.
    #[must_use]
    pub fn who_answered(&self) -> &[NodeNumber] {
        &self.answered
    }

    /// How many fallbacks answered.
    #[must_use]
    pub fn fallbacks_answered(&self) -> usize {
        let stands_in =
            |node: &NodeNumber| self.requirement.groups.iter().any(|group| group.fallbacks.contains(node));
        self.answered.iter().filter(|node| stands_in(node)).count()
    }

    /// Whether a node that failed may have done what it was asked.
    #[must_use]
    pub fn unknown(&self) -> bool {
        self.unknown
    }

    /// The error of a request that cannot be met any more.
    #[must_use]
    pub fn error(&self, name: &str) -> Error {
        let replicas = self.reasons();
        let there = self.requirement.owners().count();
        let whom = self.whom();
        let error = unavailable(name, whom, self.requirement.needed(), self.answered.len(), there, replicas);
        if !self.full {
            return error;
        }
        // The operator must act: waiting for an owner, or for the drain, makes room; trying again does not.
        Error::new(ErrorKind::StorageFull, error.message()).with_detail(error.detail().clone())
    }

    /// Every replica that has not answered, and why.
    fn reasons(&self) -> BTreeMap<String, String> {
        let mut replicas: BTreeMap<_, _> =
            self.failed.iter().map(|(node, reason)| (format!("n{node}"), reason.clone())).collect();
        let asked = self.requirement.owners().chain(self.asked.iter().copied());
        for node in asked.filter(|node| !self.answered.contains(node)) {
            replicas.entry(format!("n{node}")).or_insert_with(|| "no answer yet".to_owned());
        }
        replicas
    }

    fn whom(&self) -> &'static str {
        if self.requirement.sloppy { "owners or fallbacks" } else { "owners" }
    }

    /// The error of a request whose deadline has passed.
    #[must_use]
    pub fn timeout(&self, name: &str) -> Error {
        let (needed, received) = (self.requirement.needed(), self.answered.len());
        let replicas = self.reasons();
        let message = format!(
            "the deadline passed: {name} needs {needed} {}, {received} answered{}",
            self.whom(),
            list(&replicas)
        );
        Error::new(ErrorKind::Timeout, message).with_detail(quorum_detail(needed, received, replicas))
    }
}

#[cfg(test)]
mod tests {
    use super::super::quorum::tests::{nodes, requirement, sloppy};
    use super::*;

    #[test]
    fn one_fallback_is_asked_for_each_owner_that_is_away() {
        assert!(Tally::new(sloppy(2, &[])).next_fallbacks().is_empty());
        let mut tally = Tally::new(sloppy(2, &[2, 3]));
        assert_eq!(tally.next_fallbacks(), nodes(&[4, 5]));
        assert!(tally.next_fallbacks().is_empty());
        assert_eq!(tally.answered(NodeNumber(1)), Progress::Wait);
        assert_eq!(tally.answered(NodeNumber(5)), Progress::Done);
        assert_eq!((tally.who_answered().len(), tally.fallbacks_answered()), (2, 1));
        let mut strict = Tally::new(requirement(&[(&[1, 2, 3], 2)]));
        strict.failed(NodeNumber(1), "refused".into(), false);
        assert!(strict.next_fallbacks().is_empty());
    }

    #[test]
    fn a_replica_that_fails_is_replaced_at_once_until_no_fallback_is_left() {
        let mut tally = Tally::new(sloppy(3, &[3]));
        assert_eq!(tally.next_fallbacks(), nodes(&[4]));
        // The owner that was away fails: its fallback is asked already.
        assert_eq!(tally.failed(NodeNumber(3), "refused".into(), false), Progress::Wait);
        assert!(tally.next_fallbacks().is_empty());
        assert_eq!(tally.failed(NodeNumber(4), "full".into(), false), Progress::Wait);
        assert_eq!(tally.next_fallbacks(), nodes(&[5]));
        assert_eq!(tally.failed(NodeNumber(1), "slow".into(), true), Progress::Wait);
        assert_eq!(tally.next_fallbacks(), nodes(&[6]));
        assert_eq!(tally.answered(NodeNumber(2)), Progress::Wait);
        assert_eq!(tally.answered(NodeNumber(5)), Progress::Wait);
        assert_eq!(tally.clone().answered(NodeNumber(6)), Progress::Done);
        assert_eq!(tally.failed(NodeNumber(6), "refused".into(), false), Progress::Impossible);
        let error = tally.error("w");
        assert_eq!(error.kind(), ErrorKind::QuorumUnavailable);
        for part in ["owners or fallbacks", "2 answered", "n1: slow", "n4: full", "n6: refused"] {
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn a_fallback_without_space_makes_the_failure_one_of_space() {
        let mut tally = Tally::new(sloppy(1, &[1, 2, 3]));
        for node in 1..=6 {
            tally.refused_for_space(NodeNumber(node));
            tally.failed(NodeNumber(node), "full".into(), false);
        }
        assert_eq!(tally.error("w").kind(), ErrorKind::StorageFull);
        let mut strict = Tally::new(requirement(&[(&[1], 1)]));
        strict.refused_for_space(NodeNumber(1));
        strict.failed(NodeNumber(1), "full".into(), false);
        assert_eq!(strict.error("w").kind(), ErrorKind::QuorumUnavailable);
    }

    #[test]
    fn a_sloppy_request_never_waits_for_nobody() {
        // Whatever fails, in any order: while a request waits, somebody who was asked has not answered yet.
        for bits in 0..1_u32 << 12 {
            for needed in 1..=3 {
                let away: Vec<u32> = (1..=3).filter(|owner| bits >> owner & 1 == 1).collect();
                let mut tally = Tally::new(sloppy(needed, &away));
                let mut open: Vec<u32> = vec![1, 2, 3];
                let mut progress = Progress::Wait;
                open.extend(tally.next_fallbacks().iter().map(|node| node.0));
                while progress == Progress::Wait {
                    let turn = (bits as usize >> 4) % open.len().max(1);
                    assert!(!open.is_empty(), "needed={needed} bits={bits:#b}");
                    let node = open.remove(turn);
                    progress = if bits >> (node + 5) & 1 == 1 {
                        tally.answered(NodeNumber(node))
                    } else {
                        tally.failed(NodeNumber(node), "away".into(), false)
                    };
                    open.extend(tally.next_fallbacks().iter().map(|node| node.0));
                }
            }
        }
    }

    #[test]
    fn two_of_three_is_done_at_two_and_impossible_after_two_failures() {
        let mut tally = Tally::new(requirement(&[(&[1, 2, 3], 2)]));
        assert_eq!(tally.answered(NodeNumber(1)), Progress::Wait);
        assert_eq!(tally.answered(NodeNumber(1)), Progress::Wait);
        assert_eq!(tally.failed(NodeNumber(2), "refused".into(), false), Progress::Wait);
        assert_eq!(tally.clone().answered(NodeNumber(3)), Progress::Done);
        assert_eq!(tally.failed(NodeNumber(3), "slow".into(), true), Progress::Impossible);
        assert!(tally.unknown());
        let error = tally.error("w");
        assert!(error.message().contains("n2: refused") && error.message().contains("n3: slow"), "{error}");
    }

    #[test]
    fn a_stranger_never_counts() {
        let mut tally = Tally::new(requirement(&[(&[1, 2, 3], 1)]));
        assert_eq!(tally.answered(NodeNumber(9)), Progress::Wait);
    }
}
