//! A key's record: its clock and its siblings; put, merge, and what readers see.
//! A sibling leaves only if a later write's context covers it; a merge never refuses and never drops anything else.
//! After "dotted version vectors" (Preguiça et al., 2012), as Riak keeps them.

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use super::encoding;
use super::version::Clock;
use crate::base::Dot;
#[cfg(feature = "planted")]
use crate::base::planted::{self, Bug};

/// What a write stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// A value, possibly empty.
    Value(Bytes),
    /// A delete.
    Tombstone,
}

/// One of several concurrent versions of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sibling {
    /// The write that it comes from.
    pub dot: Dot,
    /// What that write stored.
    pub payload: Payload,
    /// When a reader stops showing it, in Unix milliseconds by the reader's clock.
    pub expires: Option<u64>,
}

impl Sibling {
    /// Whether it is a value that a reader at this time still shows.
    #[must_use]
    pub fn is_live(&self, now_ms: u64) -> bool {
        self.value(now_ms).is_some()
    }

    /// The value, if it is one that a reader at this time still shows.
    #[must_use]
    pub fn value(&self, now_ms: u64) -> Option<&Bytes> {
        match &self.payload {
            Payload::Value(value) if self.expires.is_none_or(|expires| now_ms < expires) => Some(value),
            _ => None,
        }
    }
}

/// The siblings of a record; the usual single one needs no allocation.
pub type Siblings = SmallVec<[Sibling; 1]>;

/// The hash of a record's clock, dots, kinds and expiry: equal hashes mean equal records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RecordHash(pub u128);

impl fmt::Debug for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Everything that a replica holds of a key. The clock covers every sibling's dot; siblings are sorted by dot.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Record {
    /// Every write that is stored here or superseded.
    pub clock: Clock,
    /// The versions that no known write supersedes, by dot.
    pub siblings: Siblings,
}

impl Record {
    /// The record of a key's first write.
    #[must_use]
    pub fn first(sibling: Sibling) -> Self {
        let mut record = Self::default();
        record.clock.observe(sibling.dot);
        record.siblings.push(sibling);
        record
    }

    /// Keeps a sibling that is in both, or in one and not covered by the other's clock; joins the clocks.
    /// Commutative, associative and idempotent.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let mut clock = self.clock.clone();
        clock.join(&other.clock);
        let mut siblings = Siblings::with_capacity(self.siblings.len().max(other.siblings.len()));
        let (mut left, mut right) = (self.siblings.iter().peekable(), other.siblings.iter().peekable());
        loop {
            let (kept, rival) = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a.dot == b.dot => {
                    siblings.push((*a).clone());
                    left.next();
                    right.next();
                    continue;
                }
                (Some(a), Some(b)) if a.dot < b.dot => (left.next(), &other.clock),
                (Some(_), None) => (left.next(), &other.clock),
                (_, Some(_)) => (right.next(), &self.clock),
                #[cfg(feature = "planted")]
                (None, None) if planted::is(Bug::MergeDropsSibling) => {
                    return Self { clock, siblings: siblings.pop().into_iter().collect() };
                }
                (None, None) => return Self { clock, siblings },
            };
            siblings.extend(kept.filter(|sibling| !rival.covers(sibling.dot)).cloned());
        }
    }

    /// A write at a copy: drops the siblings that the context covers, joins the context, and adds the new sibling,
    /// whose dot was minted above every time in this record and in the context.
    #[must_use]
    pub fn put(&self, context: &Clock, sibling: Sibling) -> Self {
        let mut clock = self.clock.clone();
        clock.join(context);
        debug_assert!(!clock.covers(sibling.dot), "{:?} was issued before: {clock:?}", sibling.dot);
        clock.observe(sibling.dot);
        let mut siblings: Siblings =
            self.siblings.iter().filter(|old| !context.covers(old.dot)).cloned().collect();
        let at = siblings.partition_point(|old| old.dot < sibling.dot);
        siblings.insert(at, sibling);
        Self { clock, siblings }
    }

    /// A write whose context is this record's own clock: `put` without copying what it supersedes.
    #[must_use]
    pub fn replace(mut self, sibling: Sibling) -> Self {
        debug_assert!(
            !self.clock.covers(sibling.dot),
            "{:?} was issued before: {:?}",
            sibling.dot,
            self.clock
        );
        self.clock.observe(sibling.dot);
        self.siblings.clear();
        self.siblings.push(sibling);
        self
    }

    /// The sibling with the greatest dot: time, then actor.
    #[must_use]
    pub fn winner(&self) -> Option<&Sibling> {
        self.siblings.last()
    }

    /// What last-writer-wins shows: the winner, if it is a live value.
    #[must_use]
    pub fn shown(&self, now_ms: u64) -> Option<&Sibling> {
        self.winner().filter(|sibling| sibling.is_live(now_ms))
    }

    /// The values that have not expired, by dot.
    pub fn live(&self, now_ms: u64) -> impl Iterator<Item = &Sibling> {
        self.siblings.iter().filter(move |sibling| sibling.is_live(now_ms))
    }

    /// The sibling of this write.
    #[must_use]
    pub fn sibling(&self, dot: Dot) -> Option<&Sibling> {
        self.siblings.iter().find(|sibling| sibling.dot == dot)
    }

    /// Whether merging the other record into this one changes nothing.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.clock.dominates(&other.clock)
            && self
                .siblings
                .iter()
                .all(|sibling| !other.clock.covers(sibling.dot) || other.sibling(sibling.dot).is_some())
    }

    /// The hash of clock, dots, kinds and expiry; payloads are left out, because a dot names its payload.
    #[must_use]
    pub fn hash(&self) -> RecordHash {
        encoding::hash(self)
    }

    /// The length of the record's encoding.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        encoding::encoded_len(self)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::{Actor, CopyNumber, NodeNumber, Time};

    pub(in crate::causality) fn actor(node: u32) -> Actor {
        Actor { node: NodeNumber(node), copy: CopyNumber(7) }
    }

    pub(in crate::causality) fn dot(node: u32, time: u64) -> Dot {
        Dot { time: Time(time), actor: actor(node) }
    }

    pub(in crate::causality) fn value(node: u32, time: u64) -> Sibling {
        let payload = Payload::Value(Bytes::from(format!("{node}@{time}")));
        Sibling { dot: dot(node, time), payload, expires: None }
    }

    fn dots(record: &Record) -> Vec<Dot> {
        record.siblings.iter().map(|sibling| sibling.dot).collect()
    }

    #[test]
    fn a_put_drops_what_its_context_covers_and_nothing_else() {
        let both = Record::first(value(1, 5)).merge(&Record::first(value(2, 6)));
        let context: Clock = [dot(1, 5)].into_iter().collect();
        let after = both.put(&context, value(1, 9));
        assert_eq!(dots(&after), [dot(2, 6), dot(1, 9)]);
        assert!(after.clock.dominates(&both.clock));
    }

    #[test]
    fn a_put_without_context_in_a_siblings_bucket_covers_nothing() {
        let record = Record::first(value(1, 5)).put(&Clock::new(), value(1, 6));
        assert_eq!(dots(&record), [dot(1, 5), dot(1, 6)]);
    }

    #[test]
    fn replace_is_a_put_with_the_records_own_clock() {
        let both = Record::first(value(1, 5)).merge(&Record::first(value(2, 6)));
        let put = both.put(&both.clock, value(1, 9));
        assert_eq!(both.replace(value(1, 9)), put);
        assert_eq!(dots(&put), [dot(1, 9)]);
    }

    #[test]
    fn a_superseded_sibling_does_not_come_back_by_merging() {
        let old = Record::first(value(1, 5));
        let new = old.put(&old.clock, value(2, 8));
        assert_eq!(old.merge(&new), new);
        assert_eq!(new.merge(&old), new);
        assert!(new.contains(&old) && !old.contains(&new));
    }

    #[test]
    fn concurrent_writes_stay_as_siblings_and_the_greatest_dot_wins() {
        let merged = Record::first(value(1, 5)).merge(&Record::first(value(2, 5)));
        assert_eq!(dots(&merged), [dot(1, 5), dot(2, 5)]);
        assert_eq!(merged.winner().map(|winner| winner.dot), Some(dot(2, 5)));
    }

    #[test]
    fn a_tombstone_or_an_expired_winner_shows_nothing() {
        let mut late = value(2, 9);
        late.expires = Some(1_000);
        let record = Record::first(value(1, 5)).put(&Clock::new(), late);
        assert_eq!(record.shown(999).map(|shown| shown.dot), Some(dot(2, 9)));
        assert_eq!(record.shown(1_000), None);
        assert_eq!(record.live(1_000).map(|live| live.dot).collect::<Vec<_>>(), [dot(1, 5)]);
        let tombstone = Sibling { dot: dot(3, 10), payload: Payload::Tombstone, expires: None };
        let deleted = record.replace(tombstone);
        assert_eq!((deleted.shown(0), deleted.live(0).count()), (None, 0));
    }
}
