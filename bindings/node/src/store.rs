//! A store, its buckets and their scans, as `node/lib` holds them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;
use ringkeep_surface::{BucketHandle, Error, Result, ScanHandle, ScanItem, StoreHandle, update_options};

use crate::arguments::{self, Bounds, Octets, bytes};
use crate::event_loop::{Local, guard};
use crate::reply::Page;

/// Most items of a page, and most bytes after which none is added: enough to share a call's cost, little to hold back.
const PAGE_ITEMS_MAX: usize = 256;
const PAGE_BYTES_MAX: usize = 256 << 10;

/// A node or a client.
#[napi]
pub struct Store {
    local: Rc<Local>,
    store: StoreHandle,
    opened: RefCell<Option<BucketHandle>>,
}

impl Store {
    pub(crate) fn new(local: Rc<Local>, store: StoreHandle) -> Self {
        Self { local, store, opened: RefCell::default() }
    }
}

#[napi]
impl Store {
    /// A node's stable id.
    #[napi(getter)]
    pub fn node_id(&self) -> Option<String> {
        self.store.node_id()
    }

    /// Where a node listens.
    #[napi(getter)]
    pub fn address(&self) -> Option<String> {
        self.store.address()
    }

    /// Opens a bucket, none the default one, for `takeBucket`.
    #[napi]
    pub fn open_bucket(&self, name: Option<String>) -> i64 {
        let opened = guard(|| self.store.bucket(name.as_deref()));
        self.local.reply(0, opened.map(|bucket| drop(self.opened.replace(Some(bucket)))))
    }

    /// The bucket that was opened last.
    #[napi]
    pub fn take_bucket(&self) -> Option<Bucket> {
        let bucket = self.opened.take()?;
        Some(Bucket { local: Rc::clone(&self.local), bucket })
    }

    /// Waits until operations can be served.
    #[napi]
    pub fn ready(&self, id: u32, timeout_ms: Option<f64>) -> i64 {
        self.local.start(id, || Ok(self.store.ready(arguments::timeout(timeout_ms)?)), |done| done)
    }

    /// Ends the work of the store.
    #[napi]
    pub fn close(&self, id: u32, timeout_ms: Option<f64>) -> i64 {
        let timeout = timeout_ms.map(|ms| Duration::from_secs_f64((ms / 1_000.0).clamp(0.0, 86_400.0)));
        self.local.start(id, || Ok(self.store.close(timeout)), |done| done)
    }

    /// Runs a command of administration: JSON in, JSON out.
    #[napi]
    pub fn admin(&self, id: u32, command: String, json: String) -> i64 {
        self.local.start(id, || Ok(self.store.admin(&command, &json)), |text| text)
    }

    /// Counters and gauges by name, as JSON.
    #[napi]
    pub fn metrics(&self) -> i64 {
        let metrics = guard(|| {
            let metrics = self.store.metrics()?;
            serde_json::to_string(&metrics).map_err(|error| Error::invalid(error.to_string()))
        });
        self.local.reply(0, metrics)
    }
}

/// A named keyspace of a store.
#[napi]
pub struct Bucket {
    local: Rc<Local>,
    bucket: BucketHandle,
}

#[napi]
impl Bucket {
    /// The value that the resolver picks.
    #[napi]
    pub fn get(&self, id: u32, key: Octets<'_>, json: Option<String>) -> i64 {
        let key = bytes(key);
        self.local.start(id, || Ok(self.bucket.get(key, arguments::read(json.as_deref())?)), |value| value)
    }

    /// Every live sibling and the context.
    #[napi]
    pub fn read(&self, id: u32, key: Octets<'_>, json: Option<String>) -> i64 {
        let key = bytes(key);
        self.local.start(id, || Ok(self.bucket.read(key, arguments::read(json.as_deref())?)), |entry| entry)
    }

    /// The read with which an update begins; the options are those of its write.
    #[napi]
    pub fn read_for_update(&self, id: u32, key: Octets<'_>, json: Option<String>) -> i64 {
        let key = bytes(key);
        let read = || {
            let options = arguments::write(json.as_deref(), None)?;
            Ok(self.bucket.read(key, update_options(&options)))
        };
        self.local.start(id, read, |entry| entry)
    }

    /// Stores a value.
    #[napi]
    pub fn put(
        &self,
        id: u32,
        key: Octets<'_>,
        value: Octets<'_>,
        json: Option<String>,
        context: Option<BufferSlice<'_>>,
    ) -> i64 {
        let (key, value) = (bytes(key), bytes(value));
        let put = || Ok(self.bucket.put(key, value, arguments::write(json.as_deref(), context.as_ref())?));
        self.local.start(id, put, |receipt| receipt)
    }

    /// Deletes.
    #[napi]
    pub fn delete(
        &self,
        id: u32,
        key: Octets<'_>,
        json: Option<String>,
        context: Option<BufferSlice<'_>>,
    ) -> i64 {
        let key = bytes(key);
        let delete = || Ok(self.bucket.delete(key, arguments::write(json.as_deref(), context.as_ref())?));
        self.local.start(id, delete, |receipt| receipt)
    }

    /// Reads several keys.
    #[napi]
    pub fn get_many(&self, id: u32, keys: Vec<Octets<'_>>, json: Option<String>) -> i64 {
        let keys = all(keys);
        self.local.start(
            id,
            || Ok(self.bucket.get_many(keys, arguments::read(json.as_deref())?)),
            |values| values,
        )
    }

    /// Reads several keys with their siblings.
    #[napi]
    pub fn read_many(&self, id: u32, keys: Vec<Octets<'_>>, json: Option<String>) -> i64 {
        let keys = all(keys);
        self.local.start(
            id,
            || Ok(self.bucket.read_many(keys, arguments::read(json.as_deref())?)),
            |entries| entries,
        )
    }

    /// Stores several values.
    #[napi]
    pub fn put_many(
        &self,
        id: u32,
        keys: Vec<Octets<'_>>,
        values: Vec<Octets<'_>>,
        json: Option<String>,
    ) -> i64 {
        let items = all(keys).into_iter().zip(all(values)).collect();
        let put = || Ok(self.bucket.put_many(items, arguments::write(json.as_deref(), None)?));
        self.local.start(id, put, |receipts| receipts)
    }

    /// Streams entries in key order.
    #[napi]
    pub fn scan(
        &self,
        json: Option<String>,
        prefix: Option<Octets<'_>>,
        start: Option<Octets<'_>>,
        end: Option<Octets<'_>>,
    ) -> Scan {
        let bounds = Bounds::new(prefix, start, end);
        let scan = guard(|| Ok(self.bucket.scan(bounds.scan(json.as_deref())?)));
        Scan { local: Rc::clone(&self.local), scan }
    }

    /// Counts the keys that a `get` would show.
    #[napi]
    pub fn count(
        &self,
        id: u32,
        json: Option<String>,
        prefix: Option<Octets<'_>>,
        start: Option<Octets<'_>>,
        end: Option<Octets<'_>>,
    ) -> i64 {
        let bounds = Bounds::new(prefix, start, end);
        self.local.start(id, || Ok(self.bucket.count(bounds.scan(json.as_deref())?)), |count| count)
    }

    /// Deletes what a scan sees.
    #[napi]
    pub fn clear(
        &self,
        id: u32,
        json: Option<String>,
        prefix: Option<Octets<'_>>,
        start: Option<Octets<'_>>,
        end: Option<Octets<'_>>,
    ) -> i64 {
        let bounds = Bounds::new(prefix, start, end);
        self.local.start(id, || Ok(self.bucket.clear(bounds.scan(json.as_deref())?)), |count| count)
    }
}

fn all(octets: Vec<Octets<'_>>) -> Vec<Bytes> {
    octets.into_iter().map(bytes).collect()
}

/// A stream of entries; what is wrong with its options, its first step says.
#[napi]
pub struct Scan {
    local: Rc<Local>,
    scan: Result<ScanHandle>,
}

#[napi]
impl Scan {
    /// The next page: one item that is waited for, and those that came with it.
    #[napi]
    pub fn next(&self, id: u32) -> i64 {
        match &self.scan {
            Ok(scan) => {
                let rest = scan.clone();
                self.local.start(id, || Ok(scan.next()), move |first| page(first, &rest))
            }
            Err(error) => self.local.reply::<()>(id, Err(error.clone())),
        }
    }
}

fn page(first: Option<ScanItem>, rest: &ScanHandle) -> Page {
    let Some(first) = first else { return Page { items: Vec::new(), last: true } };
    let mut bytes = size(&first);
    let mut items = vec![first];
    while items.len() < PAGE_ITEMS_MAX && bytes < PAGE_BYTES_MAX {
        let Some(item) = rest.buffered() else { break };
        bytes += size(&item);
        items.push(item);
    }
    Page { items, last: false }
}

fn size(item: &ScanItem) -> usize {
    item.key.len() + item.entry.siblings().iter().map(|sibling| sibling.bytes.len()).sum::<usize>()
}
