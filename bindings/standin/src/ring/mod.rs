//! One node that owns everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{BucketId, ClusterId, NodeNumber, PartitionId};

pub mod bucket;
pub use bucket::{BUCKET_DEFAULT as DEFAULT_BUCKET, BucketSpec, Consistency, Level, Replicas, Resolver};

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    /// The stable id.
    pub id: String,
}

/// The topology record.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The cluster.
    pub cluster: ClusterId,
    /// The secret of its contexts.
    pub context_key: [u8; 16],
    /// Q.
    pub partitions: u32,
    /// The members.
    pub members: BTreeMap<NodeNumber, Member>,
    /// The buckets.
    pub buckets: BTreeMap<BucketId, Arc<BucketSpec>>,
}

impl Topology {
    /// A bucket by name.
    pub fn bucket_named(&self, name: &str) -> Option<&Arc<BucketSpec>> {
        self.buckets.values().find(|bucket| bucket.name == name)
    }

    /// The owners of a partition.
    pub fn owners(&self, _: PartitionId, _: &Replicas) -> Vec<NodeNumber> {
        self.members.keys().copied().collect()
    }
}
