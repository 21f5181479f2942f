//! The replica: the engine, the copies, the clock, and a lock per stripe of keys under which a record is read, changed
//! and written. Every call ends without an await; waiting for the disk to confirm is the caller's.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::copies::{Copies, CopyState};
use super::mint::{Mint, Minted, Refusal, next_record};
use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::hlc::Hlc;
use crate::base::ids::{Actor, BucketId, CopyNumber, Dot, NodeNumber, PartitionId, Time};
#[cfg(feature = "planted")]
use crate::base::planted::{self, Bug};
use crate::base::settings::Settings;
use crate::causality::encoding::{self, decode, encode};
use crate::causality::{self, Record};
use crate::ring;
use crate::storage::engine::{Batch, Cached, Engine, Lsn};
use crate::storage::key::data_key;

/// Locks per node: enough that two of sixty-four writers seldom meet, few enough to stay in cache.
const STRIPES: usize = 256;

/// What a record may grow to, how old it may arrive, and whose clock is believed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Live siblings and bytes.
    pub record: causality::limits::Limits,
    /// Clock entries above which the oldest are cut.
    pub clock_entries_max: usize,
    /// How long ago a record that is merged may have been captured.
    pub record_life_ms: u64,
    /// How far ahead a peer's clock may be to raise this node's.
    pub clock_skew_max_ms: u64,
}

impl Limits {
    /// The limits among the settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            record: causality::limits::Limits {
                siblings_max: settings.siblings_max,
                record_bytes_max: settings.record_bytes_max as usize,
            },
            clock_entries_max: settings.clock_entries_max as usize,
            record_life_ms: settings.record_life_ms,
            clock_skew_max_ms: settings.clock_skew_max_ms,
        }
    }
}

/// What a merge left.
#[derive(Clone, Copy, Debug)]
pub struct Merged {
    /// The greatest dot among the siblings that are now stored.
    pub winner: Dot,
    /// The batch to wait for before it counts as stored.
    pub lsn: Lsn,
}

/// One node's copies.
#[derive(Debug)]
pub struct Replica {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) copies: Copies,
    env: Env,
    hlc: Arc<Hlc>,
    number: NodeNumber,
    stripes: Vec<Mutex<()>>,
    limits: Limits,
}

impl Replica {
    /// The replica over an engine; `number` is this node's in the topology.
    ///
    /// # Errors
    /// What the engine reports, and damage among its copy entries.
    pub fn open(
        engine: Arc<dyn Engine>,
        env: Env,
        hlc: Arc<Hlc>,
        number: NodeNumber,
        partitions: u32,
        limits: Limits,
    ) -> Result<Self> {
        let copies = Copies::load(engine.as_ref(), partitions)?;
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Ok(Self { engine, copies, env, hlc, number, stripes, limits })
    }

    /// This node's number.
    #[must_use]
    pub fn number(&self) -> NodeNumber {
        self.number
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// The copies.
    #[must_use]
    pub fn copies(&self) -> &Copies {
        &self.copies
    }

    /// The node's clock.
    #[must_use]
    pub fn hlc(&self) -> &Hlc {
        &self.hlc
    }

    /// The node's reading of its clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.hlc.read(self.env.unix_ms())
    }

    /// Takes the clock that a peer told, if it is believed: a slow clock does not stay behind.
    pub fn absorb(&self, heard: Time) {
        self.hlc.absorb_believable(heard, self.env.unix_ms(), self.limits.clock_skew_max_ms);
    }

    /// Whether the copy of a partition counts in read quorums. One that was never started has nothing to forget.
    #[must_use]
    pub fn counts(&self, partition: PartitionId) -> bool {
        #[cfg(feature = "planted")]
        if planted::is(Bug::ForgetfulCopyCounts) {
            return true;
        }
        self.copies.get(partition).is_none_or(|copy| !copy.recovering)
    }

    /// Whether any copy may have forgotten something.
    #[must_use]
    pub fn recovering(&self) -> bool {
        self.copies.all().iter().any(|(_, copy)| copy.recovering)
    }

    /// The stored record, encoded, if that is known without the disk; the outer none: only `read` can tell.
    #[must_use]
    pub fn read_cached(&self, partition: PartitionId, bucket: BucketId, key: &[u8]) -> Option<Option<Bytes>> {
        let Some(copy) = self.copies.get(partition) else { return Some(None) };
        match self.engine.get_cached(&data_key(partition, copy.generation, bucket, key)) {
            Cached::Hit(found) => Some(found),
            Cached::Unknown => None,
        }
    }

    /// The stored record, encoded; may read the disk.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn read(&self, partition: PartitionId, bucket: BucketId, key: &[u8]) -> Result<Option<Bytes>> {
        match self.copies.get(partition) {
            Some(copy) => self.engine.get(&data_key(partition, copy.generation, bucket, key)),
            None => Ok(None),
        }
    }

    /// Mints a version over what is stored and stores the result.
    ///
    /// # Errors
    /// `Refusal::Lease` when the clock's lease is used up; nothing was stored by any refusal.
    pub fn mint(&self, mint: &Mint) -> Result<Minted, Refusal> {
        let copy = self.copy(mint.partition)?;
        let key = data_key(mint.partition, copy.generation, mint.bucket, &mint.key);
        let _stripe = self.stripe(mint.bucket, &mint.key);
        let stored = match self.engine.get(&key)? {
            Some(bytes) => decode(&bytes)?,
            None => Record::default(),
        };
        let (now_ms, captured) = (self.env.unix_ms(), self.now());
        let tick = self.hlc.mint(now_ms, mint.floor).map_err(|needed| Refusal::Lease(needed.0))?;
        let actor = Actor { node: self.number, copy: copy.actor };
        let (record, dot) = next_record(stored, mint, actor, tick, now_ms, &self.limits)?;
        let bytes = encode(&record);
        let mut batch = Batch::new();
        batch.put(key, bytes.clone());
        let lsn = self.engine.apply(batch)?;
        Ok(Minted { dot, clock: record.clock, record: bytes, captured, lsn })
    }

    /// Merges a record that a peer sent, and says what the key's winner is now. `captured` is when the record was read by
    /// the peer, on its clock; or, of a record that this node asked for, when it asked, on its own.
    ///
    /// # Errors
    /// `Refusal::Stale` for a record that was captured too long ago, `Corruption` for bytes that are no record,
    /// `Refusal::Lease` as for `mint`, and what the engine reports. Nothing is changed by any of them.
    pub fn merge(
        &self,
        partition: PartitionId,
        bucket: BucketId,
        key: &[u8],
        bytes: &Bytes,
        captured: Time,
    ) -> Result<Merged, Refusal> {
        let _stripe = self.stripe(bucket, key);
        // Under the lock: what is removed under it later has been waited for as long as a record may be under way.
        let now = self.now();
        if now.unix_ms().saturating_sub(captured.unix_ms()) > self.limits.record_life_ms {
            return Err(Refusal::Stale { captured, now });
        }
        let copy = self.copy(partition)?;
        let engine_key = data_key(partition, copy.generation, bucket, key);
        let stored = self.engine.get(&engine_key)?;
        let merged = encoding::merge(stored.as_ref(), bytes)?;
        let mut batch = Batch::new();
        if let Some(changed) = merged.changed {
            batch.put(engine_key, changed);
        }
        // Stored before, the record may not be on disk yet: an empty batch is a barrier behind it.
        let lsn = self.engine.apply(batch)?;
        Ok(Merged { winner: merged.winner.unwrap_or_default(), lsn })
    }

    /// Gives every copy a new actor number and marks it recovering: after a start that may have forgotten something.
    /// Of the partitions that this node owns, one without a copy may have had one that is forgotten whole: it gets one.
    ///
    /// # Errors
    /// `Refusal::Lease` as for `mint`, and what the engine reports.
    pub fn renew_copies(&self, owned: impl IntoIterator<Item = PartitionId>) -> Result<(), Refusal> {
        for partition in owned {
            self.copy(partition)?;
        }
        for (partition, copy) in self.copies.all() {
            let actor = self.copy_number()?;
            self.copies.set(
                partition,
                CopyState { actor, recovering: true, ..copy },
                self.engine.as_ref(),
            )?;
        }
        Ok(())
    }

    /// Marks a copy as compared with enough other owners to count again.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn recovered(&self, partition: PartitionId) -> Result<()> {
        match self.copies.get(partition) {
            Some(copy) if copy.recovering => {
                self.copies.set(partition, CopyState { recovering: false, ..copy }, self.engine.as_ref())
            }
            _ => Ok(()),
        }
    }

    fn copy(&self, partition: PartitionId) -> Result<CopyState, Refusal> {
        self.copies.get_or_start(partition, || self.copy_number(), self.engine.as_ref())
    }

    fn copy_number(&self) -> Result<CopyNumber, Refusal> {
        let minted = self.hlc.mint(self.env.unix_ms(), Time(0));
        minted.map(|time| CopyNumber(time.0)).map_err(|needed| Refusal::Lease(needed.0))
    }

    fn stripe(&self, bucket: BucketId, key: &[u8]) -> MutexGuard<'_, ()> {
        // The low bits: the high ones choose the partition.
        let index = usize::try_from(ring::token(bucket, key) & (STRIPES as u64 - 1)).unwrap_or(0);
        self.stripes.get(index).map_or_else(|| unreachable_stripe(&self.stripes), Mutex::lock)
    }
}

/// There are `STRIPES` locks and the index is below it; the first one serves a bug without a panic.
fn unreachable_stripe(stripes: &[Mutex<()>]) -> MutexGuard<'_, ()> {
    stripes.first().expect("a replica has at least one stripe").lock()
}
