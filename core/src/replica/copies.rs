//! The copies that this node holds: per partition a generation, under which its records are keyed, and an actor number,
//! under which it mints. A copy starts with the first write and its numbers are stored in the same batch.

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::RwLock;

use crate::base::error::{Error, Result};
use crate::base::ids::{CopyNumber, NodeNumber, PartitionId};
use crate::ring::{Replicas, Topology};
use crate::storage::engine::{Batch, Engine};
use crate::storage::key::{meta_bounds, meta_key};

/// As what a node holds a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Holder {
    /// As one of its owners.
    Owner,
    /// In the place of owners that are away.
    Fallback,
}

impl Holder {
    /// As what a node holds a partition of a bucket with these replicas: as an owner, else, where the request is sloppy,
    /// as a fallback if it is within the preference list.
    #[must_use]
    pub fn of(
        node: NodeNumber,
        topology: &Topology,
        partition: PartitionId,
        replicas: &Replicas,
        sloppy: bool,
    ) -> Option<Self> {
        if topology.owners(partition, replicas).contains(&node) {
            return Some(Self::Owner);
        }
        (sloppy && topology.fallbacks(partition, replicas).contains(&node)).then_some(Self::Fallback)
    }
}

/// One of a node's copies. A node may hold a partition twice: as an owner for one bucket, as a fallback for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CopyId {
    /// The partition.
    pub partition: PartitionId,
    /// As what it is held.
    pub holder: Holder,
}

impl CopyId {
    /// The copy that stands in for owners.
    #[must_use]
    pub fn fallback(partition: PartitionId) -> Self {
        Self { partition, holder: Holder::Fallback }
    }
}

impl From<PartitionId> for CopyId {
    /// The copy of an owner.
    fn from(partition: PartitionId) -> Self {
        Self { partition, holder: Holder::Owner }
    }
}

/// One copy's numbers and whether it counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyState {
    /// The copy's first number: its records are keyed by it.
    pub generation: CopyNumber,
    /// The number that it mints under: renewed after a start that may have forgotten something.
    pub actor: CopyNumber,
    /// It may have forgotten something and counts in no read quorum until it has compared with enough other owners.
    pub recovering: bool,
}

const NAME_PREFIX: &str = "copy/";
const VERSION: u8 = 1;
const FLAG_RECOVERING: u8 = 1;
/// The copy is being dropped: what is left of it goes with the next start.
const FLAG_ENDING: u8 = 2;

/// A copy's entry in the engine.
pub(super) struct Entry {
    pub(super) partition: PartitionId,
    pub(super) state: CopyState,
    pub(super) ending: bool,
}

/// The copies of a node, by partition.
#[derive(Debug)]
pub struct Copies {
    slots: Vec<RwLock<Option<CopyState>>>,
}

impl Copies {
    /// Loads what an engine holds.
    ///
    /// # Errors
    /// `Corruption` for an entry that this version cannot have written, and what the engine reports.
    pub fn load(engine: &dyn Engine, partitions: u32) -> Result<Self> {
        let copies = Self { slots: (0..partitions).map(|_| RwLock::new(None)).collect() };
        for Entry { partition, state, ending } in entries(engine, NAME_PREFIX)? {
            if ending {
                return Err(Error::corrupt(format!(
                    "the copy of partition {partition} ends; only a fallback's does"
                )));
            }
            *copies.slot(partition)?.write() = Some(state);
        }
        Ok(copies)
    }

    fn slot(&self, partition: PartitionId) -> Result<&RwLock<Option<CopyState>>> {
        self.slots.get(usize::from(partition.0)).ok_or_else(|| stray(partition, self.slots.len()))
    }

    /// The copy of a partition, if there is one.
    #[must_use]
    pub fn get(&self, partition: PartitionId) -> Option<CopyState> {
        self.slots.get(usize::from(partition.0)).and_then(|slot| *slot.read())
    }

    /// The copies that there are, by partition.
    #[must_use]
    pub fn all(&self) -> Vec<(PartitionId, CopyState)> {
        (0..=u16::MAX)
            .zip(&self.slots)
            .filter_map(|(number, slot)| slot.read().map(|state| (PartitionId(number), state)))
            .collect()
    }

    /// The copy of a partition; if there is none yet, starts one, adding it to `batch`. The caller applies the batch
    /// and then calls `started`, all under the lock of one stripe; two stripes that race agree by this lock.
    pub(super) fn get_or_start(
        &self,
        partition: PartitionId,
        number: impl FnOnce() -> Result<CopyNumber, super::mint::Refusal>,
        engine: &dyn Engine,
    ) -> Result<CopyState, super::mint::Refusal> {
        if let Some(state) = self.get(partition) {
            return Ok(state);
        }
        let mut slot = self.slot(partition)?.write();
        if let Some(state) = *slot {
            return Ok(state);
        }
        let number = number()?;
        let state = CopyState { generation: number, actor: number, recovering: false };
        // Applied before the first record of the copy: a record never lies under a generation that nobody knows.
        store(engine, NAME_PREFIX, partition, &state, false)?;
        *slot = Some(state);
        Ok(state)
    }

    /// Replaces the state of a copy, in memory and in the engine.
    ///
    /// # Errors
    /// What the engine reports; the state is then unchanged.
    pub fn set(&self, partition: PartitionId, state: CopyState, engine: &dyn Engine) -> Result<()> {
        let Some(slot) = self.slots.get(usize::from(partition.0)) else { return Ok(()) };
        let mut slot = slot.write();
        store(engine, NAME_PREFIX, partition, &state, false)?;
        *slot = Some(state);
        Ok(())
    }
}

pub(super) fn stray(partition: PartitionId, partitions: usize) -> Error {
    Error::corrupt(format!("a copy of partition {partition} among {partitions} partitions"))
}

/// The entries of copies under a name.
pub(super) fn entries(engine: &dyn Engine, prefix: &str) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    let bounds = meta_bounds(prefix);
    let mut from = bounds.from;
    loop {
        let page = engine.scan(&from, &bounds.to, 1_024, 1 << 20)?;
        for (key, value) in &page.items {
            found.push(decode(prefix, key, value)?);
        }
        match page.items.last() {
            Some((last, _)) if page.more => from = crate::storage::key::after(last),
            _ => return Ok(found),
        }
    }
}

/// Stores the entry of a copy.
pub(super) fn store(
    engine: &dyn Engine,
    prefix: &str,
    partition: PartitionId,
    state: &CopyState,
    ending: bool,
) -> Result<()> {
    let mut flags = if state.recovering { FLAG_RECOVERING } else { 0 };
    flags |= if ending { FLAG_ENDING } else { 0 };
    let mut value = BytesMut::with_capacity(18);
    value.put_u8(VERSION);
    value.put_u8(flags);
    value.put_u64(state.generation.0);
    value.put_u64(state.actor.0);
    let mut batch = Batch::new();
    batch.put(name(prefix, partition), value.freeze());
    engine.apply(batch).map(drop)
}

/// The engine key of a copy's entry.
pub(super) fn name(prefix: &str, partition: PartitionId) -> Bytes {
    meta_key(&format!("{prefix}{:05}", partition.0))
}

fn decode(prefix: &str, key: &Bytes, value: &Bytes) -> Result<Entry> {
    let fault = || Error::corrupt(format!("the copy entry {key:?} is damaged"));
    let digits = key.get(1 + prefix.len()..).and_then(|digits| std::str::from_utf8(digits).ok());
    let partition = digits.and_then(|digits| digits.parse().ok()).ok_or_else(fault)?;
    let bytes: &[u8; 18] = value.first_chunk().ok_or_else(fault)?;
    let [version, flags, g0, g1, g2, g3, g4, g5, g6, g7, a0, a1, a2, a3, a4, a5, a6, a7] = *bytes;
    if value.len() != 18 || version != VERSION || flags & !(FLAG_RECOVERING | FLAG_ENDING) != 0 {
        return Err(fault());
    }
    let state = CopyState {
        generation: CopyNumber(u64::from_be_bytes([g0, g1, g2, g3, g4, g5, g6, g7])),
        actor: CopyNumber(u64::from_be_bytes([a0, a1, a2, a3, a4, a5, a6, a7])),
        recovering: flags & FLAG_RECOVERING != 0,
    };
    Ok(Entry { partition: PartitionId(partition), state, ending: flags & FLAG_ENDING != 0 })
}
