//! Paying debts: every pair of owner and partition that may differ is exchanged until it does not. After a start every
//! copy is compared with its other owners, and a copy that may have forgotten counts again once it has met enough of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::exchange::Exchange;
use crate::base::Env;
use crate::base::error::Result;
use crate::base::ids::{NodeNumber, PartitionId};
use crate::client::{TopologySource, current};
use crate::replica::{Missed, Replica};
use crate::ring::{Consistency, Level, Topology, majority};

/// The pause after a round in which some debt could not be paid: its owner is away and comes back in its own time.
const PAUSE: Duration = Duration::from_millis(200);

/// Pays the debts of a node in the background.
#[derive(Debug)]
pub struct Settle {
    env: Env,
    exchange: Exchange,
    replica: Arc<Replica>,
    source: Arc<dyn TopologySource>,
    missed: Arc<Missed>,
}

impl Settle {
    /// A payer of debts.
    #[must_use]
    pub fn new(
        env: Env,
        exchange: Exchange,
        replica: Arc<Replica>,
        source: Arc<dyn TopologySource>,
        missed: Arc<Missed>,
    ) -> Self {
        Self { env, exchange, replica, source, missed }
    }

    /// Notes every other owner of every partition of this node: what was missed while it was away is unknown.
    ///
    /// # Errors
    /// `QuorumUnavailable` before there is a topology.
    pub fn note_all(&self) -> Result<()> {
        let topology = current(self.source.as_ref())?;
        for partition in topology.partition_ids() {
            for owner in self.others(&topology, partition) {
                self.missed.note(owner, partition);
            }
        }
        Ok(())
    }

    /// Runs until the environment stops.
    pub async fn run(self) {
        let mut met: BTreeMap<PartitionId, BTreeSet<NodeNumber>> = BTreeMap::new();
        self.recover_lone_copies();
        loop {
            let debts = self.missed.take();
            let mut away = BTreeSet::new();
            for (owner, partition) in debts {
                // One failure is enough for this round: the owner is away.
                if away.contains(&owner) || self.exchange.run(partition, owner).await.is_err() {
                    away.insert(owner);
                    self.missed.note(owner, partition);
                } else {
                    let met_here = met.entry(partition).or_default();
                    met_here.insert(owner);
                    self.recover(partition, met_here);
                }
                self.missed.paid(owner, partition);
            }
            if !away.is_empty() {
                self.env.sleep(PAUSE).await;
            } else if self.missed.is_empty() {
                self.missed.noted().await;
            }
            self.forget_strangers();
        }
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
                self.missed.note(owner, partition);
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

    /// Debts to members that have gone, or own the partition no more, are void.
    fn forget_strangers(&self) {
        let Ok(topology) = current(self.source.as_ref()) else { return };
        self.missed.retain(|owner, partition| self.others(&topology, partition).contains(&owner));
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
