//! What the calls and the threads of an engine share: log, memory tables, tables, and the state between them.
//! Locks are taken in this order: progress, stack, shards of a table, log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use super::DiskSettings;
use super::directory::Directory;
use super::dropped::Dropped;
use super::entries::Entries;
use super::log::Log;
use super::scan;
use super::stack::Stack;
use super::table::MemoryTable;
use super::tables::Tables;
use crate::base::error::{Error, ErrorKind, Result};
use crate::storage::engine::{Batch, Cached, EngineStats, KEY_BYTES_MAX, Lsn, Opening, ScanPage};
use crate::storage::key::{Bounds, ENGINE};

/// Sealed memory tables that may wait before writers do. One is being flushed, one waits, one is slack.
const SEALED_MAX: usize = 3;
/// The log may take this many times the bytes of a memory table before that is sealed: overwriting grows the log alone.
const LOG_FACTOR: u64 = 2;
/// How long a writer waits for a flush. A disk that is slower than this for one memory table is not keeping up.
const STALL: Duration = Duration::from_secs(10);
/// Log files that a start may leave behind; many short runs would make each start slower.
const SEGMENTS_MAX: usize = 8;
/// Keys that are put in order at a time after recovery.
const ORDER: usize = 1_024;
/// Bytes that `ingest` puts into one run.
const INGEST_BYTES: usize = 64 << 20;

/// Whether an engine takes calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Status {
    Open = 0,
    Closed = 1,
    Failed = 2,
}

/// What threads and callers tell each other.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) stop: bool,
    pub(super) merge_failed: bool,
    merge_requested: bool,
    /// Why the last flush failed, until one succeeds.
    failure: Option<Error>,
    failures: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: DiskSettings,
    pub(super) log: Log,
    pub(super) tables: Tables,
    pub(super) dropped: Arc<Dropped>,
    pub(super) opening: Opening,
    /// Held through a flush, so that runs are added in the order of their batches.
    pub(super) flushing: Mutex<()>,
    stack: RwLock<Stack>,
    sealed: AtomicUsize,
    flushed: AtomicU64,
    progress: Mutex<Progress>,
    changed: Condvar,
    status: AtomicU8,
    torn_bytes: u64,
    /// Dropped last: until the tables are gone, which remove files then, nobody else may open them.
    directory: Mutex<Option<Directory>>,
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "the parts of an engine, handed over once")]
    pub(super) fn new(
        settings: DiskSettings,
        directory: Directory,
        log: Log,
        stack: Stack,
        tables: Tables,
        dropped: Arc<Dropped>,
        opening: Opening,
        torn_bytes: u64,
    ) -> Self {
        Self {
            settings,
            log,
            dropped,
            opening,
            flushing: Mutex::new(()),
            sealed: AtomicUsize::new(stack.sealed.len()),
            stack: RwLock::new(stack),
            flushed: AtomicU64::new(tables.persisted().0),
            tables,
            progress: Mutex::default(),
            changed: Condvar::new(),
            status: AtomicU8::new(Status::Open as u8),
            directory: Mutex::new(Some(directory)),
            torn_bytes,
        }
    }

    /// Seals what many short runs have left in the log, so that the next start is quick.
    pub(super) fn flush_many_segments(&self) {
        if self.log.size().1 > SEGMENTS_MAX {
            self.seal_now(&mut self.stack.write());
        }
    }

    /// Puts the keys in order that recovery has put in unordered, bit by bit, as readers wait for each.
    pub(super) fn order_replayed(&self) {
        let active = self.stack.read().active.clone();
        while active.order_some(ORDER) && !self.progress.lock().stop {}
    }

    fn check_open(&self) -> Result<()> {
        match self.status.load(Ordering::Acquire) {
            0 => Ok(()),
            1 => Err(Error::new(ErrorKind::Closed, "the engine is closed")),
            _ => Err(Error::new(ErrorKind::Internal, "a thread of the engine panicked")),
        }
    }

    pub(super) fn set_status(&self, status: Status) {
        self.status.store(status as u8, Ordering::Release);
    }

    pub(super) fn get_cached(&self, key: &[u8]) -> Cached {
        if self.check_open().is_err() {
            return Cached::Unknown;
        }
        if self.dropped.covers(key) {
            return Cached::Hit(None);
        }
        match self.stack.read().get(key) {
            Some(value) => Cached::Hit(value),
            None if self.tables.view().tables == 0 => Cached::Hit(None),
            None => Cached::Unknown,
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.check_open()?;
        if self.dropped.covers(key) {
            return Ok(None);
        }
        // Memory first: what moves down meanwhile is in the view that is taken afterwards.
        if let Some(value) = self.stack.read().get(key) {
            return Ok(value);
        }
        self.tables.view().get(key)
    }

    pub(super) fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        items_max: usize,
        bytes_max: usize,
    ) -> Result<ScanPage> {
        self.check_open()?;
        let to = to.min(&[ENGINE]);
        if from >= to || items_max == 0 {
            return Ok(ScanPage { items: Vec::new(), more: from < to });
        }
        let memory: Vec<Arc<MemoryTable>> = self.stack.read().newest_first().cloned().collect();
        scan::page(memory, &self.tables.view(), &self.dropped, (from, to), (items_max, bytes_max))
    }

    pub(super) fn apply(&self, batch: &Batch) -> Result<Lsn> {
        self.admit()?;
        let operations = batch.operations();
        let (lsn, full) = {
            let stack = self.stack.read();
            self.check_open()?;
            if let Some(operation) = operations.iter().find(|operation| self.dropped.covers(&operation.key)) {
                let key = &operation.key;
                return Err(Error::invalid(format!("key {key:02x?} lies in a range that was dropped")));
            }
            let shards = stack.active.lock(operations);
            // Inside the shards' locks, so that log and memory agree on the order of writes to one key.
            let (lsn, log_bytes) = self.log.append(batch)?;
            shards.insert(lsn, operations);
            (lsn, self.is_full(&stack, log_bytes))
        };
        if full {
            let mut stack = self.stack.write();
            if self.is_full(&stack, 0) || self.log.current_bytes() > self.log_bytes_max() {
                self.seal_now(&mut stack);
            }
            drop(stack);
            self.notify(|_| {});
        }
        Ok(lsn)
    }

    fn log_bytes_max(&self) -> u64 {
        self.settings.memory_table_bytes.saturating_mul(LOG_FACTOR)
    }

    fn is_full(&self, stack: &Stack, log_bytes: u64) -> bool {
        stack.active.bytes() > self.settings.memory_table_bytes || log_bytes > self.log_bytes_max()
    }

    /// Ends the active memory table and the log segment behind it. Nobody applies meanwhile.
    fn seal_now(&self, stack: &mut Stack) {
        if stack.active.last() == Lsn(0) {
            return;
        }
        stack.active.cover(self.log.applied());
        self.log.rotate();
        stack.seal();
        self.sealed.store(stack.sealed.len(), Ordering::Release);
    }

    /// Lets a writer in, or makes it wait while flushes are behind.
    fn admit(&self) -> Result<()> {
        if self.sealed.load(Ordering::Acquire) < SEALED_MAX {
            return Ok(());
        }
        let mut progress = self.progress.lock();
        while self.sealed.load(Ordering::Acquire) >= SEALED_MAX {
            if let Some(error) = &progress.failure {
                return Err(error.clone());
            }
            self.check_open()?;
            if self.changed.wait_for(&mut progress, STALL).timed_out() {
                let message = format!("the disk does not keep up: no memory table was flushed for {STALL:?}");
                return Err(Error::new(ErrorKind::Overloaded, message));
            }
        }
        Ok(())
    }

    pub(super) fn drop_range(&self, from: &[u8], to: &[u8]) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        if from.len() + to.len() + 8 > KEY_BYTES_MAX || *to > [ENGINE][..] {
            return Err(Error::invalid("the bounds of the range to drop are too long, or past the last key"));
        }
        self.admit()?;
        let bounds = Bounds { from: Bytes::copy_from_slice(from), to: Bytes::copy_from_slice(to) };
        let mut batch = Batch::new();
        batch.put(Dropped::key(&bounds), Bytes::new());
        {
            let stack = self.stack.write();
            self.check_open()?;
            let (lsn, _) = self.log.append(&batch)?;
            stack.active.lock(batch.operations()).insert(lsn, batch.operations());
            stack.active.remove_range(from, to);
            self.dropped.add(bounds, lsn);
        }
        self.request_merge();
        Ok(())
    }

    pub(super) fn ingest(&self, items: &mut dyn Iterator<Item = (Bytes, Bytes)>) -> Result<()> {
        let mut last: Option<Bytes> = None;
        let mut items = items.peekable();
        while items.peek().is_some() {
            self.admit()?;
            let _in_order = self.flushing.lock();
            let lsn = {
                let mut stack = self.stack.write();
                self.check_open()?;
                self.seal_now(&mut stack);
                let (lsn, _) = self.log.append(&Batch::new())?;
                stack.active.cover(lsn);
                lsn
            };
            while self.sealed.load(Ordering::Acquire) > 0 {
                self.flush_oldest()?;
            }
            let mut bytes = 0;
            let mut run = std::iter::from_fn(|| {
                if bytes >= INGEST_BYTES {
                    return None;
                }
                let (key, value) = items.next()?;
                bytes += key.len() + value.len();
                let ordered = last.as_ref().is_none_or(|last| *last < key);
                last = Some(key.clone());
                Some(match ordered {
                    _ if key.is_empty() || key.len() > KEY_BYTES_MAX || key.first() == Some(&ENGINE) => {
                        Err(Error::invalid(format!("key {key:02x?} cannot be ingested")))
                    }
                    false => Err(Error::invalid(format!("items are out of order at key {key:02x?}"))),
                    true => Ok((key, Some(value))),
                })
            });
            self.tables.add(lsn, &mut run)?;
            self.request_merge();
        }
        Ok(())
    }

    pub(super) fn flush(&self) -> Result<()> {
        self.check_open()?;
        let target = {
            let mut stack = self.stack.write();
            self.seal_now(&mut stack);
            stack.sealed.back().map(|table| table.last())
        };
        let Some(target) = target else { return self.sync_log() };
        let mut progress = self.progress.lock();
        progress.failure = None;
        self.changed.notify_all();
        while self.flushed() < target {
            if let Some(error) = &progress.failure {
                return Err(error.clone());
            }
            self.check_open()?;
            self.changed.wait(&mut progress);
        }
        Ok(())
    }

    /// The last batch that tables have.
    pub(super) fn flushed(&self) -> Lsn {
        Lsn(self.flushed.load(Ordering::Acquire))
    }

    /// Moves the oldest sealed memory table into tables. The caller holds `flushing`.
    pub(super) fn flush_oldest(&self) -> Result<()> {
        let Some(table) = self.stack.read().sealed.front().cloned() else { return Ok(()) };
        let last = table.last();
        self.tables.add(last, &mut Entries::of(&table, &self.dropped))?;
        let flushed = {
            let mut stack = self.stack.write();
            let flushed = stack.sealed.pop_front();
            self.sealed.store(stack.sealed.len(), Ordering::Release);
            flushed
        };
        self.flushed.fetch_max(last.0, Ordering::AcqRel);
        self.dropped.flushed(last);
        self.log.release(last);
        self.notify(|progress| {
            progress.failure = None;
            progress.merge_requested = true;
        });
        // Freed here, not under a lock: a hundred thousand entries take a while.
        drop((flushed, table));
        Ok(())
    }

    /// Brings the log to disk. After a failure not even this boot can be trusted to remember.
    pub(super) fn sync_log(&self) -> Result<()> {
        let known = self.log.failure().is_some();
        self.log.sync().inspect_err(|_| {
            if !known && let Some(directory) = &*self.directory.lock() {
                let _best_effort = directory.mark_unknown();
            }
        })
    }

    pub(super) fn stats(&self) -> EngineStats {
        let (memory_bytes, sealed) = {
            let stack = self.stack.read();
            (stack.bytes(), stack.sealed.len() as u64)
        };
        let view = self.tables.view();
        EngineStats {
            applied: self.log.applied(),
            synced: self.log.synced(),
            memory_bytes,
            log_bytes: self.log.size().0,
            table_bytes: view.bytes,
            tables: view.tables as u64,
            runs: view.runs as u64,
            sealed,
            background_failures: self.progress.lock().failures,
            torn_bytes: self.torn_bytes,
        }
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock()
    }

    fn notify(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock());
        self.changed.notify_all();
    }

    pub(super) fn record_failure(&self, error: Option<Error>) {
        self.notify(|progress| {
            progress.failures += 1;
            progress.failure = error;
        });
    }

    pub(super) fn set_merge_failed(&self, failed: bool) {
        self.notify(|progress| {
            progress.merge_failed = failed;
            progress.failures += u64::from(failed);
            progress.merge_requested |= failed;
        });
    }

    pub(super) fn request_merge(&self) {
        self.notify(|progress| progress.merge_requested = true);
    }

    /// Waits a while, or until the engine stops.
    pub(super) fn rest(&self, duration: Duration) {
        let mut progress = self.progress.lock();
        if !progress.stop {
            self.changed.wait_for(&mut progress, duration);
        }
    }

    /// Waits for a sealed memory table; false when the engine stops.
    pub(super) fn wait_for_sealed(&self) -> bool {
        let mut progress = self.progress.lock();
        while !progress.stop && self.sealed.load(Ordering::Acquire) == 0 {
            self.changed.wait(&mut progress);
        }
        !progress.stop
    }

    /// Waits until tables may need to be merged; false when the engine stops.
    pub(super) fn wait_for_merge_request(&self) -> bool {
        let mut progress = self.progress.lock();
        while !progress.stop && !progress.merge_requested {
            self.changed.wait(&mut progress);
        }
        progress.merge_requested = false;
        !progress.stop
    }

    /// Turns away later calls; false if that was done before.
    pub(super) fn begin_close(&self) -> bool {
        // Taken alone: every call that got in has ended when this returns.
        let _alone = self.stack.write();
        self.status.swap(Status::Closed as u8, Ordering::AcqRel) != Status::Closed as u8
    }

    pub(super) fn stop(&self) {
        self.log.stop();
        self.notify(|progress| progress.stop = true);
    }

    /// From now on a later start is judged by how this run ends.
    pub(super) fn accept_opening(&self) -> Result<()> {
        match &mut *self.directory.lock() {
            Some(directory) => directory.accept(&self.settings.boot),
            None => Err(Error::new(ErrorKind::Closed, "the engine is closed")),
        }
    }

    /// Brings the log to disk, marks the end as clean and gives the directory back.
    pub(super) fn finish_close(&self) -> Result<()> {
        // Files of merged tables go now, while the lock is ours: later ones may have the same names.
        self.tables.release();
        let synced = self.sync_log();
        let directory = self.directory.lock().take();
        synced?;
        directory.map_or(Ok(()), |directory| directory.mark_clean(self.log.applied()))
    }

    /// Ends every wait, as the end of the process would. The directory is given back with the last use of it.
    pub(super) fn abandon(&self) {
        self.log.abandon(&Error::new(ErrorKind::Closed, "the engine is closed"));
    }
}
