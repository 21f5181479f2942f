//! The topology: the agreed record of members, owners and buckets, and the changes that lead to the next one.
//! A value of this type that came through `found`, a change, or `validate` is consistent; peers' bytes go through the latter.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use crate::base::{BucketId, ClusterId, Epoch, Error, NodeNumber, PartitionId, Result};

use super::bucket::{BucketSpec, Replicas, validate_data_centre};
use super::hash::{PARTITIONS_MAX, partition, token};
use super::location::Location;
use super::placement::{POSITIONS_MAX, Placement, place};
use super::preference::Nodes;
use super::voters::{self, VOTERS_MAX};

/// The most members. Four times what is tested, so that a hostile record cannot ask for unbounded memory.
pub const MEMBERS_MAX: usize = 4_096;

/// The most buckets: each is carried in every topology.
pub const BUCKETS_MAX: usize = 1_024;

/// The greatest number of an epoch, which leaves the next one room.
pub const EPOCH_MAX: u64 = 1 << 62;

/// The most data centres: each lists nodes for every partition, and a topology must fit a frame.
pub const DATA_CENTRES_MAX: usize = 16;

/// The most bytes of a node's stable id.
pub const NODE_ID_BYTES_MAX: usize = 26;

/// The greatest capacity of a member.
pub const CAPACITY_MAX: f64 = 1_000.0;

/// A member of the cluster.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    /// Its number: from 1, never used again.
    pub number: NodeNumber,
    /// The stable id that the node drew when its data directory was made: 1 to 26 letters and digits.
    pub id: String,
    /// Where it stands.
    pub location: Location,
    /// Its share of partitions relative to other members: above 0, at most 1,000.
    pub capacity: f64,
    /// Whether it keeps its state on disk. Memory nodes do not vote while durable ones exist.
    pub durable: bool,
}

impl Member {
    /// Checks every value but the number.
    ///
    /// # Errors
    /// `InvalidArgument` that shows the first fault.
    pub fn validate(&self) -> Result<()> {
        let plain = self.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if self.id.is_empty() || self.id.len() > NODE_ID_BYTES_MAX || !plain {
            return Err(Error::invalid(format!(
                "node id of {} bytes is not 1 to {NODE_ID_BYTES_MAX} letters and digits",
                self.id.len()
            )));
        }
        if !(self.capacity > 0.0 && self.capacity <= CAPACITY_MAX) {
            return Err(Error::invalid(format!(
                "capacity={} is not above 0 and at most {CAPACITY_MAX}",
                self.capacity
            )));
        }
        Ok(())
    }
}

/// The agreed record of one epoch.
#[derive(Clone, PartialEq, Debug)]
pub struct Topology {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The key with which context tokens are hashed.
    pub context_key: [u8; 16],
    /// Its number.
    pub epoch: Epoch,
    /// Q: a power of two, fixed for the life of the cluster.
    pub partitions: u32,
    /// Everyone who belongs to the cluster.
    pub members: BTreeMap<NodeNumber, Member>,
    /// Which of them hold which partition.
    pub placement: Placement,
    /// Per partition: the epoch that last changed its owners for any bucket. Older requests are stale.
    pub changed: Vec<Epoch>,
    /// The buckets.
    pub buckets: BTreeMap<BucketId, BucketSpec>,
    /// Who agrees on the next epoch, in order.
    pub voters: Vec<NodeNumber>,
    /// The number of the next member.
    pub next_node: u32,
    /// The number of the next bucket.
    pub next_bucket: u32,
    /// The first write has fixed the owners: who joins later owns nothing yet.
    pub sealed: bool,
}

impl Topology {
    /// The first topology. Members get the numbers 1, 2, … in the order given; the default bucket gets the number 0.
    ///
    /// # Errors
    /// `InvalidArgument` for values out of range, no or too many members, or two of one id.
    pub fn found(
        cluster: ClusterId,
        context_key: [u8; 16],
        partitions: u32,
        default_bucket: BucketSpec,
        members: Vec<Member>,
        sealed: bool,
    ) -> Result<Self> {
        check_partitions(partitions)?;
        if members.is_empty() || members.len() > MEMBERS_MAX {
            return Err(Error::invalid(format!(
                "{} founding members, not 1 to {MEMBERS_MAX}",
                members.len()
            )));
        }
        let epoch = Epoch { era: 0, number: 1 };
        let members: BTreeMap<_, _> = (1..)
            .map(NodeNumber)
            .zip(members)
            .map(|(number, member)| (number, Member { number, ..member }))
            .collect();
        check_data_centres(&members)?;
        let next_node = members.keys().next_back().map_or(1, |last| last.0 + 1);
        let all: Vec<&Member> = members.values().collect();
        let topology = Self {
            cluster,
            context_key,
            epoch,
            partitions,
            placement: place(&Placement::default(), &all, partitions),
            changed: vec![epoch; usize::try_from(partitions).unwrap_or(0)],
            buckets: BTreeMap::from([(BucketId(0), BucketSpec { id: BucketId(0), ..default_bucket })]),
            voters: voters::choose(&[], &members),
            members,
            next_node,
            next_bucket: 1,
            sealed,
        };
        topology.validate()?;
        Ok(topology)
    }

    /// The next epoch with one more member, and its number. It owns its share, unless the topology is sealed.
    ///
    /// # Errors
    /// `InvalidArgument` for values out of range, a known id, or one member too many.
    pub fn with_member(&self, member: Member) -> Result<(Self, NodeNumber)> {
        member.validate()?;
        if self.member_with_id(&member.id).is_some() {
            return Err(Error::invalid(format!("node {} is a member already", member.id)));
        }
        if self.members.len() >= MEMBERS_MAX {
            return Err(Error::invalid(format!("the cluster has {MEMBERS_MAX} members, which is the most")));
        }
        let number = NodeNumber(self.next_node);
        let following = self.next_node.checked_add(1);
        let following = following.ok_or_else(|| Error::invalid("every node number has been used"))?;
        let mut next = self.next();
        next.next_node = following;
        next.members.insert(number, Member { number, ..member });
        next.voters = voters::choose(&self.voters, &next.members);
        check_data_centres(&next.members)?;
        if !self.sealed {
            let all: Vec<&Member> = next.members.values().collect();
            next.placement = place(&self.placement, &all, self.partitions);
            next.mark_changed(&self.placement);
        }
        Ok((next, number))
    }

    /// The next epoch, in which the owners are fixed: data exists, and this version does not move it.
    #[must_use]
    pub fn with_seal(&self) -> Self {
        Self { sealed: true, ..self.next() }
    }

    /// The next epoch with one more bucket, which gets the next number.
    ///
    /// # Errors
    /// `InvalidArgument` for values out of range, a known name, or one bucket too many.
    pub fn with_bucket(&self, bucket: BucketSpec) -> Result<Self> {
        bucket.validate()?;
        if self.bucket_named(&bucket.name).is_some() {
            return Err(Error::invalid(format!("bucket {:?} exists already", bucket.name)));
        }
        if self.buckets.len() >= BUCKETS_MAX {
            return Err(Error::invalid(format!("the cluster has {BUCKETS_MAX} buckets, which is the most")));
        }
        let id = BucketId(self.next_bucket);
        let following = self.next_bucket.checked_add(1);
        let mut next = self.next();
        next.next_bucket = following.ok_or_else(|| Error::invalid("every bucket number has been used"))?;
        next.buckets.insert(id, BucketSpec { id, ..bucket });
        Ok(next)
    }

    /// The member with this stable id.
    #[must_use]
    pub fn member_with_id(&self, id: &str) -> Option<&Member> {
        self.members.values().find(|member| member.id == id)
    }

    /// The bucket of this name.
    #[must_use]
    pub fn bucket_named(&self, name: &str) -> Option<&BucketSpec> {
        self.buckets.values().find(|bucket| bucket.name == name)
    }

    /// The partition of a key.
    #[must_use]
    pub fn partition_of(&self, bucket: BucketId, key: &[u8]) -> PartitionId {
        partition(token(bucket, key), self.partitions)
    }

    /// The owners of a partition: the first N of its preference list, or all nodes where there are fewer.
    #[must_use]
    pub fn owners(&self, partition: PartitionId, replicas: &Replicas) -> Nodes {
        self.placement.owners(partition, replicas)
    }

    /// The nodes that stand in for owners of a partition: the next N of its preference list.
    #[must_use]
    pub fn fallbacks(&self, partition: PartitionId, replicas: &Replicas) -> Nodes {
        self.placement.fallbacks(partition, replicas)
    }

    /// The preference list of a partition over all data centres: owners, then fallbacks.
    #[must_use]
    pub fn preference(&self, partition: PartitionId) -> SmallVec<[NodeNumber; POSITIONS_MAX]> {
        self.placement.merged(partition).collect()
    }

    /// How many owners a key has: the replicas asked for, limited by the nodes that hold data.
    #[must_use]
    pub fn replicas(&self, replicas: &Replicas) -> usize {
        self.placement.replicas(replicas)
    }

    /// The part of all replicas of the default bucket that a node holds, from 0 to 1.
    #[must_use]
    pub fn share(&self, node: NodeNumber) -> f64 {
        let Some(bucket) = self.buckets.values().next() else { return 0.0 };
        let (mut held, mut all) = (0u32, 0u32);
        for partition in self.partition_ids() {
            for owner in self.owners(partition, &bucket.n) {
                all += 1;
                held += u32::from(owner == node);
            }
        }
        f64::from(held) / f64::from(all.max(1))
    }

    /// Every partition, in order.
    pub fn partition_ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        let last = u16::try_from(self.partitions.saturating_sub(1)).unwrap_or(u16::MAX);
        (0..=last).map(PartitionId)
    }

    /// Everything that makes a record of a peer or a disk fit to be used.
    ///
    /// # Errors
    /// `InvalidArgument` that shows the first fault.
    pub fn validate(&self) -> Result<()> {
        check_partitions(self.partitions)?;
        if self.epoch.number == 0 || self.epoch.number > EPOCH_MAX {
            return Err(Error::invalid(format!("epoch {} is out of range", self.epoch)));
        }
        let partitions = usize::try_from(self.partitions).unwrap_or(usize::MAX);
        if self.changed.len() != partitions || self.changed.iter().any(|changed| *changed > self.epoch) {
            return Err(Error::invalid("the epochs of change do not fit the partitions"));
        }
        self.check_members()?;
        check_data_centres(&self.members)?;
        self.check_placement(partitions)?;
        self.check_buckets()
    }

    fn check_members(&self) -> Result<()> {
        if self.members.is_empty() || self.members.len() > MEMBERS_MAX {
            return Err(Error::invalid(format!("{} members, not 1 to {MEMBERS_MAX}", self.members.len())));
        }
        let mut ids = BTreeSet::new();
        for (number, member) in &self.members {
            member.validate()?;
            if *number != member.number || number.0 == 0 || number.0 >= self.next_node {
                return Err(Error::invalid(format!("member number {number} is out of order")));
            }
            if !ids.insert(&member.id) {
                return Err(Error::invalid(format!("two members have the id {}", member.id)));
            }
        }
        let distinct: BTreeSet<_> = self.voters.iter().collect();
        let known = self.voters.iter().all(|voter| self.members.contains_key(voter));
        if self.voters.is_empty()
            || self.voters.len() > VOTERS_MAX
            || distinct.len() != self.voters.len()
            || !known
        {
            return Err(Error::invalid("the voters are not 1 to 5 distinct members"));
        }
        Ok(())
    }

    fn check_placement(&self, partitions: usize) -> Result<()> {
        let lists = &self.placement.lists;
        if lists.is_empty() || lists.len() > self.members.len() {
            return Err(Error::invalid("the placement has no data centre, or more than members"));
        }
        for (name, lists) in lists {
            validate_data_centre(name)?;
            let length = lists.first().map_or(0, Vec::len);
            if lists.len() != partitions || length == 0 || length > POSITIONS_MAX {
                return Err(Error::invalid(format!(
                    "the lists of data centre {name:?} have the wrong length"
                )));
            }
            for list in lists {
                let distinct: BTreeSet<_> = list.iter().collect();
                let known = list.iter().all(|node| {
                    self.members.get(node).is_some_and(|member| member.location.data_centre() == name)
                });
                if list.len() != length || distinct.len() != length || !known {
                    return Err(Error::invalid(format!(
                        "a list of data centre {name:?} is not distinct members of it"
                    )));
                }
            }
        }
        self.check_order(partitions)
    }

    fn check_order(&self, partitions: usize) -> Result<()> {
        let (lists, order) = (&self.placement.lists, &self.placement.order);
        if lists.len() == 1 && order.is_empty() {
            return Ok(());
        }
        let lengths: Vec<usize> = lists.values().map(|lists| lists.first().map_or(0, Vec::len)).collect();
        let length = lengths.iter().sum::<usize>().min(POSITIONS_MAX);
        let sound = |row: &Vec<u16>| {
            row.len() == length
                && row.iter().all(|index| {
                    let taken = row.iter().filter(|other| *other == index).count();
                    lengths.get(usize::from(*index)).is_some_and(|length| taken <= *length)
                })
        };
        if lists.len() == 1 || order.len() != partitions || !order.iter().all(sound) {
            return Err(Error::invalid("the order of data centres does not fit their lists"));
        }
        Ok(())
    }

    fn check_buckets(&self) -> Result<()> {
        if self.buckets.len() > BUCKETS_MAX || !self.buckets.contains_key(&BucketId(0)) {
            return Err(Error::invalid("the default bucket is missing, or there are too many"));
        }
        let mut names = BTreeSet::new();
        for (id, bucket) in &self.buckets {
            bucket.validate()?;
            if *id != bucket.id || id.0 >= self.next_bucket || !names.insert(&bucket.name) {
                return Err(Error::invalid(format!("bucket {id} is out of order or has another's name")));
            }
        }
        Ok(())
    }

    fn next(&self) -> Self {
        Self { epoch: Epoch { number: self.epoch.number + 1, ..self.epoch }, ..self.clone() }
    }

    /// Notes this epoch at every partition whose owners differ for a replica count that some bucket uses.
    fn mark_changed(&mut self, before: &Placement) {
        let counts: BTreeSet<&Replicas> = self.buckets.values().map(|bucket| &bucket.n).collect();
        let differs = |partition: PartitionId| {
            counts.iter().any(|n| before.owners(partition, n) != self.placement.owners(partition, n))
        };
        let partitions = self.partition_ids();
        let changed = partitions.zip(&self.changed);
        self.changed = changed.map(|(p, epoch)| if differs(p) { self.epoch } else { *epoch }).collect();
    }
}

fn check_data_centres(members: &BTreeMap<NodeNumber, Member>) -> Result<()> {
    let names: BTreeSet<_> = members.values().map(|member| member.location.data_centre()).collect();
    if names.len() > DATA_CENTRES_MAX {
        return Err(Error::invalid(format!("{} data centres, the most is {DATA_CENTRES_MAX}", names.len())));
    }
    Ok(())
}

fn check_partitions(partitions: u32) -> Result<()> {
    if !partitions.is_power_of_two() || partitions > PARTITIONS_MAX {
        return Err(Error::invalid(format!(
            "partitions={partitions} is not a power of two up to {PARTITIONS_MAX}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(index: u32, location: &str, durable: bool) -> Member {
        let location = Location::parse(location).unwrap();
        Member { number: NodeNumber(0), id: format!("node{index}"), location, capacity: 1.0, durable }
    }

    fn founded(members: Vec<Member>, sealed: bool) -> Topology {
        let bucket = BucketSpec::named("default", Replicas::Count(3));
        Topology::found(ClusterId([1; 16]), [2; 16], 8, bucket, members, sealed).unwrap()
    }

    #[test]
    fn a_joiner_owns_its_share_only_before_the_seal() {
        let open = founded(vec![member(1, "", true)], false);
        let (two, number) = open.with_member(member(2, "", true)).unwrap();
        assert_eq!((number, two.epoch.number, two.share(number)), (NodeNumber(2), 2, 0.5));
        assert!(two.changed.iter().all(|changed| *changed == two.epoch));
        let (three, number) = two.with_seal().with_member(member(3, "", true)).unwrap();
        assert_eq!((three.share(number), three.placement == two.placement), (0.0, true));
        assert!(three.changed.iter().all(|changed| *changed == two.epoch));
        assert!(three.with_member(member(3, "", true)).is_err(), "an id joins once");
        three.validate().unwrap();
    }

    #[test]
    fn voters_are_durable_odd_and_spread_over_zones() {
        let mut topology = founded(vec![member(1, "dc/a", false)], false);
        assert_eq!(topology.voters, [NodeNumber(1)]);
        for (index, zone) in [(2, "dc/a"), (3, "dc/a"), (4, "dc/a"), (5, "dc/b"), (6, "dc/c")] {
            topology = topology.with_member(member(index, zone, true)).unwrap().0;
            assert!(!topology.voters.contains(&NodeNumber(1)), "memory nodes do not vote");
            assert_eq!(topology.voters.len() % 2, 1);
        }
        assert_eq!(topology.voters, [2, 3, 4, 5, 6].map(NodeNumber));
        topology = topology.with_member(member(7, "dc/d", true)).unwrap().0;
        assert_eq!(
            topology.voters,
            [2, 3, 5, 6, 7].map(NodeNumber),
            "one voter moves to a zone that has none"
        );
    }

    #[test]
    fn data_centres_are_bounded() {
        let sixteen = (0..16).map(|n| member(n, &format!("dc{n}/a"), true)).collect();
        let topology = founded(sixteen, false);
        assert!(topology.with_member(member(16, "dc16/a", true)).is_err());
        topology.with_member(member(16, "dc3/b", true)).unwrap().0.validate().unwrap();
    }
}
