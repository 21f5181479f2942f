//! What owners missed: pairs of owner and partition for which a write was not confirmed. The exchange of that copy pays
//! the debt. Held in memory: after a restart every copy is compared anyway.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::ids::{NodeNumber, PartitionId};
#[cfg(feature = "planted")]
use crate::base::planted::{self, Bug};

/// The debts of this node. One that is being paid is still a debt.
#[derive(Debug, Default)]
pub struct Missed {
    debts: Mutex<Debts>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Debts {
    owed: BTreeSet<(NodeNumber, PartitionId)>,
    /// Taken and not yet paid. What is noted meanwhile is owed again: the exchange may have passed the key.
    paying: BTreeSet<(NodeNumber, PartitionId)>,
}

impl Missed {
    /// Notes that an owner may lack something of a partition.
    pub fn note(&self, owner: NodeNumber, partition: PartitionId) {
        #[cfg(feature = "planted")]
        if planted::is(Bug::NothingOwed) {
            return;
        }
        if self.debts.lock().owed.insert((owner, partition)) {
            self.added.notify_one();
        }
    }

    /// Takes all debts; each is to be given back by `paid`, or by `note` and `paid` if it could not be paid.
    #[must_use]
    pub fn take(&self) -> BTreeSet<(NodeNumber, PartitionId)> {
        let mut debts = self.debts.lock();
        let taken = std::mem::take(&mut debts.owed);
        debts.paying.extend(&taken);
        taken
    }

    /// Says that a debt that was taken is no more.
    pub fn paid(&self, owner: NodeNumber, partition: PartitionId) {
        self.debts.lock().paying.remove(&(owner, partition));
    }

    /// Forgets the debts for which the predicate does not hold.
    pub fn retain(&self, keep: impl Fn(NodeNumber, PartitionId) -> bool) {
        self.debts.lock().owed.retain(|(owner, partition)| keep(*owner, *partition));
    }

    /// How many pairs are owed.
    #[must_use]
    pub fn len(&self) -> usize {
        let debts = self.debts.lock();
        debts.owed.union(&debts.paying).count()
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many partitions an owner is owed.
    #[must_use]
    pub fn owed_to(&self, owner: NodeNumber) -> usize {
        let debts = self.debts.lock();
        debts.owed.union(&debts.paying).filter(|(node, _)| *node == owner).count()
    }

    /// Waits until a debt is noted.
    pub async fn noted(&self) {
        self.added.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBT: (NodeNumber, PartitionId) = (NodeNumber(2), PartitionId(7));

    #[test]
    fn a_debt_that_is_being_paid_is_still_a_debt() {
        let missed = Missed::default();
        missed.note(DEBT.0, DEBT.1);
        assert_eq!(missed.take().into_iter().collect::<Vec<_>>(), [DEBT]);
        assert_eq!((missed.len(), missed.owed_to(DEBT.0)), (1, 1));
        missed.paid(DEBT.0, DEBT.1);
        assert!(missed.is_empty());
    }

    #[test]
    fn what_is_noted_while_a_debt_is_paid_is_owed_again() {
        let missed = Missed::default();
        missed.note(DEBT.0, DEBT.1);
        let _taken = missed.take();
        missed.note(DEBT.0, DEBT.1);
        missed.paid(DEBT.0, DEBT.1);
        assert_eq!(missed.take().len(), 1);
    }
}
