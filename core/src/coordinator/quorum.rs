//! Counting replies: which owners must answer for a level, and whether they have, may still, or cannot any more.
//! Pure. A level is a set of groups, each some owners of which so many must answer: one group, or one per data centre.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::base::error::{Detail, Error, ErrorKind, Result};
use crate::base::ids::{NodeNumber, PartitionId};
use crate::ring::preference::Nodes;
use crate::ring::{BucketSpec, Consistency, Level, Topology, majority};

/// Some owners, of which so many must answer.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Group {
    owners: Nodes,
    needed: usize,
}

/// Which owners must answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requirement {
    groups: SmallVec<[Group; 1]>,
}

impl Requirement {
    /// What a level asks of the owners of a partition; `from` is the coordinator, whose data centre is the local one;
    /// `name` is `r` or `w`.
    ///
    /// # Errors
    /// `InvalidArgument` for a number that the bucket can never meet, `QuorumUnavailable` for one that the cluster
    /// cannot meet with the nodes it has.
    pub fn of(
        name: &str,
        level: Level,
        topology: &Topology,
        bucket: &BucketSpec,
        partition: PartitionId,
        from: NodeNumber,
    ) -> Result<Self> {
        level.validate(name, &bucket.n)?;
        let owners = topology.owners(partition, &bucket.n);
        let here = data_centre(topology, from);
        let local = || owners.iter().copied().filter(|node| data_centre(topology, *node) == here).collect();
        let one = |owners: Nodes, needed| Self { groups: smallvec::smallvec![Group { owners, needed }] };
        let requirement = match level {
            Level::Count(count) => one(owners.clone(), count.into()),
            Level::Consistency(Consistency::One) => one(owners.clone(), 1),
            Level::Consistency(Consistency::Quorum) => one(owners.clone(), majority(owners.len())),
            Level::Consistency(Consistency::All) => one(owners.clone(), owners.len().max(1)),
            Level::Consistency(Consistency::LocalOne) => one(local(), 1),
            Level::Consistency(Consistency::LocalQuorum) => {
                let local: Nodes = local();
                let needed = majority(local.len());
                one(local, needed)
            }
            Level::Consistency(Consistency::EachQuorum) => {
                Self { groups: each_data_centre(topology, &owners) }
            }
        };
        match requirement.groups.iter().find(|group| group.owners.len() < group.needed) {
            None if !requirement.groups.is_empty() => Ok(requirement),
            short => {
                let (needed, there) = short.map_or((1, 0), |group| (group.needed, group.owners.len()));
                Err(unavailable(name, needed, 0, there, BTreeMap::new()))
            }
        }
    }

    /// The owners that the level may count.
    pub fn owners(&self) -> impl Iterator<Item = NodeNumber> + '_ {
        self.groups.iter().flat_map(|group| group.owners.iter().copied())
    }

    /// Replies needed in all.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.groups.iter().map(|group| group.needed).sum()
    }

    /// Whether these nodes meet it.
    #[must_use]
    pub fn met_by(&self, nodes: &[NodeNumber]) -> bool {
        self.groups.iter().all(|group| count(&group.owners, nodes) >= group.needed)
    }

    /// Whether each group's replies are at least a majority of it: then reads must not go back in time.
    #[must_use]
    pub fn is_majority(&self) -> bool {
        self.groups.iter().all(|group| group.needed >= majority(group.owners.len()))
    }

    /// The owners that must be known to hold a merged record before a majority read answers it: so many of each group
    /// that every later majority meets one of them.
    #[must_use]
    pub fn held_enough(&self) -> Self {
        let mut groups = self.groups.clone();
        for group in &mut groups {
            group.needed = group.owners.len() + 1 - majority(group.owners.len());
        }
        Self { groups }
    }
}

fn data_centre(topology: &Topology, node: NodeNumber) -> Option<&str> {
    topology.members.get(&node).map(|member| member.location.data_centre())
}

fn each_data_centre(topology: &Topology, owners: &Nodes) -> SmallVec<[Group; 1]> {
    let mut groups: BTreeMap<Option<&str>, Nodes> = BTreeMap::new();
    for node in owners {
        groups.entry(data_centre(topology, *node)).or_default().push(*node);
    }
    groups.into_values().map(|owners| Group { needed: majority(owners.len()), owners }).collect()
}

fn count(owners: &[NodeNumber], nodes: &[NodeNumber]) -> usize {
    owners.iter().filter(|owner| nodes.contains(owner)).count()
}

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
}

impl Tally {
    /// No replies yet.
    #[must_use]
    pub fn new(requirement: Requirement) -> Self {
        Self { requirement, answered: Nodes::new(), failed: BTreeMap::new(), unknown: false }
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
            group.owners.iter().filter(|owner| !self.failed.contains_key(owner)).count() >= group.needed
        });
        if possible { Progress::Wait } else { Progress::Impossible }
    }

    /// The nodes that answered.
    #[must_use]
    pub fn who_answered(&self) -> &[NodeNumber] {
        &self.answered
    }

    /// Whether a node that failed may have done what it was asked.
    #[must_use]
    pub fn unknown(&self) -> bool {
        self.unknown
    }

    /// The error of a request that cannot be met any more.
    #[must_use]
    pub fn error(&self, name: &str) -> Error {
        let replicas =
            self.failed.iter().map(|(node, reason)| (format!("n{node}"), reason.clone())).collect();
        let there = self.requirement.owners().count();
        unavailable(name, self.requirement.needed(), self.answered.len(), there, replicas)
    }

    /// The error of a request whose deadline has passed.
    #[must_use]
    pub fn timeout(&self, name: &str) -> Error {
        let (needed, received) = (self.requirement.needed(), self.answered.len());
        let mut replicas: BTreeMap<_, _> =
            self.failed.iter().map(|(node, reason)| (format!("n{node}"), reason.clone())).collect();
        for owner in self.requirement.owners().filter(|owner| !self.answered.contains(owner)) {
            replicas.entry(format!("n{owner}")).or_insert_with(|| "no answer yet".to_owned());
        }
        let message = format!(
            "the deadline passed: {name} needs {needed} owners, {received} answered{}",
            list(&replicas)
        );
        Error::new(ErrorKind::Timeout, message).with_detail(quorum_detail(needed, received, replicas))
    }
}

fn quorum_detail(needed: usize, received: usize, replicas: BTreeMap<String, String>) -> Detail {
    let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Detail::Quorum { needed: narrow(needed), received: narrow(received), replicas }
}

fn list(replicas: &BTreeMap<String, String>) -> String {
    replicas.iter().map(|(node, reason)| format!("; {node}: {reason}")).collect()
}

fn unavailable(
    name: &str,
    needed: usize,
    received: usize,
    there: usize,
    replicas: BTreeMap<String, String>,
) -> Error {
    let message = if there < needed {
        format!("{name}={needed} needs {needed} owners and the cluster has {there} for this key")
    } else {
        format!("{name}={needed} needs {needed} of {there} owners, {received} answered{}", list(&replicas))
    };
    Error::new(ErrorKind::QuorumUnavailable, message).with_detail(quorum_detail(needed, received, replicas))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(numbers: &[u32]) -> Nodes {
        numbers.iter().map(|number| NodeNumber(*number)).collect()
    }

    fn requirement(groups: &[(&[u32], usize)]) -> Requirement {
        let group = |(owners, needed): &(&[u32], usize)| Group { owners: nodes(owners), needed: *needed };
        Requirement { groups: groups.iter().map(group).collect() }
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

    #[test]
    fn each_group_must_be_met() {
        let each = requirement(&[(&[1, 2, 3], 2), (&[4, 5, 6], 2)]);
        assert!(!each.met_by(&nodes(&[1, 2, 3, 4])));
        assert!(each.met_by(&nodes(&[1, 3, 4, 6])));
        assert!(each.is_majority());
    }

    #[test]
    fn what_is_held_enough_meets_every_later_majority() {
        for n in 1..=7_u32 {
            let all: Vec<u32> = (1..=n).collect();
            let needed = majority(all.len());
            let held = requirement(&[(&all, needed)]).held_enough();
            assert_eq!(held.needed() + needed, all.len() + 1);
        }
    }
}
