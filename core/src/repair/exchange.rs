//! The ordered exchange: two owners list one copy's keys with hashes, page by page; what differs is pulled, merged and
//! pushed back. A fallback's copy is only pushed. Either may be written meanwhile: merging is safe at any time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::Env;
use crate::base::error::{Error, Result};
use crate::base::ids::{BucketId, NodeNumber, PartitionId, Time};
use crate::causality::encoding;
use crate::client::{Peers, TopologySource, current};
use crate::replica::{CopyId, CopySet, Lease, PageQuery, Replica};
use crate::ring::Topology;
use crate::wire::{Request, Response, Route, position};

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
#[derive(Clone, Debug)]
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
            let theirs = self.list_there(partition, peer, from.as_ref(), false).await?;
            let ours = self.list_here(partition.into(), from.as_ref())?;
            let bound = nearer(&theirs, &ours);
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

    /// Brings what this node's fallback copy of a partition holds to an owner, and gives the number of records sent. When
    /// it ends the owner has confirmed every record that the copy held when it began.
    ///
    /// # Errors
    /// That of the first request that failed; what was sent until then stays there.
    pub async fn hand_over(&self, partition: PartitionId, owner: NodeNumber) -> Result<u64> {
        let copy = CopyId::fallback(partition);
        let mut sent = 0;
        let mut from: Option<Position> = None;
        loop {
            let ours = self.list_here(copy, from.as_ref())?;
            let Some(first) = ours.hashes.keys().next() else { return Ok(sent) };
            // What the owner has before this copy's first key is passed over.
            let theirs = self.list_there(partition, owner, Some(first), true).await?;
            let bound = nearer(&theirs, &ours);
            let topology = current(self.source.as_ref())?;
            let within = |position: &Position| bound.as_ref().is_none_or(|bound| position <= bound);
            for (position, hash) in ours.hashes.iter().filter(|(position, _)| within(position)) {
                let spec = topology.buckets.get(&position.0);
                let owns = spec.is_some_and(|spec| topology.owners(partition, &spec.n).contains(&owner));
                if !owns || theirs.hashes.get(position) == Some(hash) {
                    continue;
                }
                sent += u64::from(self.push(&topology, copy, owner, position, None).await?);
            }
            match bound {
                Some(bound) => from = Some(bound),
                None => return Ok(sent),
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
        position: &Position,
        there: bool,
        exchanged: &mut Exchanged,
    ) -> Result<()> {
        let (bucket, key) = position;
        let route = Route { bucket: *bucket, partition, epoch: topology.epoch, sloppy: false };
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
        if self.push(topology, partition.into(), peer, position, theirs.as_ref()).await? {
            exchanged.pushed += 1;
        }
        Ok(())
    }

    /// Sends what a copy holds of a key to an owner, which merges it; nothing if that is what the owner has. Says whether
    /// it was sent.
    async fn push(
        &self,
        topology: &Topology,
        copy: CopyId,
        peer: NodeNumber,
        (bucket, key): &Position,
        theirs: Option<&Bytes>,
    ) -> Result<bool> {
        let route =
            Route { bucket: *bucket, partition: copy.partition, epoch: topology.epoch, sloppy: false };
        let mut heard = Time::default();
        loop {
            // Read before each sending: what is sent is as old as its capture says.
            let captured = self.replica.now().max(heard);
            let Some(ours) = self.replica.read(copy, *bucket, key)? else { return Ok(false) };
            if theirs == Some(&ours) {
                return Ok(false);
            }
            let apply = Request::Apply { route, key: key.clone(), captured, record: ours };
            match self.call(peer, apply).await? {
                Response::Applied { .. } => return Ok(true),
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

    fn list_here(&self, copy: CopyId, from: Option<&Position>) -> Result<Side> {
        let page = self.replica.page(&PageQuery {
            copies: CopySet::One(copy),
            bucket: None,
            after: from.cloned(),
            inclusive: false,
            prefix: Bytes::new(),
            end: Bytes::new(),
            items_max: PAGE_ITEMS as usize,
            bytes_max: PAGE_BYTES as usize,
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
        inclusive: bool,
    ) -> Result<Side> {
        let request = Request::Page {
            epoch: current(self.source.as_ref())?.epoch,
            partition: Some(partition),
            bucket: None,
            after: from.map(|(bucket, key)| position(*bucket, key)).unwrap_or_default(),
            inclusive,
            end: Bytes::new(),
            prefix: Bytes::new(),
            items_max: PAGE_ITEMS,
            bytes_max: PAGE_BYTES,
            records: false,
            sloppy: false,
        };
        let Response::Page { items, more, .. } = self.call(peer, request).await? else {
            return Err(Error::corrupt("an answer of the wrong kind to a page"));
        };
        let last = items.last().map(|item| (item.bucket, item.key.clone()));
        let goes_on = |last: &Position| from.is_none_or(|from| last > from || (inclusive && last == from));
        if more && !last.as_ref().is_some_and(goes_on) {
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

/// The position up to which two pages both speak; none: to the end.
fn nearer(a: &Side, b: &Side) -> Option<Position> {
    match (&a.bound, &b.bound) {
        (Some(a), Some(b)) => Some(a.min(b).clone()),
        (Some(bound), None) | (None, Some(bound)) => Some(bound.clone()),
        (None, None) => None,
    }
}
