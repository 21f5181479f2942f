//! Ringkeep's engine and fjall under the workload.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use bytes::Bytes;
use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode};
use ringkeep::base::settings::{Durability, Settings};
use ringkeep::storage::{Batch, Cached, DiskEngine, DiskSettings, Engine};

use crate::workload::Subject;

struct Ours(DiskEngine);

pub(crate) fn open_ours(path: &Path, memory: u64, cache: u64) -> Box<dyn Subject> {
    let settings = Settings {
        durability: Durability::Interval,
        memory_table_bytes: memory,
        block_cache_bytes: cache,
        ..Settings::default()
    };
    Box::new(Ours(DiskEngine::open(path, DiskSettings::new(&settings, "bench")).unwrap()))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}

impl Ours {
    fn read(&self, key: &[u8]) -> Option<Bytes> {
        match self.0.get_cached(key) {
            Cached::Hit(value) => value,
            Cached::Unknown => self.0.get(key).unwrap(),
        }
    }
}

impl Subject for Ours {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.read(key).map(|value| value.to_vec())
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        let mut batch = Batch::new();
        batch.put(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        self.0.apply(batch).unwrap();
    }

    fn read_modify_write(&self, key: &[u8], change: &dyn Fn(&mut [u8])) {
        let mut value = self.read(key).unwrap().to_vec();
        change(&mut value);
        let mut batch = Batch::new();
        batch.put(Bytes::copy_from_slice(key), Bytes::from(value));
        self.0.apply(batch).unwrap();
    }

    fn put_synced(&self, key: &[u8], value: &[u8]) {
        let mut batch = Batch::new();
        batch.put(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        let lsn = self.0.apply(batch).unwrap();
        block_on(self.0.synced(lsn)).unwrap();
    }

    fn scan(&self, from: &[u8], items: usize) -> u64 {
        let page = self.0.scan(from, &[2], items, usize::MAX).unwrap();
        page.items.iter().map(|(key, value)| u64::from(key[5]) + u64::from(value[0])).sum()
    }

    fn flush(&self) {
        self.0.flush().unwrap();
    }

    fn settle(&self) {
        let mut last = self.0.stats();
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = self.0.stats();
            if now.sealed == 0
                && now.tables == last.tables
                && now.runs < 4
                && now.table_bytes == last.table_bytes
            {
                return;
            }
            last = now;
        }
    }
}

struct Fjall {
    database: Database,
    keyspace: Keyspace,
}

pub(crate) fn open_fjall(path: &Path, memory: u64, cache: u64) -> Box<dyn Subject> {
    let database = Database::builder(path)
        .cache_size(cache)
        .max_journaling_size(memory.max(128 << 20) * 4)
        .open()
        .unwrap();
    let keyspace =
        database.keyspace("bench", || KeyspaceCreateOptions::default().max_memtable_size(memory)).unwrap();
    Box::new(Fjall { database, keyspace })
}

impl Subject for Fjall {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.keyspace.get(key).unwrap().map(|value| value.to_vec())
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.keyspace.insert(key, value).unwrap();
    }

    fn read_modify_write(&self, key: &[u8], change: &dyn Fn(&mut [u8])) {
        let mut value = self.keyspace.get(key).unwrap().unwrap().to_vec();
        change(&mut value);
        self.keyspace.insert(key, value).unwrap();
    }

    fn put_synced(&self, key: &[u8], value: &[u8]) {
        self.keyspace.insert(key, value).unwrap();
        self.database.persist(PersistMode::SyncData).unwrap();
    }

    fn scan(&self, from: &[u8], items: usize) -> u64 {
        let pairs = self.keyspace.range(from..).take(items).map(|guard: Guard| guard.into_inner().unwrap());
        pairs.map(|(key, value)| u64::from(key[5]) + u64::from(value[0])).sum()
    }

    fn flush(&self) {
        self.keyspace.rotate_memtable_and_wait().unwrap();
    }

    fn settle(&self) {
        // It does not say when its background is quiet: no table has come or gone for a while.
        let mut last = self.keyspace.table_count();
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = self.keyspace.table_count();
            if now == last {
                return;
            }
            last = now;
        }
    }
}
