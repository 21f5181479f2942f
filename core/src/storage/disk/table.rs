//! A memory table: one current version per key, hashed for point access and ordered for scans and flushes.
//! Deleted keys stay as markers, as older values may lie below. Writers lock the shards of a batch, append to the log
//! inside, and so agree with it on the order.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::storage::engine::{Lsn, Operation};
use crate::storage::key::DATA;

/// Enough that a few cores rarely meet, few enough that an empty table costs little.
const SHARDS: usize = 32;
/// New keys that wait to be put in order. Ordering them in groups keeps most writes free of a search in a tree that
/// does not fit the cache; a scan orders them first.
const UNORDERED_MAX: usize = 256;
/// What an entry costs beside its bytes: two references to the key, the value's header, allocations.
const ENTRY_BYTES: usize = 112;

/// A key and its value, or `None` where it was deleted.
pub(super) type Entry = (Arc<[u8]>, Option<Bytes>);

#[derive(Debug)]
struct Slot {
    key: Arc<[u8]>,
    value: Option<Bytes>,
}

type Shard = HashTable<Slot>;

#[derive(Debug, Default)]
struct Index {
    ordered: BTreeSet<Arc<[u8]>>,
    /// Keys of the data space that `ordered` lacks.
    unordered: Vec<Arc<[u8]>>,
}

impl Index {
    fn add(&mut self, key: Arc<[u8]>) {
        // What a node knows about itself is little, and read in order as soon as it starts.
        if *key < [DATA][..] {
            self.ordered.insert(key);
        } else {
            self.unordered.push(key);
        }
    }

    fn settle(&mut self) {
        self.ordered.extend(self.unordered.drain(..));
    }

    fn settle_before(&mut self, to: Bound<&[u8]>) {
        let below_data = matches!(to, Bound::Excluded(to) if to <= &[DATA][..]);
        if !below_data {
            self.settle();
        }
    }
}

/// The hash by which shards and slots are found.
pub(super) fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

fn shard_of(hash: u64) -> usize {
    // The lowest and the highest bits choose the slot within the shard.
    usize::try_from(hash >> 40).unwrap_or_default() % SHARDS
}

/// One memory table.
#[derive(Debug)]
pub(super) struct MemoryTable {
    shards: [Mutex<Shard>; SHARDS],
    index: Mutex<Index>,
    bytes: AtomicU64,
    last: AtomicU64,
}

/// The locked shards of one batch.
pub(super) struct Locked<'a> {
    table: &'a MemoryTable,
    hashes: SmallVec<[u64; 4]>,
    guards: SmallVec<[(usize, MutexGuard<'a, Shard>); 4]>,
}

impl MemoryTable {
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Shard::new())),
            index: Mutex::default(),
            bytes: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// Bytes that keys and values take, roughly with what they cost beside.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The last batch applied to it.
    pub(super) fn last(&self) -> Lsn {
        Lsn(self.last.load(Ordering::Acquire))
    }

    /// The value or deletion marker of a key, if the table has one.
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<Option<Bytes>> {
        let shard = self.shards.get(shard_of(hash))?.lock();
        shard.find(hash, |slot| *slot.key == *key).map(|slot| slot.value.clone())
    }

    /// Locks the shards of these operations, in the order that keeps batches from waiting for each other.
    pub(super) fn lock(&self, operations: &[Operation]) -> Locked<'_> {
        let hashes: SmallVec<[u64; 4]> = operations.iter().map(|operation| hash(&operation.key)).collect();
        let mut numbers: SmallVec<[usize; 4]> = hashes.iter().map(|hash| shard_of(*hash)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let guards = numbers
            .into_iter()
            .filter_map(|number| Some((number, self.shards.get(number)?.lock())))
            .collect();
        Locked { table: self, hashes, guards }
    }

    /// Puts one change in. Only for recovery, where nobody else is there.
    pub(super) fn replay(&self, lsn: Lsn, key: &[u8], value: Option<&[u8]>) {
        let hash = hash(key);
        if let Some(shard) = self.shards.get(shard_of(hash)) {
            self.insert(&mut shard.lock(), hash, key, value.map(Bytes::copy_from_slice));
        }
        self.last.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Says that the table covers this batch, even if it changes nothing here.
    pub(super) fn cover(&self, lsn: Lsn) {
        self.last.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Puts one version in; true when new keys should be put in order.
    fn insert(&self, shard: &mut Shard, hash: u64, key: &[u8], value: Option<Bytes>) -> bool {
        let size = value.as_ref().map_or(0, Bytes::len) as u64;
        if let Some(slot) = shard.find_mut(hash, |slot| *slot.key == *key) {
            let before = slot.value.as_ref().map_or(0, Bytes::len) as u64;
            slot.value = value;
            self.bytes.fetch_add(size.wrapping_sub(before), Ordering::Relaxed);
            return false;
        }
        let key: Arc<[u8]> = Arc::from(key);
        self.bytes.fetch_add(size + (key.len() + ENTRY_BYTES) as u64, Ordering::Relaxed);
        shard.insert_unique(hash, Slot { key: key.clone(), value }, |slot| self::hash(&slot.key));
        let mut index = self.index.lock();
        index.add(key);
        index.unordered.len() % UNORDERED_MAX == UNORDERED_MAX - 1
    }

    /// Puts some of the new keys in order; false when none are left.
    pub(super) fn order_some(&self, max: usize) -> bool {
        let mut index = self.index.lock();
        let rest = index.unordered.len().saturating_sub(max);
        let some = index.unordered.split_off(rest);
        index.ordered.extend(some);
        rest > 0
    }

    /// At most `max` entries from `from` up to and without `to`, in key order.
    pub(super) fn page(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, max: usize) -> Vec<Entry> {
        let keys: Vec<Arc<[u8]>> = {
            let mut index = self.index.lock();
            index.settle_before(to);
            index.ordered.range::<[u8], _>((from, to)).take(max).cloned().collect()
        };
        keys.into_iter()
            .filter_map(|key| {
                let value = self.get(hash(&key), &key)?;
                Some((key, value))
            })
            .collect()
    }

    /// Forgets everything from `from` up to and without `to`.
    pub(super) fn remove_range(&self, from: &[u8], to: &[u8]) {
        let mut removed = 0;
        let keys: Vec<Arc<[u8]>> = {
            let mut index = self.index.lock();
            index.settle();
            let bounds = (Bound::Included(from), Bound::Excluded(to));
            let keys: Vec<_> = index.ordered.range::<[u8], _>(bounds).cloned().collect();
            for key in &keys {
                index.ordered.remove(key);
            }
            keys
        };
        for key in keys {
            let hash = hash(&key);
            let Some(shard) = self.shards.get(shard_of(hash)) else { continue };
            if let Ok(found) = shard.lock().find_entry(hash, |slot| slot.key == key) {
                let (slot, _) = found.remove();
                removed += (key.len() + ENTRY_BYTES + slot.value.map_or(0, |value| value.len())) as u64;
            }
        }
        self.bytes.fetch_sub(removed, Ordering::Relaxed);
    }
}

impl Locked<'_> {
    /// Makes a batch visible that the log has taken as `lsn`.
    pub(super) fn insert(mut self, lsn: Lsn, operations: &[Operation]) {
        let mut crowded = false;
        for (operation, hash) in operations.iter().zip(&self.hashes) {
            let number = shard_of(*hash);
            let Some((_, shard)) = self.guards.iter_mut().find(|(locked, _)| *locked == number) else {
                unreachable!("lock took the shard of every operation");
            };
            // Copied, as the caller's bytes may be a slice of something far larger, a network buffer or a block.
            let value = operation.value.as_ref().map(|value| Bytes::copy_from_slice(value));
            crowded |= self.table.insert(shard, *hash, &operation.key, value);
        }
        if crowded {
            // Twice what came since, so that what recovery has left unordered goes away by and by.
            self.table.order_some(2 * UNORDERED_MAX);
        }
        self.table.last.fetch_max(lsn.0, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u32) -> MemoryTable {
        let table = MemoryTable::new();
        for number in (0..count).rev() {
            table.replay(Lsn(1), &number.to_be_bytes(), Some(b"value"));
        }
        table
    }

    #[test]
    fn pages_are_in_key_order_and_see_the_newest_value() {
        let table = filled(1_000);
        table.replay(Lsn(2), &5_u32.to_be_bytes(), None);
        table.replay(Lsn(3), &6_u32.to_be_bytes(), Some(b"new"));
        let page = table.page(Bound::Excluded(&3_u32.to_be_bytes()), Bound::Unbounded, 3);
        let keys: Vec<_> = page.iter().map(|(key, _)| key.to_vec()).collect();
        assert_eq!(keys, [4_u32, 5, 6].map(|number| number.to_be_bytes().to_vec()));
        assert_eq!(page[1].1, None);
        assert_eq!(page[2].1.as_deref(), Some(&b"new"[..]));
        assert_eq!(table.last(), Lsn(3));
    }

    #[test]
    fn a_removed_range_leaves_nothing_and_gives_its_bytes_back() {
        let table = filled(100);
        let before = table.bytes();
        table.remove_range(&10_u32.to_be_bytes(), &60_u32.to_be_bytes());
        assert_eq!(table.bytes(), before / 2);
        assert_eq!(table.page(Bound::Unbounded, Bound::Unbounded, 1_000).len(), 50);
        assert_eq!(table.get(hash(&10_u32.to_be_bytes()), &10_u32.to_be_bytes()), None);
    }

    #[test]
    fn overwriting_does_not_grow_the_table() {
        let table = filled(10);
        let before = table.bytes();
        for _ in 0..100 {
            table.replay(Lsn(9), &3_u32.to_be_bytes(), Some(b"other"));
        }
        assert_eq!(table.bytes(), before);
    }
}
