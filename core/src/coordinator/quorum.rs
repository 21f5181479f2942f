//! What a level asks for: a set of groups, each some owners of which so many must answer; one group, or one per data
//! centre. Pure. For a sloppy request a group has fallbacks, which stand in for owners that are away or fail.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::base::error::{Detail, Error, ErrorKind, Result};
use crate::base::ids::{NodeNumber, PartitionId};
use crate::ring::preference::Nodes;
use crate::ring::{BucketSpec, Consistency, Level, Topology, majority};

/// Some owners, of which so many must answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Group {
    pub(super) owners: Nodes,
    pub(super) needed: usize,
    /// The owners that were not expected to answer when the request began (sloppy).
    pub(super) away: Nodes,
    /// The nodes that may stand in for owners, in order (sloppy).
    pub(super) fallbacks: Nodes,
}

impl Group {
    pub(super) fn strict(owners: Nodes, needed: usize) -> Self {
        Self { owners, needed, away: Nodes::new(), fallbacks: Nodes::new() }
    }

    /// The fallbacks whose turn it is: one for each owner that failed, or is away and has not answered all the same.
    pub(super) fn stand_ins<'a>(
        &'a self,
        answered: &'a dyn Fn(NodeNumber) -> bool,
        failed: &'a dyn Fn(NodeNumber) -> bool,
    ) -> impl Iterator<Item = NodeNumber> + 'a {
        let absent =
            |owner: &&NodeNumber| failed(**owner) || (self.away.contains(owner) && !answered(**owner));
        let absent = self.owners.iter().filter(absent).count();
        self.fallbacks.iter().copied().filter(|fallback| !failed(*fallback)).take(absent)
    }
}

/// Which owners must answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requirement {
    pub(super) groups: SmallVec<[Group; 1]>,
    pub(super) sloppy: bool,
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
        let one = |owners: Nodes, needed| Self::strict(smallvec::smallvec![Group::strict(owners, needed)]);
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
            Level::Consistency(Consistency::EachQuorum) => Self::strict(each_data_centre(topology, &owners)),
        };
        match requirement.groups.iter().find(|group| group.owners.len() < group.needed) {
            None if !requirement.groups.is_empty() => Ok(requirement),
            short => {
                let (needed, there) = short.map_or((1, 0), |group| (group.needed, group.owners.len()));
                Err(unavailable(name, "owners", needed, 0, there, BTreeMap::new()))
            }
        }
    }

    pub(super) fn strict(groups: SmallVec<[Group; 1]>) -> Self {
        Self { groups, sloppy: false }
    }

    /// The same number of replies, which may come from fallbacks that stand in for owners: healthy ones, and for a level
    /// that counts a data centre, its own.
    #[must_use]
    pub fn or_fallbacks(
        mut self,
        level: Level,
        topology: &Topology,
        bucket: &BucketSpec,
        partition: PartitionId,
        healthy: impl Fn(NodeNumber) -> bool,
    ) -> Self {
        let fallbacks = topology.fallbacks(partition, &bucket.n);
        for group in &mut self.groups {
            let place = group.owners.first().map(|owner| data_centre(topology, *owner));
            let near = |node: NodeNumber| {
                !level.is_local() || place.is_none_or(|dc| dc == data_centre(topology, node))
            };
            let taken = |node: &NodeNumber| healthy(*node) && near(*node) && !group.owners.contains(node);
            group.fallbacks = fallbacks.iter().copied().filter(taken).collect();
            group.away = group.owners.iter().copied().filter(|owner| !healthy(*owner)).collect();
        }
        self.sloppy = true;
        self
    }

    /// Whether fallbacks may stand in.
    #[must_use]
    pub fn is_sloppy(&self) -> bool {
        self.sloppy
    }

    /// Whether a node's reply may count, as an owner's or as a fallback's.
    #[must_use]
    pub fn includes(&self, node: NodeNumber) -> bool {
        self.groups.iter().any(|group| group.owners.contains(&node) || group.fallbacks.contains(&node))
    }

    /// Whether it is met where all nodes were asked: a fallback then counts only for an owner that is away or failed.
    #[must_use]
    pub fn covered_by(
        &self,
        answered: &dyn Fn(NodeNumber) -> bool,
        failed: &dyn Fn(NodeNumber) -> bool,
    ) -> bool {
        self.groups.iter().all(|group| {
            let owners = group.owners.iter().filter(|owner| answered(**owner)).count();
            let fallbacks = group.stand_ins(answered, failed).filter(|fallback| answered(*fallback)).count();
            owners + fallbacks >= group.needed
        })
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

    /// Whether these nodes, all of whom were asked, meet it.
    #[must_use]
    pub fn met_by(&self, nodes: &[NodeNumber]) -> bool {
        let count = |group: &Group| count(&group.owners, nodes) + count(&group.fallbacks, nodes);
        self.groups.iter().all(|group| count(group) >= group.needed)
    }

    /// Whether each group's replies are at least a majority of it: then reads must not go back in time. Sloppy ones may.
    #[must_use]
    pub fn is_majority(&self) -> bool {
        !self.sloppy && self.groups.iter().all(|group| group.needed >= majority(group.owners.len()))
    }

    /// The owners that must be known to hold a merged record before a majority read answers it: so many of each group
    /// that every later majority meets one of them.
    #[must_use]
    pub fn held_enough(&self) -> Self {
        let mut groups = self.groups.clone();
        for group in &mut groups {
            group.needed = group.owners.len() + 1 - majority(group.owners.len());
        }
        Self { groups, sloppy: self.sloppy }
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
    groups.into_values().map(|owners| Group::strict(owners.clone(), majority(owners.len()))).collect()
}

fn count(owners: &[NodeNumber], nodes: &[NodeNumber]) -> usize {
    owners.iter().filter(|owner| nodes.contains(owner)).count()
}

pub(super) fn quorum_detail(needed: usize, received: usize, replicas: BTreeMap<String, String>) -> Detail {
    let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Detail::Quorum { needed: narrow(needed), received: narrow(received), replicas }
}

pub(super) fn list(replicas: &BTreeMap<String, String>) -> String {
    replicas.iter().map(|(node, reason)| format!("; {node}: {reason}")).collect()
}

pub(super) fn unavailable(
    name: &str,
    whom: &str,
    needed: usize,
    received: usize,
    there: usize,
    replicas: BTreeMap<String, String>,
) -> Error {
    let message = if there < needed {
        format!("{name}={needed} needs {needed} owners and the cluster has {there} for this key")
    } else {
        format!("{name}={needed} needs {needed} of {there} {whom}, {received} answered{}", list(&replicas))
    };
    Error::new(ErrorKind::QuorumUnavailable, message).with_detail(quorum_detail(needed, received, replicas))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn nodes(numbers: &[u32]) -> Nodes {
        numbers.iter().map(|number| NodeNumber(*number)).collect()
    }

    pub(in super::super) fn requirement(groups: &[(&[u32], usize)]) -> Requirement {
        let group = |(owners, needed): &(&[u32], usize)| Group::strict(nodes(owners), *needed);
        Requirement::strict(groups.iter().map(group).collect())
    }

    /// Three owners, 1 to 3, some of them away, and fallbacks 4 to 6.
    pub(in super::super) fn sloppy(needed: usize, away: &[u32]) -> Requirement {
        let group = Group {
            away: nodes(away),
            fallbacks: nodes(&[4, 5, 6]),
            ..Group::strict(nodes(&[1, 2, 3]), needed)
        };
        Requirement { groups: smallvec::smallvec![group], sloppy: true }
    }

    #[test]
    fn where_all_are_asked_a_fallback_counts_only_for_an_owner_that_is_away() {
        let all = |nodes: &'static [u32]| move |node: NodeNumber| nodes.contains(&node.0);
        assert!(!sloppy(2, &[]).covered_by(&all(&[1, 4, 5]), &all(&[])));
        assert!(sloppy(2, &[]).covered_by(&all(&[1, 4, 5]), &all(&[3])));
        assert!(sloppy(2, &[2]).covered_by(&all(&[1, 4]), &all(&[])));
        assert!(!sloppy(2, &[2]).covered_by(&all(&[1, 5]), &all(&[])));
        assert!(!sloppy(2, &[2]).is_majority() && requirement(&[(&[1, 2, 3], 2)]).is_majority());
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
