//! An engine in memory, with a crash model: the `MemoryDisk` outlives the engine that is open on it.
//! Killing the process loses nothing that was applied; a crash of the machine loses a suffix of the batches since the
//! last sync, chosen by the caller's random number. Everything is a function of the calls made.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::engine::{Batch, Cached, Engine, EngineStats, Lsn, Opening, Operation, ScanPage};
use crate::base::env::BoxFuture;
use crate::base::error::{Detail, Error, ErrorKind, Result};
use crate::base::settings::Durability;

/// Batches that may wait for a sync. Past it the oldest count as written back, as they would be by an operating system.
const PENDING_MAX: usize = 16_384;

type Map = BTreeMap<Bytes, Bytes>;

/// What survives: a disk on which one engine at a time can be open. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What readers see.
    current: Map,
    /// What a crash of the machine cannot take.
    durable: Map,
    /// Changes that are in `current` and not in `durable`, oldest first.
    pending: VecDeque<Change>,
    applied: Lsn,
    /// Rises when an engine is killed, so that what is left of it cannot touch the disk.
    session: u64,
    held: bool,
    full: bool,
    opening: Opening,
    /// Whether every change that was ever applied is in `current`, or what is missing has been dealt with.
    complete: bool,
    clean: bool,
}

#[derive(Debug)]
enum Change {
    Batch(Batch),
    Drop(Bytes, Bytes),
}

impl Change {
    fn apply_to(&self, map: &mut Map) {
        match self {
            Self::Batch(batch) => {
                for Operation { key, value } in batch.operations() {
                    match value {
                        Some(value) => drop(map.insert(key.clone(), value.clone())),
                        None => drop(map.remove(key)),
                    }
                }
            }
            Self::Drop(from, to) => {
                let mut tail = map.split_off(from);
                map.append(&mut tail.split_off(to));
            }
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            current: Map::new(),
            durable: Map::new(),
            pending: VecDeque::new(),
            applied: Lsn(0),
            session: 0,
            held: false,
            full: false,
            opening: Opening { clean: true, same_boot: true },
            complete: true,
            clean: true,
        }
    }
}

impl State {
    fn push(&mut self, change: Change) -> Lsn {
        change.apply_to(&mut self.current);
        self.pending.push_back(change);
        if self.pending.len() > PENDING_MAX {
            self.write_back(1);
        }
        self.applied = Lsn(self.applied.0 + 1);
        self.applied
    }

    /// Makes the oldest pending changes durable.
    fn write_back(&mut self, count: usize) {
        for change in self.pending.drain(..count) {
            change.apply_to(&mut self.durable);
        }
    }

    fn sync(&mut self) {
        self.write_back(self.pending.len());
    }

    fn synced(&self) -> Lsn {
        Lsn(self.applied.0 - self.pending.len() as u64)
    }
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the process that has the disk open, as SIGKILL would: nothing that was applied is lost.
    pub fn kill(&self) {
        let mut state = self.0.lock();
        state.session += 1;
        state.held = false;
    }

    /// Takes the power away: of the batches since the last sync, a suffix is lost whose length `random` decides.
    pub fn crash(&self, random: u64) {
        self.kill();
        let mut state = self.0.lock();
        let pending = state.pending.len();
        let kept = usize::try_from(random % (pending as u64 + 1)).unwrap_or(pending);
        state.write_back(kept);
        state.applied = state.synced();
        state.pending.clear();
        state.current = state.durable.clone();
        state.complete = false;
    }

    /// Makes everything that was applied so far durable, as a background sync would.
    pub fn sync(&self) {
        self.0.lock().sync();
    }

    /// A copy of the whole disk as it is now, which nobody has open: an image that may be started in its place later.
    #[must_use]
    pub fn image(&self) -> Self {
        let state = self.0.lock();
        Self(Arc::new(Mutex::new(State {
            current: state.current.clone(),
            durable: state.current.clone(),
            applied: state.applied,
            complete: state.complete,
            clean: false,
            ..State::default()
        })))
    }

    /// Lets the disk be full, so that writes are refused, or not.
    pub fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }
}

/// The engine on a `MemoryDisk`.
#[derive(Debug)]
pub struct MemoryEngine {
    disk: MemoryDisk,
    session: u64,
    durability: Durability,
    opening: Opening,
}

impl MemoryEngine {
    /// Opens a disk.
    ///
    /// # Errors
    /// `Locked` while another engine is open on it.
    pub fn open(disk: &MemoryDisk, durability: Durability) -> Result<Self> {
        let mut state = disk.0.lock();
        if state.held {
            let pid = std::process::id();
            return Err(Error::new(ErrorKind::Locked, format!("the memory disk is open in process {pid}"))
                .with_detail(Detail::Locked { pid }));
        }
        let opening = Opening { clean: state.clean, same_boot: state.complete };
        state.session += 1;
        state.held = true;
        state.clean = false;
        state.opening = opening;
        Ok(Self { disk: disk.clone(), session: state.session, durability, opening })
    }

    fn state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.disk.0.lock();
        if state.held && state.session == self.session {
            Ok(state)
        } else {
            Err(Error::new(ErrorKind::Closed, "the memory engine is closed"))
        }
    }

    fn writable(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state()?;
        if state.full {
            return Err(Error::new(ErrorKind::StorageFull, "the memory disk is full"));
        }
        Ok(state)
    }
}

impl Engine for MemoryEngine {
    fn get_cached(&self, key: &[u8]) -> Cached {
        self.get(key).map_or(Cached::Unknown, Cached::Hit)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.state()?.current.get(key).cloned())
    }

    fn apply(&self, batch: Batch) -> Result<Lsn> {
        batch.check()?;
        Ok(self.writable()?.push(Change::Batch(batch)))
    }

    fn synced(&self, lsn: Lsn) -> BoxFuture<'_, Result<()>> {
        let result = self.state().map(|mut state| {
            if state.synced() < lsn {
                state.sync();
            }
        });
        Box::pin(std::future::ready(result))
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn scan(&self, from: &[u8], to: &[u8], items_max: usize, bytes_max: usize) -> Result<ScanPage> {
        let state = self.state()?;
        let mut page = ScanPage::default();
        if from >= to {
            return Ok(page);
        }
        let mut bytes = 0;
        for (key, value) in state.current.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
            if page.items.len() >= items_max || (bytes >= bytes_max && !page.items.is_empty()) {
                page.more = true;
                break;
            }
            bytes += key.len() + value.len();
            page.items.push((key.clone(), value.clone()));
        }
        Ok(page)
    }

    fn ingest(&self, items: &mut dyn Iterator<Item = (Bytes, Bytes)>) -> Result<()> {
        let mut batch = Batch::new();
        for (key, value) in items {
            if batch.operations().last().is_some_and(|last| last.key >= key) {
                return Err(Error::invalid(format!("items to ingest are out of order at key {key:02x?}")));
            }
            batch.put(key, value);
        }
        batch.check()?;
        let mut state = self.writable()?;
        state.push(Change::Batch(batch));
        state.sync();
        Ok(())
    }

    fn drop_range(&self, from: &[u8], to: &[u8]) -> Result<()> {
        if from < to {
            let change = Change::Drop(Bytes::copy_from_slice(from), Bytes::copy_from_slice(to));
            self.writable()?.push(change);
        }
        Ok(())
    }

    fn checkpoint(&self, _directory: &Path) -> Result<()> {
        Err(Error::invalid("an engine in memory has no checkpoints"))
    }

    fn stats(&self) -> EngineStats {
        let state = self.disk.0.lock();
        let bytes = |(key, value): (&Bytes, &Bytes)| key.len() as u64 + value.len() as u64;
        EngineStats {
            applied: state.applied,
            synced: state.synced(),
            memory_bytes: state.current.iter().map(bytes).sum(),
            ..EngineStats::default()
        }
    }

    fn flush(&self) -> Result<()> {
        self.writable()?.sync();
        Ok(())
    }

    fn opening(&self) -> Opening {
        self.opening
    }

    fn accept_opening(&self) -> Result<()> {
        self.state()?.complete = true;
        Ok(())
    }

    fn close(&self) -> Result<()> {
        // A second close finds the disk released, or held by a later engine, and leaves it alone.
        if let Ok(mut state) = self.state() {
            state.sync();
            state.clean = state.complete;
            state.held = false;
        }
        Ok(())
    }
}

impl Drop for MemoryEngine {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state() {
            state.held = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(engine: &MemoryEngine, key: &'static str, value: &'static str) -> Lsn {
        let mut batch = Batch::new();
        batch.put(Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes()));
        engine.apply(batch).unwrap()
    }

    fn open(disk: &MemoryDisk) -> MemoryEngine {
        MemoryEngine::open(disk, Durability::Sync).unwrap()
    }

    #[tokio::test]
    async fn a_crash_loses_a_suffix_of_what_was_not_synced() {
        for (random, left) in [(0, (0, 0)), (1, (1, 0)), (2, (1, 1)), (3, (0, 0))] {
            let disk = MemoryDisk::new();
            let engine = open(&disk);
            let first = put(&engine, "a", "1");
            engine.synced(first).await.unwrap();
            put(&engine, "b", "2");
            put(&engine, "c", "3");
            disk.crash(random);
            let engine = open(&disk);
            assert!(engine.opening().may_have_forgotten());
            assert_eq!(engine.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
            let there = |key: &[u8]| u64::from(engine.get(key).unwrap().is_some());
            assert_eq!((there(b"b"), there(b"c")), left);
            assert_eq!(put(&engine, "d", "4").0, 2 + there(b"b") + there(b"c"));
        }
    }

    #[test]
    fn a_crash_stays_in_doubt_until_a_run_accepts_it() {
        let disk = MemoryDisk::new();
        let _crashed = open(&disk);
        disk.crash(0);
        let _killed = open(&disk);
        disk.kill();
        let closed = open(&disk);
        assert!(closed.opening().may_have_forgotten());
        closed.close().unwrap();
        let accepted = open(&disk);
        assert!(accepted.opening().may_have_forgotten());
        accepted.accept_opening().unwrap();
        disk.kill();
        assert!(!open(&disk).opening().may_have_forgotten());
    }

    #[test]
    fn a_killed_process_forgets_nothing_and_cannot_write_any_more() {
        let disk = MemoryDisk::new();
        let killed = open(&disk);
        put(&killed, "a", "1");
        disk.kill();
        let engine = open(&disk);
        assert_eq!(engine.opening(), Opening { clean: false, same_boot: true });
        assert_eq!(engine.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(killed.apply(Batch::new()).unwrap_err().kind(), ErrorKind::Closed);
        killed.close().unwrap();
        put(&engine, "b", "2");
    }

    #[test]
    fn one_engine_at_a_time() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        let refused = MemoryEngine::open(&disk, Durability::Sync).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Locked);
        engine.close().unwrap();
        assert_eq!(open(&disk).opening(), Opening { clean: true, same_boot: true });
    }

    #[test]
    fn a_full_disk_refuses_writes_and_serves_reads() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        put(&engine, "a", "1");
        disk.set_full(true);
        assert_eq!(engine.apply(Batch::new()).unwrap_err().kind(), ErrorKind::StorageFull);
        assert!(engine.get(b"a").unwrap().is_some());
        disk.set_full(false);
        put(&engine, "a", "2");
    }

    #[test]
    fn scans_stop_at_their_limits_and_say_so() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        for key in ["a", "b", "c", "d"] {
            put(&engine, key, "v");
        }
        let page = |from: &str, to: &str, items, bytes| {
            let page = engine.scan(from.as_bytes(), to.as_bytes(), items, bytes).unwrap();
            let keys: Vec<_> =
                page.items.iter().map(|(k, _)| String::from_utf8_lossy(k).into_owned()).collect();
            (keys.concat(), page.more)
        };
        assert_eq!(page("a", "d", 10, 100), ("abc".to_owned(), false));
        assert_eq!(page("a", "z", 2, 100), ("ab".to_owned(), true));
        assert_eq!(page("b", "z", 10, 0), ("b".to_owned(), true));
        assert_eq!(page("d", "b", 10, 100), (String::new(), false));
        engine.drop_range(b"b", b"d").unwrap();
        assert_eq!(page("a", "z", 10, 100), ("ad".to_owned(), false));
    }
}
