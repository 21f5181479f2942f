//! What owners missed: pairs of owner and partition for which a write was not confirmed. The exchange of that copy pays
//! the debt. Held in memory: after a restart every copy is compared anyway.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::ids::{NodeNumber, PartitionId};

/// The debts of this node.
#[derive(Debug, Default)]
pub struct Missed {
    owed: Mutex<BTreeSet<(NodeNumber, PartitionId)>>,
    added: Notify,
}

impl Missed {
    /// Notes that an owner may lack something of a partition.
    pub fn note(&self, owner: NodeNumber, partition: PartitionId) {
        if self.owed.lock().insert((owner, partition)) {
            self.added.notify_one();
        }
    }

    /// Takes all debts; what cannot be paid is noted again.
    #[must_use]
    pub fn take(&self) -> BTreeSet<(NodeNumber, PartitionId)> {
        std::mem::take(&mut *self.owed.lock())
    }

    /// How many pairs are owed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owed.lock().len()
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owed.lock().is_empty()
    }

    /// How many partitions an owner is owed.
    #[must_use]
    pub fn owed_to(&self, owner: NodeNumber) -> usize {
        self.owed.lock().iter().filter(|(node, _)| *node == owner).count()
    }

    /// Waits until a debt is noted.
    pub async fn noted(&self) {
        self.added.notified().await;
    }
}
