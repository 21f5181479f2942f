//! The copies that this node holds: per partition a generation, under which its records are keyed, and an actor number,
//! under which it mints. A copy starts with the first write and its numbers are stored in the same batch.

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::RwLock;

use crate::base::error::{Error, Result};
use crate::base::ids::{CopyNumber, PartitionId};
use crate::storage::engine::{Batch, Engine};
use crate::storage::key::{meta_bounds, meta_key};

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
        let bounds = meta_bounds(NAME_PREFIX);
        let mut from = bounds.from;
        loop {
            let page = engine.scan(&from, &bounds.to, 1_024, 1 << 20)?;
            for (key, value) in &page.items {
                let (partition, state) = decode(key, value)?;
                let slot = copies.slots.get(usize::from(partition.0)).ok_or_else(|| {
                    Error::corrupt(format!("a copy of partition {partition} among {partitions} partitions"))
                })?;
                *slot.write() = Some(state);
            }
            match page.items.last() {
                Some((last, _)) if page.more => from = crate::storage::key::after(last),
                _ => return Ok(copies),
            }
        }
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
        let slot = self.slots.get(usize::from(partition.0)).ok_or_else(|| {
            Error::new(crate::base::error::ErrorKind::Internal, format!("no partition {partition}"))
        })?;
        let mut slot = slot.write();
        if let Some(state) = *slot {
            return Ok(state);
        }
        let number = number()?;
        let state = CopyState { generation: number, actor: number, recovering: false };
        let mut batch = Batch::new();
        let (key, value) = encode(partition, &state);
        batch.put(key, value);
        // Applied before the first record of the copy: a record never lies under a generation that nobody knows.
        engine.apply(batch)?;
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
        let mut batch = Batch::new();
        let (key, value) = encode(partition, &state);
        batch.put(key, value);
        engine.apply(batch)?;
        *slot = Some(state);
        Ok(())
    }
}

fn encode(partition: PartitionId, state: &CopyState) -> (Bytes, Bytes) {
    let mut value = BytesMut::with_capacity(18);
    value.put_u8(VERSION);
    value.put_u8(u8::from(state.recovering));
    value.put_u64(state.generation.0);
    value.put_u64(state.actor.0);
    (meta_key(&format!("{NAME_PREFIX}{:05}", partition.0)), value.freeze())
}

fn decode(key: &Bytes, value: &Bytes) -> Result<(PartitionId, CopyState)> {
    let fault = || Error::corrupt(format!("the copy entry {key:?} is damaged"));
    let name = key.get(1 + NAME_PREFIX.len()..).and_then(|digits| std::str::from_utf8(digits).ok());
    let partition = name.and_then(|digits| digits.parse().ok()).ok_or_else(fault)?;
    let bytes: &[u8; 18] = value.first_chunk().ok_or_else(fault)?;
    let [version, recovering, g0, g1, g2, g3, g4, g5, g6, g7, a0, a1, a2, a3, a4, a5, a6, a7] = *bytes;
    if value.len() != 18 || version != VERSION || recovering > 1 {
        return Err(fault());
    }
    let state = CopyState {
        generation: CopyNumber(u64::from_be_bytes([g0, g1, g2, g3, g4, g5, g6, g7])),
        actor: CopyNumber(u64::from_be_bytes([a0, a1, a2, a3, a4, a5, a6, a7])),
        recovering: recovering == 1,
    };
    Ok((PartitionId(partition), state))
}
