//! The disk engine: our own log, memory tables over it, and tables on disk below (DESIGN.md section 9).
//! A batch is in the operating system before `apply` returns, and on disk when `synced` says so. Damage is reported with
//! its file, never served and never passed over. The engine owns its threads and joins them when it closes.

mod background;
mod directory;
mod dropped;
mod entries;
mod file;
mod filter;
mod frame;
mod log;
mod manifest;
mod recovery;
mod replay;
mod runs;
mod scan;
mod shared;
mod stack;
mod table;
mod tables;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use self::shared::Shared;
use super::engine::{Batch, Cached, Engine, EngineStats, Lsn, Opening, ScanPage};
use crate::base::env::BoxFuture;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::settings::{Durability, Settings};

/// How a disk engine is to run.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// When writes are acknowledged.
    pub durability: Durability,
    /// How often fdatasync follows under durability `interval`.
    pub sync_interval: Duration,
    /// Bytes of a memory table at which it is sealed and flushed; the log behind it may take twice as much, as it also
    /// holds what was overwritten.
    pub memory_table_bytes: u64,
    /// Bytes of the cache of table blocks.
    pub block_cache_bytes: u64,
    /// The period over which the operating system keeps what was written to it (`Env::boot`); empty if unknown.
    pub boot: String,
    faults: file::Faults,
}

impl DiskSettings {
    /// What the settings of a node say.
    #[must_use]
    pub fn new(settings: &Settings, boot: &str) -> Self {
        Self {
            durability: settings.durability,
            sync_interval: Duration::from_millis(settings.sync_interval_ms),
            memory_table_bytes: settings.memory_table_bytes,
            block_cache_bytes: settings.block_cache_bytes,
            boot: boot.to_owned(),
            faults: file::Faults::default(),
        }
    }
}

/// The engine on a directory.
#[derive(Debug)]
pub struct DiskEngine {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl DiskEngine {
    /// Opens or creates a data directory, reads the log back, and starts the threads.
    ///
    /// # Errors
    /// `Locked` with the pid while another engine has it open, in this process or another; `InvalidArgument` for a file, or
    /// a directory that holds something else; `Corruption` naming the damaged file; `VersionMismatch`, `Io`,
    /// `StorageFull`.
    pub fn open(path: &Path, settings: DiskSettings) -> Result<Self> {
        let shared = Arc::new(recovery::recover(path, settings).map_err(|error| error.during("open"))?);
        let engine = Self { threads: Mutex::default(), shared };
        for (name, body) in background::BODIES {
            let shared = engine.shared.clone();
            let thread = std::thread::Builder::new()
                .name((*name).to_owned())
                .spawn(move || shared.guarded(*body))
                .map_err(|error| Error::io("a thread of the engine", error))?;
            engine.threads.lock().push(thread);
        }
        Ok(engine)
    }

    fn stop_threads(&self) {
        self.shared.stop();
        for thread in self.threads.lock().drain(..) {
            // A panic was caught and recorded inside.
            let _ended = thread.join();
        }
    }
}

impl Engine for DiskEngine {
    fn get_cached(&self, key: &[u8]) -> Cached {
        self.shared.get_cached(key)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.shared.get(key)
    }

    fn apply(&self, batch: Batch) -> Result<Lsn> {
        batch.check()?;
        self.shared.apply(&batch)
    }

    fn synced(&self, lsn: Lsn) -> BoxFuture<'_, Result<()>> {
        match self.shared.log.wait(lsn) {
            None => Box::pin(std::future::ready(Ok(()))),
            Some(receiver) => Box::pin(async move {
                receiver.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the engine is closed")))
            }),
        }
    }

    fn durability(&self) -> Durability {
        self.shared.settings.durability
    }

    fn scan(&self, from: &[u8], to: &[u8], items_max: usize, bytes_max: usize) -> Result<ScanPage> {
        self.shared.scan(from, to, items_max, bytes_max)
    }

    fn ingest(&self, items: &mut dyn Iterator<Item = (Bytes, Bytes)>) -> Result<()> {
        self.shared.ingest(items)
    }

    fn drop_range(&self, from: &[u8], to: &[u8]) -> Result<()> {
        self.shared.drop_range(from, to)
    }

    fn checkpoint(&self, directory: &Path) -> Result<()> {
        self.shared.flush()?;
        directory::prepare(directory)?;
        let copied = self
            .shared
            .tables
            .checkpoint(&directory.join(directory::TABLES))
            .and_then(|()| directory::complete(directory));
        copied.inspect_err(|_| {
            // Half a checkpoint is refused by `open`; leaving it would only cost space.
            let _stays = std::fs::remove_dir_all(directory);
        })
    }

    fn stats(&self) -> EngineStats {
        self.shared.stats()
    }

    fn flush(&self) -> Result<()> {
        self.shared.flush()
    }

    fn opening(&self) -> Opening {
        self.shared.opening
    }

    fn accept_opening(&self) -> Result<()> {
        self.shared.accept_opening()
    }

    fn close(&self) -> Result<()> {
        if !self.shared.begin_close() {
            return Ok(());
        }
        self.stop_threads();
        self.shared.finish_close()
    }
}

impl Drop for DiskEngine {
    fn drop(&mut self) {
        self.shared.begin_close();
        self.stop_threads();
        self.shared.abandon();
    }
}
