//! Floor 4: what an owner does with a request of a client. It reads or mints locally, asks the other owners, counts their
//! answers with a pure tally, and answers when the level is met. Who is no owner forwards instead (the node decides).

pub mod available;
pub mod explain;
mod get;
mod put;
pub mod quorum;
mod scan;
pub mod tally;

use std::sync::Arc;
use std::time::Duration;

use crate::base::Env;
use crate::base::env::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{BucketId, NodeNumber, PartitionId};
use crate::client::{Caller, Peers, TopologySource};
use crate::replica::{CopyId, Hints, Holder, Lease, Replica};
use crate::ring::preference::Nodes;
use crate::ring::{BucketSpec, Level, Topology};
use crate::storage::{Engine, Lsn};
use crate::wire::{Done, Request, Route};
use quorum::Requirement;

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
    /// Whether fallbacks take part.
    sloppy: bool,
    /// The copy of this node that serves the key.
    copy: CopyId,
}

impl Place {
    fn spec(&self) -> &BucketSpec {
        self.topology
            .buckets
            .get(&self.bucket)
            .expect("a place is made only for a bucket that the topology has")
    }

    fn route(&self) -> Route {
        let Self { bucket, partition, sloppy, .. } = *self;
        Route { bucket, partition, epoch: self.topology.epoch, sloppy }
    }
}

impl Coordinator {
    /// A coordinator.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { env, replica, peers, source, hints, lease, peer_timeout, clock_skew_max_ms } = parts;
        Self { env, replica, peers, source, hints, lease, peer_timeout, clock_skew_max_ms }
    }

    /// As what this node may coordinate a key: as an owner, or a sloppy request as a fallback; none: not at all.
    ///
    /// # Errors
    /// `NoSuchBucket`, or `QuorumUnavailable` before there is a topology.
    pub fn holds(&self, bucket: BucketId, key: &[u8], sloppy: bool) -> Result<Option<Holder>> {
        let topology = crate::client::current(self.source.as_ref())?;
        let spec = topology.buckets.get(&bucket).ok_or_else(|| no_such_bucket(bucket))?;
        Ok(Holder::of(self.me(), &topology, topology.partition_of(bucket, key), &spec.n, sloppy))
    }

    fn me(&self) -> NodeNumber {
        self.replica.number()
    }

    fn place(&self, bucket: BucketId, key: &[u8], sloppy: bool) -> Result<Place> {
        let topology = crate::client::current(self.source.as_ref())?;
        let spec = topology.buckets.get(&bucket).ok_or_else(|| no_such_bucket(bucket))?;
        let partition = topology.partition_of(bucket, key);
        let owners = topology.owners(partition, &spec.n);
        let copy = match Holder::of(self.me(), &topology, partition, &spec.n, sloppy) {
            Some(holder) => CopyId { partition, holder },
            None => partition.into(),
        };
        Ok(Place { topology, bucket, partition, owners, sloppy, copy })
    }

    /// What a level asks of a key's owners, and in a sloppy request of the fallbacks that this node thinks healthy.
    fn requirement(&self, name: &str, level: Level, place: &Place) -> Result<Requirement> {
        let me = self.me();
        let (topology, spec) = (place.topology.as_ref(), place.spec());
        let strict = Requirement::of(name, level, topology, spec, place.partition, me)?;
        if !place.sloppy {
            return Ok(strict);
        }
        level.check_sloppy()?;
        let healthy = |node| node == me || self.peers.is_healthy(node);
        Ok(strict.or_fallbacks(level, topology, spec, place.partition, healthy))
    }

    /// One request to several replicas, of which some are asked only when others fail.
    fn ask_replicas(&self, request: Request, deadline: Deadline) -> Asking {
        let (env, peers) = (self.env.clone(), Arc::clone(&self.peers));
        Asking { env, peers, request, deadline, peer_timeout: self.peer_timeout }
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

/// A request that goes to several replicas.
struct Asking {
    env: Env,
    peers: Arc<Peers>,
    request: Request,
    deadline: Deadline,
    peer_timeout: Duration,
}

impl Asking {
    /// Asks one of them; `done` may run before this returns.
    fn ask(&self, node: NodeNumber, done: Done) {
        let deadline = self.deadline.min(self.env.deadline(self.peer_timeout));
        self.peers.submit(node, self.request.clone(), deadline, done);
    }
}

fn no_such_bucket(bucket: BucketId) -> Error {
    Error::new(ErrorKind::NoSuchBucket, format!("bucket number {bucket} does not exist"))
}
