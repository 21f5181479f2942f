//! Draining: what this node holds in the place of owners is handed to every owner, and each fallback copy is then dropped
//! whole. A copy that is written meanwhile is handed over again; nothing is dropped that an owner has not confirmed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::exchange::Exchange;
use crate::base::Env;
use crate::base::error::Result;
use crate::base::events::{EventKind, Events};
use crate::base::ids::{BucketId, CopyNumber, NodeNumber, PartitionId};
use crate::client::{Peers, TopologySource, current};
use crate::replica::{CopyId, CopySet, FallbackMark, PageQuery, Replica};

/// The pause between rounds while a copy is left: its owners are away and come back in their own time.
const PAUSE: Duration = Duration::from_millis(200);

/// Drains the fallback copies of a node in the background.
#[derive(Debug)]
pub struct Drain {
    env: Env,
    exchange: Exchange,
    replica: Arc<Replica>,
    peers: Arc<Peers>,
    source: Arc<dyn TopologySource>,
    events: Arc<Events>,
}

/// The owners that have confirmed everything that a copy held at its mark.
#[derive(Debug)]
struct Handed {
    mark: FallbackMark,
    owners: BTreeSet<NodeNumber>,
    sent: u64,
}

impl Drain {
    /// A drain.
    #[must_use]
    pub fn new(
        env: Env,
        exchange: Exchange,
        replica: Arc<Replica>,
        peers: Arc<Peers>,
        source: Arc<dyn TopologySource>,
        events: Arc<Events>,
    ) -> Self {
        Self { env, exchange, replica, peers, source, events }
    }

    /// Runs until the environment stops.
    pub async fn run(self) {
        let mut handed = BTreeMap::new();
        // A copy of an earlier run is no news.
        let mut told: BTreeSet<_> = self.copies();
        loop {
            let copies = self.copies();
            self.tell(&copies, &mut told);
            for (partition, _) in &copies {
                // What failed is tried again after the pause.
                let _later = self.drain(*partition, &mut handed).await;
            }
            if self.copies().is_empty() {
                self.replica.fallbacks().started().await;
            } else {
                self.env.sleep(PAUSE).await;
            }
        }
    }

    fn copies(&self) -> BTreeSet<(PartitionId, CopyNumber)> {
        let copies = self.replica.fallbacks().all().into_iter();
        copies.map(|(partition, copy)| (partition, copy.generation)).collect()
    }

    fn tell(
        &self,
        copies: &BTreeSet<(PartitionId, CopyNumber)>,
        told: &mut BTreeSet<(PartitionId, CopyNumber)>,
    ) {
        for (partition, _) in copies.difference(told) {
            let detail = format!("partition {partition}: writes are kept here for owners that are away");
            self.publish(EventKind::FallbackStarted, detail);
        }
        told.clone_from(copies);
    }

    fn publish(&self, kind: EventKind, detail: String) {
        self.events.publish(self.env.unix_ms(), kind, Some(self.replica.number()), detail);
    }

    /// Hands a copy to those of its owners that can take it, and drops it once all have.
    async fn drain(&self, partition: PartitionId, handed: &mut BTreeMap<PartitionId, Handed>) -> Result<()> {
        // Before the first record is read: what is written from here on changes the mark.
        let Some(mark) = self.replica.fallbacks().mark(partition) else { return Ok(()) };
        let fresh = || Handed { mark, owners: BTreeSet::new(), sent: 0 };
        let so_far = handed.entry(partition).or_insert_with(fresh);
        if so_far.mark != mark {
            *so_far = fresh();
        }
        let owners = self.owners(partition)?;
        for owner in &owners {
            if !so_far.owners.contains(owner) && self.peers.is_healthy(*owner) {
                // One that fails keeps the copy here; the others have it all the same.
                if let Ok(sent) = self.exchange.hand_over(partition, *owner).await {
                    so_far.sent += sent;
                    so_far.owners.insert(*owner);
                }
            }
        }
        let lacking: BTreeSet<_> = owners.difference(&so_far.owners).copied().collect();
        if !lacking.is_empty() {
            self.replica.fallbacks().note_lacking(partition, mark, lacking);
            return Ok(());
        }
        let sent = so_far.sent;
        if self.replica.fallbacks().drop_unless_written(partition, mark, self.replica.engine().as_ref())? {
            handed.remove(&partition);
            let detail =
                format!("partition {partition}: {sent} records sent, {} owners have all", owners.len());
            self.publish(EventKind::FallbackDrained, detail);
        }
        Ok(())
    }

    /// The owners of the buckets that a copy holds records of.
    fn owners(&self, partition: PartitionId) -> Result<BTreeSet<NodeNumber>> {
        let topology = current(self.source.as_ref())?;
        let mut owners = BTreeSet::new();
        let mut next = Some(BucketId(0));
        while let Some(from) = next {
            let page = self.replica.page(&PageQuery {
                copies: CopySet::One(CopyId::fallback(partition)),
                bucket: None,
                after: Some((from, Bytes::new())),
                inclusive: true,
                prefix: Bytes::new(),
                end: Bytes::new(),
                items_max: 1,
                bytes_max: usize::MAX,
            })?;
            let Some(item) = page.items.first() else { break };
            if let Some(bucket) = topology.buckets.get(&item.bucket) {
                owners.extend(topology.owners(partition, &bucket.n));
            }
            next = item.bucket.0.checked_add(1).map(BucketId);
        }
        Ok(owners)
    }
}
