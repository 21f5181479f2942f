//! Which partitions have their quorums: pure, for the status.

use super::quorum::Requirement;
use crate::base::ids::NodeNumber;
use crate::ring::{BucketSpec, Topology};

/// How many partitions have, in every bucket, the owners that the bucket's own r and w ask for; `up` says who can be
/// reached, and levels that say `local` mean the data centre of `from`. Buckets of equal rules are looked at once.
#[must_use]
pub fn partitions_available(topology: &Topology, from: NodeNumber, up: &[NodeNumber]) -> u32 {
    let mut rules: Vec<&BucketSpec> = Vec::new();
    for bucket in topology.buckets.values() {
        if !rules.iter().any(|seen| seen.n == bucket.n && seen.r == bucket.r && seen.w == bucket.w) {
            rules.push(bucket);
        }
    }
    let has_quorums = |partition: &_| {
        rules.iter().all(|bucket| {
            [("r", bucket.r), ("w", bucket.w)].into_iter().all(|(name, level)| {
                Requirement::of(name, level, topology, bucket, *partition, from)
                    .is_ok_and(|requirement| requirement.met_by(up))
            })
        })
    };
    u32::try_from(topology.partition_ids().filter(has_quorums).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ClusterId;
    use crate::ring::topology::Member;
    use crate::ring::{Consistency, Level, Location, Replicas};

    const PARTITIONS: u32 = 8;

    fn three_nodes() -> Topology {
        let member = |id: u32| Member {
            number: NodeNumber(0),
            id: format!("node{id}"),
            location: Location::parse("").unwrap(),
            capacity: 1.0,
            durable: true,
        };
        let default = BucketSpec::named("default", Replicas::Count(3));
        let members = (1..=3).map(member).collect();
        Topology::found(ClusterId::default(), [0; 16], PARTITIONS, default, members, true).unwrap()
    }

    fn with(level: Level) -> Topology {
        let mut bucket = BucketSpec::named("other", Replicas::Count(3));
        bucket.w = level;
        three_nodes().with_bucket(bucket).unwrap()
    }

    fn available(topology: &Topology, up: &[u32]) -> u32 {
        let up: Vec<_> = up.iter().map(|number| NodeNumber(*number)).collect();
        partitions_available(topology, NodeNumber(1), &up)
    }

    #[test]
    fn a_majority_is_available_and_a_minority_is_not() {
        let topology = three_nodes();
        assert_eq!(available(&topology, &[1, 2, 3]), PARTITIONS);
        assert_eq!(available(&topology, &[1, 3]), PARTITIONS);
        assert_eq!(available(&topology, &[2]), 0);
    }

    #[test]
    fn every_bucket_must_have_its_own_quorums() {
        let all = with(Level::Consistency(Consistency::All));
        assert_eq!(available(&all, &[1, 2, 3]), PARTITIONS);
        assert_eq!(available(&all, &[1, 2]), 0);
        let relaxed = with(Level::Count(1));
        assert_eq!(available(&relaxed, &[1, 2]), PARTITIONS);
    }

    #[test]
    fn a_bucket_of_one_replica_lacks_the_partitions_of_the_node_that_is_down() {
        let single = three_nodes().with_bucket(BucketSpec::named("single", Replicas::Count(1))).unwrap();
        let found = available(&single, &[1, 2]);
        assert!(found > 0 && found < PARTITIONS, "{found}");
    }

    #[test]
    fn a_count_that_the_members_cannot_meet_is_never_available() {
        let mut bucket = BucketSpec::named("wide", Replicas::Count(5));
        bucket.w = Level::Count(5);
        assert_eq!(available(&three_nodes().with_bucket(bucket).unwrap(), &[1, 2, 3]), 0);
    }
}
