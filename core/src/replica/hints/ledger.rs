//! The ledger of hints: what is owed, how much of it there may be, and what supersedes it. Pure.
//! Each entry carries the number of its last note, so that whoever pays strikes out only what was owed when it began.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::base::ids::{BucketId, NodeNumber, PartitionId};

/// A key that an owner is owed. The order is that of the hint space on disk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hint {
    /// Who is owed.
    pub owner: NodeNumber,
    /// The partition of the key.
    pub partition: PartitionId,
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
}

/// The number of a note; rises with each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Noted(u64);

/// How much may be owed key by key.
#[derive(Clone, Copy, Debug)]
pub struct HintLimits {
    /// Most keys.
    pub keys_max: u64,
    /// Most bytes of them.
    pub bytes_max: u64,
}

/// What a note came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The key was owed already, or its whole partition because there were too many keys.
    Known,
    /// The key is owed now.
    Added,
    /// There are too many: the whole partition is owed instead, and these keys of it no more by themselves.
    Collapsed(Vec<Hint>),
}

/// A partition that is owed as a whole.
#[derive(Clone, Copy, Debug)]
struct Whole {
    noted: Noted,
    /// It stands for keys that were struck out, and so outlives the run.
    lasting: bool,
}

/// Everything that is owed.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: HintLimits,
    keys: BTreeMap<Hint, Noted>,
    wholes: BTreeMap<(NodeNumber, PartitionId), Whole>,
    /// Keys owed to each owner that is owed any.
    counts: BTreeMap<NodeNumber, u64>,
    bytes: u64,
    last: Noted,
}

impl Hint {
    /// What it counts for: the key, and the numbers beside it on disk.
    fn bytes(&self) -> u64 {
        11 + self.key.len() as u64
    }

    /// Not after any hint of this owner and partition.
    fn first(owner: NodeNumber, partition: PartitionId) -> Self {
        Self { owner, partition, bucket: BucketId(0), key: Bytes::new() }
    }
}

impl Ledger {
    pub(super) fn new(limits: HintLimits) -> Self {
        Self {
            limits,
            keys: BTreeMap::new(),
            wholes: BTreeMap::new(),
            counts: BTreeMap::new(),
            bytes: 0,
            last: Noted(0),
        }
    }

    fn next(&mut self) -> Noted {
        self.last = Noted(self.last.0 + 1);
        self.last
    }

    /// The number of the last note: what is noted from now on has a greater one.
    pub(super) fn last(&self) -> Noted {
        self.last
    }

    /// Notes a key.
    pub(super) fn note(&mut self, hint: Hint) -> Outcome {
        let noted = self.next();
        if let Some(whole) = self.wholes.get_mut(&(hint.owner, hint.partition))
            && whole.lasting
        {
            whole.noted = noted;
            return Outcome::Known;
        }
        if let Some(known) = self.keys.get_mut(&hint) {
            *known = noted;
            return Outcome::Known;
        }
        let bytes = hint.bytes();
        if self.keys.len() as u64 >= self.limits.keys_max || self.bytes + bytes > self.limits.bytes_max {
            let (owner, partition) = (hint.owner, hint.partition);
            self.note_whole(owner, partition, true);
            let dropped = self.of_partition(owner, partition);
            dropped.iter().for_each(|hint| self.strike(hint));
            return Outcome::Collapsed(dropped);
        }
        self.bytes += bytes;
        *self.counts.entry(hint.owner).or_default() += 1;
        self.keys.insert(hint, noted);
        Outcome::Added
    }

    /// Notes a whole partition. Says whether it was not owed before.
    pub(super) fn note_whole(&mut self, owner: NodeNumber, partition: PartitionId, lasting: bool) -> bool {
        let noted = self.next();
        let mut added = false;
        let whole = self.wholes.entry((owner, partition)).or_insert_with(|| {
            added = true;
            Whole { noted, lasting }
        });
        whole.noted = noted;
        whole.lasting |= lasting;
        added
    }

    fn strike(&mut self, hint: &Hint) {
        if self.keys.remove(hint).is_none() {
            return;
        }
        self.bytes -= hint.bytes();
        if let Some(count) = self.counts.get_mut(&hint.owner) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&hint.owner);
            }
        }
    }

    /// Strikes out a key unless it was noted again since.
    pub(super) fn settle(&mut self, hint: &Hint, noted: Noted) -> bool {
        let paid = self.keys.get(hint).is_some_and(|last| *last <= noted);
        if paid {
            self.strike(hint);
        }
        paid
    }

    /// Strikes out a partition unless it was noted again since.
    pub(super) fn settle_whole(&mut self, owner: NodeNumber, partition: PartitionId, noted: Noted) -> bool {
        let paid = self.wholes.get(&(owner, partition)).is_some_and(|whole| whole.noted <= noted);
        if paid {
            self.wholes.remove(&(owner, partition));
        }
        paid
    }

    /// Strikes out the keys of a partition, of these buckets, that were noted no later; gives them.
    pub(super) fn supersede(
        &mut self,
        owner: NodeNumber,
        partition: PartitionId,
        noted: Noted,
        covers: impl Fn(BucketId) -> bool,
    ) -> Vec<Hint> {
        let mut superseded = self.of_partition(owner, partition);
        superseded.retain(|hint| covers(hint.bucket) && self.settle(hint, noted));
        superseded
    }

    fn of_partition(&self, owner: NodeNumber, partition: PartitionId) -> Vec<Hint> {
        let from = Hint::first(owner, partition);
        let own = |hint: &&Hint| hint.owner == owner && hint.partition == partition;
        self.keys.range(from..).map(|(hint, _)| hint).take_while(own).cloned().collect()
    }

    /// Up to `max` keys that an owner is owed, in order, after one of them.
    pub(super) fn keys_owed(
        &self,
        owner: NodeNumber,
        after: Option<&Hint>,
        max: usize,
    ) -> Vec<(Hint, Noted)> {
        let first = Hint::first(owner, PartitionId(0));
        let from = after.map_or(Bound::Included(&first), Bound::Excluded);
        let own = self.keys.range((from, Bound::Unbounded)).take_while(|(hint, _)| hint.owner == owner);
        own.take(max).map(|(hint, noted)| (hint.clone(), *noted)).collect()
    }

    /// The partitions that an owner is owed as a whole.
    pub(super) fn wholes_owed(&self, owner: NodeNumber) -> Vec<PartitionId> {
        let range = (owner, PartitionId(0))..=(owner, PartitionId(u16::MAX));
        self.wholes.range(range).map(|((_, partition), _)| *partition).collect()
    }

    pub(super) fn is_lasting(&self, owner: NodeNumber, partition: PartitionId) -> bool {
        self.wholes.get(&(owner, partition)).is_some_and(|whole| whole.lasting)
    }

    pub(super) fn contains(&self, hint: &Hint) -> bool {
        self.keys.contains_key(hint)
    }

    /// Everybody who is owed something.
    pub(super) fn owners(&self) -> Vec<NodeNumber> {
        let mut owners: Vec<NodeNumber> = self.counts.keys().copied().collect();
        owners.extend(self.wholes.keys().map(|(owner, _)| *owner));
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    pub(super) fn keys_owed_to(&self, owner: NodeNumber) -> u64 {
        self.counts.get(&owner).copied().unwrap_or_default()
    }

    pub(super) fn owed_to(&self, owner: NodeNumber) -> u64 {
        self.keys_owed_to(owner) + self.wholes_owed(owner).len() as u64
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn wholes(&self) -> u64 {
        self.wholes.len() as u64
    }
}
