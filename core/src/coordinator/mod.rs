//! Floor 4: what an owner does with a request of a client. It reads or mints locally, asks the other owners, counts their
//! answers with a pure tally, and answers when the level is met. Who is no owner forwards instead (the node decides).

mod get;
mod put;
pub mod quorum;
mod scan;

use std::sync::Arc;
use std::time::Duration;

use crate::base::Env;
use crate::base::env::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{BucketId, NodeNumber, PartitionId};
use crate::client::{Caller, Peers, TopologySource};
use crate::replica::{Hints, Lease, Replica};
use crate::ring::preference::Nodes;
use crate::ring::{BucketSpec, Topology};
use crate::storage::{Engine, Lsn};
use crate::wire::Route;

/// Coordinates requests at a node.
#[derive(Debug)]
pub struct Coordinator {
    env: Env,
    replica: Arc<Replica>,
    peers: Arc<Peers>,
    source: Arc<dyn TopologySource>,
    hints: Arc<Hints>,
    lease: Arc<Lease>,
    peer_timeout: Duration,
    clock_skew_max_ms: u64,
}

/// What a coordinator is made of.
#[derive(Debug)]
pub struct Parts {
    /// The node's environment.
    pub env: Env,
    /// Its copies.
    pub replica: Arc<Replica>,
    /// The other members.
    pub peers: Arc<Peers>,
    /// The topology.
    pub source: Arc<dyn TopologySource>,
    /// Where unconfirmed writes are noted.
    pub hints: Arc<Hints>,
    /// The lease of the node's clock.
    pub lease: Arc<Lease>,
    /// The longest wait for one peer.
    pub peer_timeout: Duration,
    /// How far ahead a handle's clock may be.
    pub clock_skew_max_ms: u64,
}

/// A key's place in the topology that a request is coordinated under.
struct Place {
    topology: Arc<Topology>,
    bucket: BucketId,
    partition: PartitionId,
    owners: Nodes,
}

impl Place {
    fn spec(&self) -> &BucketSpec {
        self.topology
            .buckets
            .get(&self.bucket)
            .expect("a place is made only for a bucket that the topology has")
    }

    fn route(&self) -> Route {
        Route { bucket: self.bucket, partition: self.partition, epoch: self.topology.epoch }
    }
}

impl Coordinator {
    /// A coordinator.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { env, replica, peers, source, hints, lease, peer_timeout, clock_skew_max_ms } = parts;
        Self { env, replica, peers, source, hints, lease, peer_timeout, clock_skew_max_ms }
    }

    /// Whether this node is an owner of a key, and may coordinate it.
    ///
    /// # Errors
    /// `NoSuchBucket`, or `QuorumUnavailable` before there is a topology.
    pub fn owns(&self, bucket: BucketId, key: &[u8]) -> Result<bool> {
        let topology = crate::client::current(self.source.as_ref())?;
        let spec = topology.buckets.get(&bucket).ok_or_else(|| no_such_bucket(bucket))?;
        Ok(topology.owners(topology.partition_of(bucket, key), &spec.n).contains(&self.me()))
    }

    fn me(&self) -> NodeNumber {
        self.replica.number()
    }

    fn place(&self, bucket: BucketId, key: &[u8]) -> Result<Place> {
        let topology = crate::client::current(self.source.as_ref())?;
        let spec = topology.buckets.get(&bucket).ok_or_else(|| no_such_bucket(bucket))?;
        let partition = topology.partition_of(bucket, key);
        let owners = topology.owners(partition, &spec.n);
        Ok(Place { topology, bucket, partition, owners })
    }

    fn peer_deadline(&self, deadline: Deadline) -> Deadline {
        deadline.min(self.env.deadline(self.peer_timeout))
    }

    /// Gets off an event loop's thread before the disk is touched: one trip through the runtime's queue.
    async fn leave_event_loop(caller: Caller) {
        if caller == Caller::EventLoop {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a batch may be acknowledged.
    async fn acknowledged(&self, lsn: Lsn, deadline: Deadline) -> Result<()> {
        let engine: &dyn Engine = self.replica.engine().as_ref();
        deadline.limit(engine.acknowledged(lsn)).await.map_err(|error| error.maybe_applied_if(true))?
    }
}

fn no_such_bucket(bucket: BucketId) -> Error {
    Error::new(ErrorKind::NoSuchBucket, format!("bucket number {bucket} does not exist"))
}
