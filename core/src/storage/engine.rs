//! What every engine promises: atomic batches that are in the operating system when `apply` returns, ordered scans,
//! and a number per batch (`Lsn`) by which a caller waits until it is on disk.
//! Calls block at most for the disk; nothing here is async but the wait for durability.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::base::env::BoxFuture;
use crate::base::error::{Error, Result};
use crate::base::settings::Durability;

/// Most bytes of a key in an engine: what the tables can hold. Keys of the store are far shorter.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// Most bytes of one batch, keys and values together. A record fits many times over; a bulk load goes to `ingest`.
pub const BATCH_BYTES_MAX: usize = 256 << 20;

/// The number of a batch in the order of the log. Rises by one with each; 0 is before the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One change of one key: `None` deletes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The whole key, space byte first.
    pub key: Bytes,
    /// The new value, or nothing.
    pub value: Option<Bytes>,
}

/// Changes that are applied together or not at all, in order: a later one of the same key wins.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Batch {
    operations: SmallVec<[Operation; 2]>,
}

impl Batch {
    /// A batch without changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: store this value under this key.
    pub fn put(&mut self, key: Bytes, value: Bytes) {
        self.operations.push(Operation { key, value: Some(value) });
    }

    /// Adds: remove this key. Removing what is not there is no error.
    pub fn delete(&mut self, key: Bytes) {
        self.operations.push(Operation { key, value: None });
    }

    /// The changes in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Refuses what no engine can hold.
    pub(super) fn check(&self) -> Result<()> {
        let mut bytes = 0_usize;
        for operation in &self.operations {
            if operation.key.is_empty() || operation.key.len() > KEY_BYTES_MAX {
                let length = operation.key.len();
                return Err(Error::invalid(format!(
                    "an engine key of {length} bytes is not between 1 and {KEY_BYTES_MAX}"
                )));
            }
            if operation.key.first() == Some(&super::key::ENGINE) {
                return Err(Error::invalid("the engine's own key space is not written from outside"));
            }
            bytes += operation.key.len() + operation.value.as_ref().map_or(0, Bytes::len);
        }
        if bytes > BATCH_BYTES_MAX {
            return Err(Error::invalid(format!("a batch of {bytes} bytes exceeds {BATCH_BYTES_MAX}")));
        }
        Ok(())
    }
}

/// What is known about a key without touching the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cached {
    /// The value, or the knowledge that there is none.
    Hit(Option<Bytes>),
    /// Only `get` can tell.
    Unknown,
}

/// A part of a scan.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ScanPage {
    /// Keys and values in key order.
    pub items: Vec<(Bytes, Bytes)>,
    /// Whether the range may hold more after the last item.
    pub more: bool,
}

/// What an opened engine knows about the run before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The last run closed in order, or there was none: everything that it applied is here.
    pub clean: bool,
    /// The operating system has run without a break since the last run, so what that run applied is here even though it
    /// was killed. False where the boot cannot be told, or an fsync had failed.
    pub same_boot: bool,
}

impl Opening {
    /// Whether batches that were applied, and may have been seen by others, can be missing. Copies then take new numbers.
    #[must_use]
    pub fn may_have_forgotten(self) -> bool {
        !(self.clean || self.same_boot)
    }
}

/// Sizes and counts, for status and metrics. Approximate while writes go on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EngineStats {
    /// The last batch applied.
    pub applied: Lsn,
    /// The last batch known to be on disk.
    pub synced: Lsn,
    /// Keys and values in memory tables, in bytes.
    pub memory_bytes: u64,
    /// Log files, in bytes on disk.
    pub log_bytes: u64,
    /// Tables, in bytes on disk.
    pub table_bytes: u64,
    /// Table files.
    pub tables: u64,
    /// Sorted runs that a read may have to look through before the levels.
    pub runs: u64,
    /// Sealed memory tables that wait to be flushed.
    pub sealed: u64,
    /// Flushes and compactions that failed since the start.
    pub background_failures: u64,
    /// Bytes of a torn log tail that were cut when opening.
    pub torn_bytes: u64,
}

/// An ordered store of bytes. All methods may be called from any thread.
pub trait Engine: Send + Sync + fmt::Debug {
    /// The value, if that is known without touching the disk.
    fn get_cached(&self, key: &[u8]) -> Cached;

    /// The value of a key; may read the disk.
    ///
    /// # Errors
    /// `Corruption` when the bytes on disk are damaged, `Io`, `Closed`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Applies a batch: atomic, visible and in the operating system on return, so that it survives the process.
    /// An empty batch is a barrier: its number is past everything applied before.
    ///
    /// # Errors
    /// `StorageFull` (nothing was applied; reads go on), `Io` after a failed write or fsync, `InvalidArgument` for keys
    /// and sizes out of bounds, `Overloaded` when the disk does not keep up, `Closed`.
    fn apply(&self, batch: Batch) -> Result<Lsn>;

    /// Resolves once everything up to this batch is on disk, whatever the durability; many waiters share one fdatasync.
    /// Ready at its first poll where that is so already.
    ///
    /// # Errors
    /// `Io` when an fdatasync failed: then no later batch is ever reported as synced.
    fn synced(&self, lsn: Lsn) -> BoxFuture<'_, Result<()>>;

    /// When writes are acknowledged.
    fn durability(&self) -> Durability;

    /// Resolves once a batch may be acknowledged: `synced` under durability `sync`, at once under `interval`.
    ///
    /// # Errors
    /// As `synced`.
    fn acknowledged(&self, lsn: Lsn) -> BoxFuture<'_, Result<()>> {
        match self.durability() {
            Durability::Sync => self.synced(lsn),
            Durability::Interval => Box::pin(std::future::ready(Ok(()))),
        }
    }

    /// The items from `from` up to and without `to`, in key order: at most `items_max`, and no more once `bytes_max` is
    /// reached, but at least one if there is one. Each item is current; the page as a whole is no snapshot.
    ///
    /// # Errors
    /// As `get`.
    fn scan(&self, from: &[u8], to: &[u8], items_max: usize, bytes_max: usize) -> Result<ScanPage>;

    /// Loads many items, sorted by key and without repetition, past the log; on disk when it returns. Whoever writes the
    /// same keys meanwhile may win or lose. A crash in the middle leaves a prefix of them.
    ///
    /// # Errors
    /// `InvalidArgument` for items out of order (nothing is loaded), and as `apply`.
    fn ingest(&self, items: &mut dyn Iterator<Item = (Bytes, Bytes)>) -> Result<()>;

    /// Removes everything from `from` up to and without `to` with one small write; space is reclaimed in the background.
    ///
    /// # Errors
    /// As `apply`.
    fn drop_range(&self, from: &[u8], to: &[u8]) -> Result<()>;

    /// Makes an independent copy that opens as an engine of its own, in a directory that must not exist yet.
    /// It holds at least everything that was applied before the call.
    ///
    /// # Errors
    /// `InvalidArgument` if the directory exists or the engine keeps nothing on disk, `Io`, `StorageFull`.
    fn checkpoint(&self, directory: &Path) -> Result<()>;

    /// Sizes and counts.
    fn stats(&self) -> EngineStats;

    /// Moves everything that is in memory into tables, and returns when that is on disk.
    ///
    /// # Errors
    /// `StorageFull`, `Io`, `Closed`.
    fn flush(&self) -> Result<()>;

    /// What is known about the run before this one.
    fn opening(&self) -> Opening;

    /// Says that what the opening calls for has been done and is on disk. Until then every later start is told that it
    /// may have forgotten, too: a run that ends before it has renewed its copies must not hide that they need it.
    ///
    /// # Errors
    /// `Io`, `Closed`.
    fn accept_opening(&self) -> Result<()>;

    /// Syncs the log, stops the threads, and marks the end as clean; later calls but `close` fail as `Closed`.
    /// Idempotent. Dropping an engine without it is a crash of the process.
    ///
    /// # Errors
    /// `Io`, `StorageFull`: everything acknowledged is safe, but the next start will count as unclean.
    fn close(&self) -> Result<()>;
}
