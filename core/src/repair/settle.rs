//! Paying what is owed: each owner that is healthy gets the keys that it missed, then its partitions that are owed as a
//! whole are exchanged. After a start every copy is compared with its other owners, and a copy that may have forgotten
//! counts again once it has met enough of them. Owners are served beside each other: one that fails delays no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::exchange::{Exchange, Exchanged};
use super::handoff::{Handoff, Round};
use crate::base::Env;
use crate::base::error::Result;
use crate::base::ids::{NodeNumber, PartitionId};
use crate::client::{Peers, TopologySource, current};
use crate::replica::{Hints, Replica};
use crate::ring::{Consistency, Level, Topology, majority};

/// The pause after a round in which some debt could not be paid: its owner is away and comes back in its own time.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a node that owes something looks who of its owners is healthy.
const LOOK: Duration = Duration::from_millis(100);

/// Pays the debts of a node in the background.
#[derive(Debug)]
pub struct Settle {
    env: Env,
    exchange: Exchange,
    handoff: Handoff,
    replica: Arc<Replica>,
    peers: Arc<Peers>,
    source: Arc<dyn TopologySource>,
    hints: Arc<Hints>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Owners that are being served.
    serving: BTreeSet<NodeNumber>,
    /// Owners with which a partition has been compared since the start.
    met: BTreeMap<PartitionId, BTreeSet<NodeNumber>>,
    exchanged: Exchanged,
}

impl Settle {
    /// A payer of debts.
    #[must_use]
    pub fn new(
        env: Env,
        exchange: Exchange,
        handoff: Handoff,
        replica: Arc<Replica>,
        peers: Arc<Peers>,
        source: Arc<dyn TopologySource>,
        hints: Arc<Hints>,
    ) -> Self {
        Self { env, exchange, handoff, replica, peers, source, hints, progress: Mutex::default() }
    }

    /// What all exchanges together did since the start.
    #[must_use]
    pub fn exchanged(&self) -> Exchanged {
        self.progress.lock().exchanged
    }

    /// Notes every other owner of every partition of this node: what was missed while it was away is unknown.
    ///
    /// # Errors
    /// `QuorumUnavailable` before there is a topology.
    pub fn note_all(&self) -> Result<()> {
        let topology = current(self.source.as_ref())?;
        for partition in topology.partition_ids() {
            for owner in self.others(&topology, partition) {
                self.hints.note_comparison(owner, partition);
            }
        }
        Ok(())
    }

    /// Runs until the environment stops.
    pub async fn run(self: Arc<Self>) {
        self.recover_lone_copies();
        loop {
            if self.hints.is_empty() {
                self.hints.noted().await;
            }
            for owner in self.hints.owners() {
                if self.can_serve(owner) && self.progress.lock().serving.insert(owner) {
                    let settle = Arc::clone(&self);
                    self.env.spawn(async move {
                        if !settle.serve(owner).await {
                            settle.env.sleep(PAUSE).await;
                        }
                        settle.progress.lock().serving.remove(&owner);
                    });
                }
            }
            self.env.sleep(LOOK).await;
        }
    }

    /// A member that is healthy, or one that has gone: others own in its place then.
    fn can_serve(&self, owner: NodeNumber) -> bool {
        current(self.source.as_ref())
            .is_ok_and(|topology| !topology.members.contains_key(&owner) || self.peers.is_healthy(owner))
    }

    /// Pays what an owner is owed; says whether nothing was left undone.
    async fn serve(&self, owner: NodeNumber) -> bool {
        let mut complete = true;
        let mut partitions = self.hints.partitions_owed(owner).into_iter();
        loop {
            // Keys first, and again between partitions: they are what readers miss now.
            match self.handoff.deliver(owner).await {
                Round::Halted => return false,
                Round::Refused => complete = false,
                Round::Delivered => {}
            }
            let Some(partition) = partitions.next() else { return complete };
            if !self.compare(partition, owner).await {
                if !self.can_serve(owner) {
                    return false;
                }
                // What keeps one partition from being compared need not keep the others.
                complete = false;
            }
        }
    }

    async fn compare(&self, partition: PartitionId, owner: NodeNumber) -> bool {
        let Ok(topology) = current(self.source.as_ref()) else { return false };
        let mark = self.hints.mark();
        if !self.others(&topology, partition).contains(&owner) {
            // It owns the partition no more, or this node does not: whoever else does may lack the same.
            for other in self.others(&topology, partition) {
                self.hints.note_comparison(other, partition);
            }
            self.hints.exchanged(owner, partition, mark, |_| false);
            return true;
        }
        let Ok(exchanged) = self.exchange.run(partition, owner).await else { return false };
        let me = self.replica.number();
        self.hints.exchanged(owner, partition, mark, |bucket| {
            topology.buckets.get(&bucket).is_some_and(|bucket| {
                let owners = topology.owners(partition, &bucket.n);
                owners.contains(&me) && owners.contains(&owner)
            })
        });
        let met = {
            let mut progress = self.progress.lock();
            progress.exchanged.add(exchanged);
            let met = progress.met.entry(partition).or_default();
            met.insert(owner);
            met.clone()
        };
        self.recover(partition, &met);
        true
    }

    /// The other owners of a partition, in any bucket.
    fn others(&self, topology: &Topology, partition: PartitionId) -> BTreeSet<NodeNumber> {
        let me = self.replica.number();
        let mut others = BTreeSet::new();
        for bucket in topology.buckets.values() {
            let owners = topology.owners(partition, &bucket.n);
            if owners.contains(&me) {
                others.extend(owners.iter().copied().filter(|owner| *owner != me));
            }
        }
        others
    }

    /// A copy counts again once it has compared with N - W + 1 other owners, or with all where there are fewer.
    fn recover(&self, partition: PartitionId, met: &BTreeSet<NodeNumber>) {
        let Ok(topology) = current(self.source.as_ref()) else { return };
        let me = self.replica.number();
        let enough = topology.buckets.values().all(|bucket| {
            let owners = topology.owners(partition, &bucket.n);
            if !owners.contains(&me) {
                return true;
            }
            let others = owners.iter().filter(|owner| **owner != me);
            let met = others.clone().filter(|owner| met.contains(owner)).count();
            let acked_by = write_quorum(bucket.w, owners.len());
            met >= (owners.len() + 1 - acked_by).min(others.count())
        });
        let recovering = self.replica.copies().get(partition).is_some_and(|copy| copy.recovering);
        if enough && recovering {
            // A disk that fails here leaves the copy recovering, which is safe; the next start tries again.
            let _recovered = self.replica.recovered(partition);
            // What this node had forgotten, a debt of its own among it, came back from the last of them, and those
            // that were met before may lack it.
            for owner in self.others(&topology, partition) {
                self.hints.note_comparison(owner, partition);
            }
        }
    }

    /// Copies without other owners are their own judge.
    fn recover_lone_copies(&self) {
        for (partition, copy) in self.replica.copies().all() {
            if copy.recovering {
                self.recover(partition, &BTreeSet::new());
            }
        }
    }
}

/// How many owners had stored an acknowledged write at least; a call may have asked for fewer than its bucket says.
fn write_quorum(level: Level, owners: usize) -> usize {
    match level {
        Level::Count(count) => usize::from(count).clamp(1, owners.max(1)),
        Level::Consistency(Consistency::One | Consistency::LocalOne) => 1,
        Level::Consistency(Consistency::All) => owners.max(1),
        Level::Consistency(_) => majority(owners),
    }
}
