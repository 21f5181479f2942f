//! The ordered exchange: two owners list one copy's keys with hashes, page by page; what differs is pulled, merged and
//! pushed back. Either may be written meanwhile: merging is safe at any time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::Env;
use crate::base::error::{Error, Result};
use crate::base::ids::{BucketId, NodeNumber, PartitionId, Time};
use crate::causality::encoding;
use crate::client::{Peers, TopologySource, current};
use crate::replica::{Lease, PageQuery, Replica};
use crate::ring::Topology;
use crate::wire::{Request, Response, Route};

/// Keys of one page: hashes of so many fit a frame many times over.
const PAGE_ITEMS: u32 = 1_024;
/// Bytes of one page of hashes.
const PAGE_BYTES: u32 = 1 << 20;

/// A place in a copy: bucket, then key.
type Position = (BucketId, Bytes);
/// Keys of a page with the hashes of their records.
type Hashes = BTreeMap<Position, u128>;

/// What an exchange did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Exchanged {
    /// Keys that were compared.
    pub compared: u64,
    /// Records that were merged here.
    pub pulled: u64,
    /// Records that were sent there.
    pub pushed: u64,
}

impl Exchanged {
    /// Adds what another exchange did.
    pub fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.pulled += other.pulled;
        self.pushed += other.pushed;
    }
}

/// Compares copies with other owners.
#[derive(Debug)]
pub struct Exchange {
    env: Env,
    replica: Arc<Replica>,
    peers: Arc<Peers>,
    source: Arc<dyn TopologySource>,
    lease: Arc<Lease>,
    peer_timeout: Duration,
}

/// A page of one side, and the last position that it speaks for; none: to the end.
struct Side {
    hashes: Hashes,
    bound: Option<Position>,
}

impl Exchange {
    /// An exchange for this node's copies.
    #[must_use]
    pub fn new(
        env: Env,
        replica: Arc<Replica>,
        peers: Arc<Peers>,
        source: Arc<dyn TopologySource>,
        lease: Arc<Lease>,
        peer_timeout: Duration,
    ) -> Self {
        Self { env, replica, peers, source, lease, peer_timeout }
    }

    /// Brings one partition's copy here and at another owner together.
    ///
    /// # Errors
    /// That of the first request that failed; what was merged until then stays merged.
    pub async fn run(&self, partition: PartitionId, peer: NodeNumber) -> Result<Exchanged> {
        let mut exchanged = Exchanged::default();
        let mut from: Option<Position> = None;
        loop {
            let theirs = self.list_there(partition, peer, from.as_ref()).await?;
            let ours = self.list_here(partition, from.as_ref())?;
            let bound = match (&theirs.bound, &ours.bound) {
                (Some(a), Some(b)) => Some(a.min(b).clone()),
                (Some(bound), None) | (None, Some(bound)) => Some(bound.clone()),
                (None, None) => None,
            };
            let topology = current(self.source.as_ref())?;
            let within = |position: &Position| bound.as_ref().is_none_or(|bound| position <= bound);
            let mut keys: Vec<Position> =
                theirs.hashes.keys().chain(ours.hashes.keys()).filter(|key| within(key)).cloned().collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                exchanged.compared += 1;
                if theirs.hashes.get(&key) != ours.hashes.get(&key)
                    && self.both_own(&topology, partition, peer, &key)
                {
                    let there = theirs.hashes.contains_key(&key);
                    self.mend(&topology, partition, peer, &key, there, &mut exchanged).await?;
                }
            }
            match bound {
                Some(bound) => from = Some(bound),
                None => return Ok(exchanged),
            }
        }
    }

    fn both_own(
        &self,
        topology: &Topology,
        partition: PartitionId,
        peer: NodeNumber,
        key: &Position,
    ) -> bool {
        topology.buckets.get(&key.0).is_some_and(|bucket| {
            let owners = topology.owners(partition, &bucket.n);
            owners.contains(&peer) && owners.contains(&self.replica.number())
        })
    }

    async fn mend(
        &self,
        topology: &Topology,
        partition: PartitionId,
        peer: NodeNumber,
        (bucket, key): &Position,
        there: bool,
        exchanged: &mut Exchanged,
    ) -> Result<()> {
        let route = Route { bucket: *bucket, partition, epoch: topology.epoch };
        let mut theirs = None;
        if there {
            let asked = self.replica.now();
            let fetch = Request::Fetch { route, key: key.clone(), full: true };
            let Response::Record { record, .. } = self.call(peer, fetch).await? else {
                return Err(Error::corrupt("an answer of the wrong kind to a fetch"));
            };
            if let Some(record) = &record {
                self.merge(partition, *bucket, key, record, asked).await?;
                exchanged.pulled += 1;
            }
            theirs = record;
        }
        let mut heard = Time::default();
        loop {
            // Read before each sending: what is sent is as old as its capture says.
            let captured = self.replica.now().max(heard);
            let Some(ours) = self.replica.read(partition, *bucket, key)? else { return Ok(()) };
            if theirs.as_ref() == Some(&ours) {
                return Ok(());
            }
            let apply = Request::Apply { route, key: key.clone(), captured, record: ours };
            match self.call(peer, apply).await? {
                Response::Applied { .. } => {
                    exchanged.pushed += 1;
                    return Ok(());
                }
                Response::StaleRecord { now } if now > heard => {
                    self.replica.absorb(now);
                    heard = now;
                }
                _ => return Err(Error::corrupt("an answer of the wrong kind to a record")),
            }
        }
    }

    async fn merge(
        &self,
        partition: PartitionId,
        bucket: BucketId,
        key: &[u8],
        record: &Bytes,
        asked: Time,
    ) -> Result<()> {
        loop {
            match self.replica.merge(partition, bucket, key, record, asked) {
                Ok(_) => return Ok(()),
                Err(refusal) => self.lease.extend(refusal.lease()?).await?,
            }
        }
    }

    async fn call(&self, peer: NodeNumber, request: Request) -> Result<Response> {
        let deadline = self.env.deadline(self.peer_timeout);
        self.peers.call(peer, request, deadline).await.and_then(Response::into_result)
    }

    fn list_here(&self, partition: PartitionId, from: Option<&Position>) -> Result<Side> {
        let page = self.replica.page(&PageQuery {
            partition: Some(partition),
            bucket: None,
            after: from.cloned(),
            inclusive: false,
            prefix: Bytes::new(),
            end: Bytes::new(),
            items_max: PAGE_ITEMS as usize,
            bytes_max: usize::MAX,
        })?;
        let last = page.items.last().map(|item| (item.bucket, item.key.clone()));
        let mut hashes = Hashes::new();
        for item in page.items {
            hashes.insert((item.bucket, item.key), encoding::hash_of(&item.record)?.0);
        }
        Ok(Side { hashes, bound: last.filter(|_| page.more) })
    }

    async fn list_there(
        &self,
        partition: PartitionId,
        peer: NodeNumber,
        from: Option<&Position>,
    ) -> Result<Side> {
        let request = Request::Page {
            epoch: current(self.source.as_ref())?.epoch,
            partition: Some(partition),
            bucket: None,
            after: from.map(|(bucket, key)| position(*bucket, key)).unwrap_or_default(),
            inclusive: false,
            end: Bytes::new(),
            prefix: Bytes::new(),
            items_max: PAGE_ITEMS,
            bytes_max: PAGE_BYTES,
            records: false,
        };
        let Response::Page { items, more, .. } = self.call(peer, request).await? else {
            return Err(Error::corrupt("an answer of the wrong kind to a page"));
        };
        let last = items.last().map(|item| (item.bucket, item.key.clone()));
        if more && last.as_ref().is_none_or(|last| from.is_some_and(|from| last <= from)) {
            return Err(Error::corrupt("a page that does not go on"));
        }
        let mut hashes = Hashes::new();
        for item in items {
            let hash: [u8; 16] = item
                .content
                .as_ref()
                .try_into()
                .map_err(|_| Error::corrupt(format!("a hash of {} bytes", item.content.len())))?;
            hashes.insert((item.bucket, item.key), u128::from_be_bytes(hash));
        }
        Ok(Side { hashes, bound: last.filter(|_| more) })
    }
}

/// A position in a copy as it stands on the wire: the bucket's number, big-endian, then the key.
fn position(bucket: BucketId, key: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(4 + key.len());
    bytes.extend_from_slice(&bucket.0.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes.into()
}
