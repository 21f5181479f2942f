//! A bucket and its scans, as `node/lib/bucket.js` and `scan.js` hold them.
//! The operations are functions of an external value rather than methods of a class: napi's checks of `this` would cost
//! a local get a tenth of its time.

use std::rc::Rc;

use bytes::Bytes;
use napi::bindgen_prelude::{BufferSlice, External};
use napi_derive::napi;
use ringkeep_surface::{BucketHandle, Result, ScanHandle, ScanItem, update_options};

use crate::arguments::{self, Bounds, Octets, bytes};
use crate::event_loop::Local;
use crate::guard::guard;
use crate::reply::Page;

/// Most items of a page, and most bytes after which none is added: enough to share a call's cost, little to hold back.
const PAGE_ITEMS_MAX: usize = 256;
const PAGE_BYTES_MAX: usize = 256 << 10;

/// A named keyspace of a store.
pub struct Bucket {
    local: Rc<Local>,
    bucket: BucketHandle,
}

impl Bucket {
    pub(crate) fn new(local: Rc<Local>, bucket: BucketHandle) -> Self {
        Self { local, bucket }
    }
}

/// The value that the resolver picks.
#[napi]
pub(crate) fn bucket_get(bucket: &External<Bucket>, id: u32, key: Octets<'_>, json: Option<String>) -> i64 {
    let key = bytes(key);
    bucket.local.start(id, || Ok(bucket.bucket.get(key, arguments::read(json.as_deref())?)), |value| value)
}

/// Every live sibling and the context.
#[napi]
pub(crate) fn bucket_read(bucket: &External<Bucket>, id: u32, key: Octets<'_>, json: Option<String>) -> i64 {
    let key = bytes(key);
    bucket.local.start(id, || Ok(bucket.bucket.read(key, arguments::read(json.as_deref())?)), |entry| entry)
}

/// The read with which an update begins; the options are those of its write.
#[napi]
pub(crate) fn bucket_read_for_update(
    bucket: &External<Bucket>,
    id: u32,
    key: Octets<'_>,
    json: Option<String>,
) -> i64 {
    let key = bytes(key);
    let read = || {
        let options = arguments::write(json.as_deref(), None)?;
        Ok(bucket.bucket.read(key, update_options(&options)))
    };
    bucket.local.start(id, read, |entry| entry)
}

/// Stores a value.
#[napi]
pub(crate) fn bucket_put(
    bucket: &External<Bucket>,
    id: u32,
    key: Octets<'_>,
    value: Octets<'_>,
    json: Option<String>,
    context: Option<BufferSlice<'_>>,
) -> i64 {
    let (key, value) = (bytes(key), bytes(value));
    let put = || Ok(bucket.bucket.put(key, value, arguments::write(json.as_deref(), context.as_ref())?));
    bucket.local.start(id, put, |receipt| receipt)
}

/// Deletes.
#[napi]
pub(crate) fn bucket_delete(
    bucket: &External<Bucket>,
    id: u32,
    key: Octets<'_>,
    json: Option<String>,
    context: Option<BufferSlice<'_>>,
) -> i64 {
    let key = bytes(key);
    let delete = || Ok(bucket.bucket.delete(key, arguments::write(json.as_deref(), context.as_ref())?));
    bucket.local.start(id, delete, |receipt| receipt)
}

/// Reads several keys.
#[napi]
pub(crate) fn bucket_get_many(
    bucket: &External<Bucket>,
    id: u32,
    keys: Vec<Octets<'_>>,
    json: Option<String>,
) -> i64 {
    let keys = all(keys);
    bucket.local.start(
        id,
        || Ok(bucket.bucket.get_many(keys, arguments::read(json.as_deref())?)),
        |values| values,
    )
}

/// Reads several keys with their siblings.
#[napi]
pub(crate) fn bucket_read_many(
    bucket: &External<Bucket>,
    id: u32,
    keys: Vec<Octets<'_>>,
    json: Option<String>,
) -> i64 {
    let keys = all(keys);
    bucket.local.start(
        id,
        || Ok(bucket.bucket.read_many(keys, arguments::read(json.as_deref())?)),
        |entries| entries,
    )
}

/// Stores several values.
#[napi]
pub(crate) fn bucket_put_many(
    bucket: &External<Bucket>,
    id: u32,
    keys: Vec<Octets<'_>>,
    values: Vec<Octets<'_>>,
    json: Option<String>,
) -> i64 {
    let items = all(keys).into_iter().zip(all(values)).collect();
    let put = || Ok(bucket.bucket.put_many(items, arguments::write(json.as_deref(), None)?));
    bucket.local.start(id, put, |receipts| receipts)
}

/// Where a key lives and what its replicas hold, as JSON.
#[napi]
pub(crate) fn bucket_explain(bucket: &External<Bucket>, id: u32, key: Octets<'_>) -> i64 {
    let key = bytes(key);
    bucket.local.start_elsewhere(id, || Ok(bucket.bucket.explain(key)))
}

/// Streams entries in key order.
#[napi]
pub(crate) fn bucket_scan(
    bucket: &External<Bucket>,
    json: Option<String>,
    prefix: Option<Octets<'_>>,
    start: Option<Octets<'_>>,
    end: Option<Octets<'_>>,
) -> Scan {
    let bounds = Bounds::new(prefix, start, end);
    let scan = guard(|| Ok(bucket.bucket.scan(bounds.scan(json.as_deref())?)));
    Scan { local: Rc::clone(&bucket.local), scan }
}

/// Counts the keys that a `get` would show.
#[napi]
pub(crate) fn bucket_count(
    bucket: &External<Bucket>,
    id: u32,
    json: Option<String>,
    prefix: Option<Octets<'_>>,
    start: Option<Octets<'_>>,
    end: Option<Octets<'_>>,
) -> i64 {
    let bounds = Bounds::new(prefix, start, end);
    bucket.local.start(id, || Ok(bucket.bucket.count(bounds.scan(json.as_deref())?)), |count| count)
}

/// Deletes what a scan sees.
#[napi]
pub(crate) fn bucket_clear(
    bucket: &External<Bucket>,
    id: u32,
    json: Option<String>,
    prefix: Option<Octets<'_>>,
    start: Option<Octets<'_>>,
    end: Option<Octets<'_>>,
) -> i64 {
    let bounds = Bounds::new(prefix, start, end);
    bucket.local.start(id, || Ok(bucket.bucket.clear(bounds.scan(json.as_deref())?)), |count| count)
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
