//! Preference lists: the nodes of a partition in order. The first N are the owners, the rest the fallbacks.
//! A bucket that counts replicas reads the merged list of all data centres, one with a map reads each data centre's own.

use smallvec::SmallVec;

use crate::base::{NodeNumber, PartitionId};

use super::bucket::Replicas;
use super::placement::Placement;

/// Some nodes of a partition, in order of preference.
pub type Nodes = SmallVec<[NodeNumber; 8]>;

impl Placement {
    /// The merged list of a partition over all data centres; empty for a partition that does not exist.
    pub fn merged(&self, partition: PartitionId) -> impl Iterator<Item = NodeNumber> + '_ {
        let at = usize::from(partition.0);
        let plain = if self.order.is_empty() { self.lists.values().next() } else { None };
        let plain = plain.and_then(|lists| lists.get(at)).into_iter().flatten().copied();
        let order = self.order.get(at).map_or(&[][..], Vec::as_slice);
        let merged = order.iter().enumerate().filter_map(move |(position, index)| {
            let taken = order.iter().take(position).filter(|earlier| *earlier == index).count();
            self.lists.values().nth(usize::from(*index))?.get(at)?.get(taken).copied()
        });
        plain.chain(merged)
    }

    /// The list of a partition in one data centre.
    #[must_use]
    pub fn list(&self, data_centre: &str, partition: PartitionId) -> &[NodeNumber] {
        self.lists
            .get(data_centre)
            .and_then(|lists| lists.get(usize::from(partition.0)))
            .map_or(&[], Vec::as_slice)
    }

    /// The owners of a partition: as many as the replicas ask for and the nodes allow.
    #[must_use]
    pub fn owners(&self, partition: PartitionId, replicas: &Replicas) -> Nodes {
        match replicas {
            Replicas::Count(count) => self.merged(partition).take(usize::from(*count)).collect(),
            Replicas::PerDc(counts) => counts
                .iter()
                .flat_map(|(name, count)| {
                    self.list(name, partition).iter().take(usize::from(*count)).copied()
                })
                .collect(),
        }
    }

    /// The nodes that stand in for owners: the next N of the list, per data centre where the replicas are.
    #[must_use]
    pub fn fallbacks(&self, partition: PartitionId, replicas: &Replicas) -> Nodes {
        match replicas {
            Replicas::Count(count) => {
                let count = usize::from(*count);
                self.merged(partition).skip(count).take(count).collect()
            }
            Replicas::PerDc(counts) => counts
                .iter()
                .flat_map(|(name, count)| {
                    let count = usize::from(*count);
                    self.list(name, partition).iter().skip(count).take(count).copied()
                })
                .collect(),
        }
    }

    /// How many owners each partition has: the replicas asked for, limited by the nodes there are.
    #[must_use]
    pub fn replicas(&self, replicas: &Replicas) -> usize {
        self.owners(PartitionId(0), replicas).len()
    }

    /// Per partition and position of the merged list: the name of the data centre that it is taken from.
    pub(super) fn order_by_name(&self) -> Vec<Vec<&str>> {
        let names: Vec<&str> = self.lists.keys().map(String::as_str).collect();
        let name = |index: &u16| names.get(usize::from(*index)).copied().unwrap_or_default();
        self.order.iter().map(|row| row.iter().map(name).collect()).collect()
    }
}
