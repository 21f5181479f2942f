//! Ranges that were dropped as a whole and whose bytes still lie in tables.
//! Nothing in them is ever shown or written again; compaction discards it, and then the range is forgotten.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use super::frame::{decode_range, encode_range};
use crate::storage::engine::Lsn;
use crate::storage::key::{Bounds, ENGINE, prefix_bounds};

/// The engine keys that remember dropped ranges begin so.
const PREFIX: [u8; 2] = [ENGINE, b'd'];

/// One dropped range.
#[derive(Clone, Debug)]
pub(super) struct Drop {
    pub(super) bounds: Bounds,
    /// The batch that dropped it.
    pub(super) lsn: Lsn,
}

impl Drop {
    pub(super) fn covers(&self, key: &[u8]) -> bool {
        *self.bounds.from <= *key && *key < *self.bounds.to
    }
}

/// The dropped ranges of one engine.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    ranges: RwLock<Vec<Drop>>,
    /// Whether there are any, so that the usual case costs one load.
    any: AtomicBool,
    /// The last batch that tables have.
    flushed: AtomicU64,
}

impl Dropped {
    /// The engine key that remembers this range.
    pub(super) fn key(bounds: &Bounds) -> Bytes {
        Bytes::from([&PREFIX[..], &encode_range(&bounds.from, &bounds.to)].concat())
    }

    /// The range that an engine key remembers.
    pub(super) fn of_key(key: &[u8]) -> Option<Bounds> {
        let (from, to) = decode_range(key.strip_prefix(&PREFIX)?)?;
        Some(Bounds { from: Bytes::copy_from_slice(from), to: Bytes::copy_from_slice(to) })
    }

    /// All engine keys that remember ranges.
    pub(super) fn keys() -> Bounds {
        let bounds = prefix_bounds(&PREFIX);
        debug_assert!(bounds.from < bounds.to, "the space byte ends nothing: the second byte can grow");
        bounds
    }

    pub(super) fn add(&self, bounds: Bounds, lsn: Lsn) {
        let mut ranges = self.ranges.write();
        ranges.retain(|known| known.bounds != bounds);
        ranges.push(Drop { bounds, lsn });
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn forget(&self, bounds: &Bounds) {
        let mut ranges = self.ranges.write();
        ranges.retain(|known| known.bounds != *bounds);
        self.any.store(!ranges.is_empty(), Ordering::Release);
    }

    pub(super) fn covers(&self, key: &[u8]) -> bool {
        self.any.load(Ordering::Acquire) && self.ranges.read().iter().any(|range| range.covers(key))
    }

    /// Says that tables have everything up to this batch.
    pub(super) fn flushed(&self, lsn: Lsn) {
        self.flushed.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Those that tables remember. Only what lies in them may be discarded from tables: else the last trace of the last
    /// batch in tables could go with it, and with that the place to replay the log from.
    pub(super) fn settled(&self) -> Vec<Drop> {
        let flushed = Lsn(self.flushed.load(Ordering::Acquire));
        let mut ranges = self.list();
        ranges.retain(|range| range.lsn <= flushed);
        ranges
    }

    /// All of them.
    pub(super) fn list(&self) -> Vec<Drop> {
        if self.any.load(Ordering::Acquire) { self.ranges.read().clone() } else { Vec::new() }
    }
}
