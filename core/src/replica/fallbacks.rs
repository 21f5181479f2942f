//! Fallback copies: what this node holds in the place of owners that are away. Each is an ordinary copy with numbers of its
//! own, apart from those that the node holds as an owner, and is dropped whole once the owners have it. A copy that is
//! started again shares neither records nor numbers with the one before.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};
use tokio::sync::Notify;

use super::copies::{CopyState, Entry, entries, name, store, stray};
use super::mint::Refusal;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{CopyNumber, NodeNumber, PartitionId};
use crate::storage::engine::{Batch, Engine};
use crate::storage::key::{after, copy_bounds};

const NAME_PREFIX: &str = "fallback/";

/// The fallback copies of a node, by partition.
#[derive(Debug)]
pub struct Fallbacks {
    slots: Vec<RwLock<Option<Held>>>,
    bytes: AtomicU64,
    bytes_max: u64,
    drained: AtomicU64,
    started: Notify,
}

/// A fallback copy while it is written: it is not dropped meanwhile.
pub(super) type Writing<'a> = MappedRwLockReadGuard<'a, Held>;

/// One fallback copy.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) state: CopyState,
    writes: AtomicU64,
    bytes: AtomicU64,
    /// After so many writes, the owners that had not confirmed all of it; none: not known.
    lacking: Mutex<Option<(u64, BTreeSet<NodeNumber>)>>,
    /// Its entry may say so, too: what is written now could go with the next start.
    ending: bool,
}

impl Held {
    /// Whom the copy as it is now is owed to, if that is known.
    fn owed_to<T>(&self, count: impl FnOnce(Option<&BTreeSet<NodeNumber>>) -> T) -> T {
        let lacking = self.lacking.lock();
        let writes = self.writes.load(Ordering::Acquire);
        count(lacking.as_ref().filter(|(at, _)| *at == writes).map(|(_, owners)| owners))
    }

    fn new(state: CopyState, bytes: u64) -> Self {
        let (writes, bytes) = (AtomicU64::new(0), AtomicU64::new(bytes));
        Self { state, writes, bytes, lacking: Mutex::new(None), ending: false }
    }
}

/// What a fallback copy was at some moment: the copy, and how often it had been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FallbackMark {
    /// The copy's first number.
    pub generation: CopyNumber,
    /// Writes since this node started.
    pub writes: u64,
}

impl Fallbacks {
    /// Loads what an engine holds, measures it, and drops what a start before this one began to drop.
    ///
    /// # Errors
    /// `Corruption` for an entry that this version cannot have written, and what the engine reports.
    pub fn load(engine: &dyn Engine, partitions: u32, bytes_max: u64) -> Result<Self> {
        let fallbacks = Self {
            slots: (0..partitions).map(|_| RwLock::new(None)).collect(),
            bytes: AtomicU64::new(0),
            bytes_max,
            drained: AtomicU64::new(0),
            started: Notify::new(),
        };
        for Entry { partition, state, ending } in entries(engine, NAME_PREFIX)? {
            let slot = fallbacks.slot(partition)?;
            if ending {
                end(engine, partition, &state)?;
                continue;
            }
            // Damage in a copy that counts in nothing strict must not keep the node from serving its own.
            let bytes = measure(engine, partition, state.generation).unwrap_or_else(|error| {
                tracing::error!(%partition, reason = error.message(), "a fallback copy cannot be measured");
                0
            });
            fallbacks.bytes.fetch_add(bytes, Ordering::AcqRel);
            *slot.write() = Some(Held::new(state, bytes));
        }
        Ok(fallbacks)
    }

    /// The fallback copy of a partition, if there is one.
    #[must_use]
    pub fn get(&self, partition: PartitionId) -> Option<CopyState> {
        self.slots.get(usize::from(partition.0)).and_then(|slot| slot.read().as_ref().map(|held| held.state))
    }

    /// The fallback copies that there are, by partition.
    #[must_use]
    pub fn all(&self) -> Vec<(PartitionId, CopyState)> {
        (0..=u16::MAX)
            .zip(&self.slots)
            .filter_map(|(number, slot)| slot.read().as_ref().map(|held| (PartitionId(number), held.state)))
            .collect()
    }

    /// Bytes of keys and records in all fallback copies.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Copies dropped since this node started.
    #[must_use]
    pub fn drained(&self) -> u64 {
        self.drained.load(Ordering::Relaxed)
    }

    /// What a copy is now; what is written later changes its mark.
    #[must_use]
    pub fn mark(&self, partition: PartitionId) -> Option<FallbackMark> {
        let slot = self.slots.get(usize::from(partition.0))?.read();
        slot.as_ref().map(|held| FallbackMark {
            generation: held.state.generation,
            writes: held.writes.load(Ordering::Acquire),
        })
    }

    /// Notes the owners that have not confirmed everything that a copy held at a mark.
    pub fn note_lacking(&self, partition: PartitionId, mark: FallbackMark, owners: BTreeSet<NodeNumber>) {
        let Some(slot) = self.slots.get(usize::from(partition.0)) else { return };
        let slot = slot.read();
        if let Some(held) = slot.as_ref().filter(|held| held.state.generation == mark.generation) {
            *held.lacking.lock() = Some((mark.writes, owners));
        }
    }

    /// What is owed: each copy to each owner that lacks it; to one owner while it is not known to which.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.count(|owners| owners.map_or(1, |owners| owners.len().max(1) as u64))
    }

    /// How many copies an owner is known to lack.
    #[must_use]
    pub fn owed_to(&self, owner: NodeNumber) -> u64 {
        self.count(|owners| u64::from(owners.is_some_and(|owners| owners.contains(&owner))))
    }

    fn count(&self, count: impl Fn(Option<&BTreeSet<NodeNumber>>) -> u64) -> u64 {
        self.slots.iter().filter_map(|slot| slot.read().as_ref().map(|held| held.owed_to(&count))).sum()
    }

    /// Waits until a fallback copy is started.
    pub async fn started(&self) {
        self.started.notified().await;
    }

    /// The copy to write to; one is started if there is none.
    pub(super) fn write(
        &self,
        partition: PartitionId,
        number: impl Fn() -> Result<CopyNumber, Refusal>,
        engine: &dyn Engine,
    ) -> Result<Writing<'_>, Refusal> {
        let slot = self.slot(partition)?;
        loop {
            if let Ok(held) = RwLockReadGuard::try_map(slot.read(), Option::as_ref) {
                if held.ending {
                    let text = format!("the fallback copy of partition {partition} is being dropped");
                    return Err(Error::new(ErrorKind::Overloaded, text).into());
                }
                return Ok(held);
            }
            let mut slot = slot.write();
            if slot.is_none() {
                let number = number()?;
                let state = CopyState { generation: number, actor: number, recovering: false };
                // Applied before the first record: no record lies under a generation that nobody knows.
                store(engine, NAME_PREFIX, partition, &state, false)?;
                *slot = Some(Held::new(state, 0));
                self.started.notify_one();
            }
        }
    }

    /// Makes room for a record, or refuses it.
    pub(super) fn reserve(&self, held: &Held, bytes: u64) -> Result<()> {
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if before.saturating_add(bytes) > self.bytes_max {
            self.bytes.fetch_sub(bytes, Ordering::AcqRel);
            let text = format!(
                "this node holds {before} bytes for owners that are away, and fallback_bytes_max={} allows no more",
                self.bytes_max
            );
            return Err(Error::new(ErrorKind::StorageFull, text));
        }
        held.bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(())
    }

    /// Gives room back: a record was replaced, or could not be stored.
    pub(super) fn release(&self, held: &Held, bytes: u64) {
        held.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Counts a write. After it is applied: whoever reads the mark before would miss the write itself.
    pub(super) fn written(held: &Held) {
        held.writes.fetch_add(1, Ordering::AcqRel);
    }

    /// Gives a copy another actor number.
    pub(super) fn renew(&self, partition: PartitionId, actor: CopyNumber, engine: &dyn Engine) -> Result<()> {
        let mut slot = self.slot(partition)?.write();
        if let Some(held) = slot.as_mut() {
            let state = CopyState { actor, ..held.state };
            store(engine, NAME_PREFIX, partition, &state, false)?;
            held.state = state;
        }
        Ok(())
    }

    /// Drops a copy whole, unless it was written since the mark was taken. Says whether it is gone.
    ///
    /// # Errors
    /// What the engine reports; the copy is then dropped by the next try or the next start.
    pub fn drop_unless_written(
        &self,
        partition: PartitionId,
        mark: FallbackMark,
        engine: &dyn Engine,
    ) -> Result<bool> {
        // No writer holds the copy while this lock is held, and none finds it afterwards.
        let mut slot = self.slot(partition)?.write();
        let Some(held) = slot.as_mut() else { return Ok(true) };
        let writes = held.writes.load(Ordering::Acquire);
        if !held.ending && (FallbackMark { generation: held.state.generation, writes }) != mark {
            return Ok(false);
        }
        held.ending = true;
        end(engine, partition, &held.state)?;
        self.bytes.fetch_sub(held.bytes.load(Ordering::Acquire), Ordering::AcqRel);
        self.drained.fetch_add(1, Ordering::Relaxed);
        *slot = None;
        Ok(true)
    }

    fn slot(&self, partition: PartitionId) -> Result<&RwLock<Option<Held>>> {
        self.slots.get(usize::from(partition.0)).ok_or_else(|| stray(partition, self.slots.len()))
    }
}

/// Drops a copy's records and its entry. The entry says first that the copy ends: a node that is killed in the middle
/// must not mint again under an actor whose records are gone.
fn end(engine: &dyn Engine, partition: PartitionId, state: &CopyState) -> Result<()> {
    store(engine, NAME_PREFIX, partition, state, true)?;
    let bounds = copy_bounds(partition, state.generation);
    engine.drop_range(&bounds.from, &bounds.to)?;
    let mut batch = Batch::new();
    batch.delete(name(NAME_PREFIX, partition));
    engine.apply(batch).map(drop)
}

/// Bytes of keys and records of a copy.
fn measure(engine: &dyn Engine, partition: PartitionId, generation: CopyNumber) -> Result<u64> {
    let bounds = copy_bounds(partition, generation);
    let (mut from, mut bytes) = (bounds.from, 0);
    loop {
        let page = engine.scan(&from, &bounds.to, 1_024, 1 << 20)?;
        bytes += page.items.iter().map(|(key, record)| size(key, record)).sum::<u64>();
        match page.items.last() {
            Some((last, _)) if page.more => from = after(last),
            _ => return Ok(bytes),
        }
    }
}

/// What a record counts for.
pub(super) fn size(key: &[u8], record: &[u8]) -> u64 {
    (key.len() + record.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BucketId;
    use crate::base::settings::Durability;
    use crate::storage::key::data_key;
    use crate::storage::{MemoryDisk, MemoryEngine};

    const PARTITION: PartitionId = PartitionId(3);

    fn engine(disk: &MemoryDisk) -> MemoryEngine {
        MemoryEngine::open(disk, Durability::Sync).unwrap()
    }

    fn load(engine: &MemoryEngine) -> Fallbacks {
        Fallbacks::load(engine, 8, 1_000).unwrap()
    }

    /// Writes a record of ten bytes under a key of one.
    fn write(fallbacks: &Fallbacks, engine: &MemoryEngine, number: u64) {
        let held = fallbacks.write(PARTITION, || Ok(CopyNumber(number)), engine).unwrap();
        let key = data_key(PARTITION, held.state.generation, BucketId(0), b"k");
        fallbacks.reserve(&held, size(&key, &[0; 10])).unwrap();
        let mut batch = Batch::new();
        batch.put(key, bytes::Bytes::from_static(&[0; 10]));
        engine.apply(batch).unwrap();
        Fallbacks::written(&held);
    }

    #[test]
    fn a_copy_that_was_written_since_its_mark_is_not_dropped() {
        let engine = engine(&MemoryDisk::new());
        let fallbacks = load(&engine);
        write(&fallbacks, &engine, 7);
        let before = fallbacks.mark(PARTITION).unwrap();
        write(&fallbacks, &engine, 8);
        assert!(!fallbacks.drop_unless_written(PARTITION, before, &engine).unwrap());
        let now = fallbacks.mark(PARTITION).unwrap();
        assert!(fallbacks.drop_unless_written(PARTITION, now, &engine).unwrap());
        assert_eq!((fallbacks.get(PARTITION), fallbacks.drained()), (None, 1));
        assert_eq!(engine.scan(&[0], &[2], 9, 9_999).unwrap().items.len(), 0);
        // The next copy has numbers of its own, and an old mark says nothing of it.
        write(&fallbacks, &engine, 9);
        assert_eq!(fallbacks.get(PARTITION).unwrap().actor, CopyNumber(9));
        assert!(!fallbacks.drop_unless_written(PARTITION, now, &engine).unwrap());
    }

    #[test]
    fn a_copy_is_owed_to_whom_the_last_drain_found_lacking_until_it_is_written() {
        let engine = engine(&MemoryDisk::new());
        let fallbacks = load(&engine);
        assert_eq!(fallbacks.owed(), 0);
        write(&fallbacks, &engine, 7);
        assert_eq!((fallbacks.owed(), fallbacks.owed_to(NodeNumber(1))), (1, 0));
        let mark = fallbacks.mark(PARTITION).unwrap();
        fallbacks.note_lacking(PARTITION, mark, [1, 2].map(NodeNumber).into());
        assert_eq!((fallbacks.owed(), fallbacks.owed_to(NodeNumber(1))), (2, 1));
        assert_eq!(fallbacks.owed_to(NodeNumber(3)), 0);
        write(&fallbacks, &engine, 8);
        assert_eq!((fallbacks.owed(), fallbacks.owed_to(NodeNumber(1))), (1, 0));
        // What a drain found of a copy before says nothing of this one.
        let mark = FallbackMark { generation: CopyNumber(1), ..fallbacks.mark(PARTITION).unwrap() };
        fallbacks.note_lacking(PARTITION, mark, [1, 2].map(NodeNumber).into());
        assert_eq!(fallbacks.owed(), 1);
    }

    #[test]
    fn a_start_finds_the_copies_and_their_bytes_and_ends_what_was_being_dropped() {
        let disk = MemoryDisk::new();
        let first = engine(&disk);
        let fallbacks = load(&first);
        write(&fallbacks, &first, 7);
        let again = load(&first);
        assert_eq!((again.all(), again.bytes()), (fallbacks.all(), fallbacks.bytes()));
        let state = again.get(PARTITION).unwrap();
        store(&first, NAME_PREFIX, PARTITION, &state, true).unwrap();
        let ended = load(&first);
        assert_eq!((ended.all().len(), ended.bytes()), (0, 0));
        assert_eq!(first.scan(&[0], &[2], 9, 9_999).unwrap().items.len(), 0);
    }

    #[test]
    fn a_record_that_would_not_fit_is_refused_and_takes_no_room() {
        let engine = engine(&MemoryDisk::new());
        let fallbacks = load(&engine);
        let held = fallbacks.write(PARTITION, || Ok(CopyNumber(7)), &engine).unwrap();
        fallbacks.reserve(&held, 600).unwrap();
        let full = fallbacks.reserve(&held, 401).unwrap_err();
        assert_eq!((full.kind(), fallbacks.bytes()), (ErrorKind::StorageFull, 600));
        fallbacks.release(&held, 600);
        fallbacks.reserve(&held, 1_000).unwrap();
    }
}
