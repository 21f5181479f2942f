//! A bucket as languages hold it: the operations of the core, each as an [`Op`].

use std::future::IntoFuture;
use std::sync::Arc;

use bytes::Bytes;
use ringkeep::base::error::{Error, Result};
use ringkeep::store::{Bucket, Entry, ReadOptions, Receipt, ScanOptions, WriteOptions};

use crate::admin::text;
use crate::op::{Kind, Op};
use crate::scan::ScanHandle;
use crate::store::Inner;

/// A named keyspace of a store. Cheap to clone; outlives neither the store's close nor a fork.
#[derive(Clone, Debug)]
pub struct BucketHandle {
    inner: Arc<Inner>,
    name: Arc<str>,
}

impl BucketHandle {
    pub(crate) fn new(inner: Arc<Inner>, name: Arc<str>) -> Self {
        Self { inner, name }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn bucket(&self) -> Result<Bucket> {
        self.inner.scope.check()?;
        Ok(self.inner.store()?.bucket(&self.name))
    }

    fn op<T: Send + 'static, F>(&self, kind: Kind, operation: impl FnOnce(&Bucket) -> F) -> Op<T>
    where
        F: IntoFuture<Output = Result<T>, IntoFuture = ringkeep::base::env::BoxFuture<'static, Result<T>>>,
    {
        match self.bucket() {
            Ok(bucket) => Op::boxed(&self.inner.scope, kind, operation(&bucket).into_future()),
            Err(error) => Op::ready(Err(error)),
        }
    }

    /// An operation that fails so when it is started: for callers whose failures all go one way.
    pub fn refused<T: Send + 'static>(&self, error: Error) -> Op<T> {
        Op::new(&self.inner.scope, Kind::Read, async move { Err(error) })
    }

    /// The value that the resolver picks, or none.
    pub fn get(&self, key: Bytes, options: ReadOptions) -> Op<Option<Bytes>> {
        self.op(Kind::Read, |bucket| bucket.get(key).options(options))
    }

    /// Every live sibling and the context.
    pub fn read(&self, key: Bytes, options: ReadOptions) -> Op<Entry> {
        self.op(Kind::Read, |bucket| bucket.read(key).options(options))
    }

    /// Stores a value.
    pub fn put(&self, key: Bytes, value: Bytes, options: WriteOptions) -> Op<Receipt> {
        self.op(Kind::Write, |bucket| bucket.put(key, value).options(options))
    }

    /// Deletes.
    pub fn delete(&self, key: Bytes, options: WriteOptions) -> Op<Receipt> {
        self.op(Kind::Write, |bucket| bucket.delete(key).options(options))
    }

    /// Reads several keys; each has its own result, in the order of the keys.
    pub fn get_many(&self, keys: Vec<Bytes>, options: ReadOptions) -> Op<Vec<Result<Option<Bytes>>>> {
        match self.bucket() {
            Ok(bucket) => Op::new(&self.inner.scope, Kind::Read, async move {
                Ok(bucket.get_many(keys).options(options).await)
            }),
            Err(error) => Op::ready(Err(error)),
        }
    }

    /// Reads several keys with all their siblings; each has its own result, in the order of the keys.
    pub fn read_many(&self, keys: Vec<Bytes>, options: ReadOptions) -> Op<Vec<Result<Entry>>> {
        match self.bucket() {
            Ok(bucket) => Op::new(&self.inner.scope, Kind::Read, async move {
                let start = |key: Bytes| bucket.read(key).options(options.clone()).into_future();
                Ok(crate::together::in_rounds(keys, start).await)
            }),
            Err(error) => Op::ready(Err(error)),
        }
    }

    /// Stores several values; each has its own result, in the order of the items.
    pub fn put_many(&self, items: Vec<(Bytes, Bytes)>, options: WriteOptions) -> Op<Vec<Result<Receipt>>> {
        if options.context.is_some() {
            return Op::ready(Err(Error::invalid("context belongs to one key and put_many has several")));
        }
        match self.bucket() {
            Ok(bucket) => Op::new(&self.inner.scope, Kind::Write, async move {
                Ok(bucket.put_many(items).options(options).await)
            }),
            Err(error) => Op::ready(Err(error)),
        }
    }

    /// Where a key lives and what its replicas hold, as the JSON of the command `explain`.
    pub fn explain(&self, key: Bytes) -> Op<String> {
        match self.bucket() {
            Ok(bucket) => {
                Op::new(&self.inner.scope, Kind::Read, async move { text(&bucket.explain(key).await?) })
            }
            Err(error) => Op::ready(Err(error)),
        }
    }

    /// Streams entries in key order; not a snapshot. What is wrong with it, its first step says.
    #[must_use]
    pub fn scan(&self, options: ScanOptions) -> ScanHandle {
        ScanHandle::new(&self.inner, self.bucket().map(|bucket| bucket.scan(options)))
    }

    /// Counts the keys that a `get` would show.
    pub fn count(&self, options: ScanOptions) -> Op<u64> {
        self.op(Kind::Read, |bucket| bucket.count(options))
    }

    /// Deletes the entries that a scan sees, each with its context, and gives their number.
    pub fn clear(&self, options: ScanOptions) -> Op<u64> {
        let bucket = match self.bucket() {
            Ok(bucket) => bucket,
            Err(error) => return Op::ready(Err(error)),
        };
        Op::new(&self.inner.scope, Kind::Write, async move {
            let write = WriteOptions {
                consistency: options.read.consistency,
                timeout: options.read.timeout,
                sloppy: options.read.sloppy,
                event_loop: options.read.event_loop,
                ..WriteOptions::default()
            };
            let mut scan = bucket.scan(options);
            let mut cleared = 0;
            while let Some(first) = scan.next().await? {
                // A page at a time: the rest of it is there already.
                let page = std::iter::once(first).chain(std::iter::from_fn(|| scan.buffered()));
                let delete = |item: ringkeep::store::ScanItem| {
                    let write = WriteOptions { context: Some(item.entry.context().clone()), ..write.clone() };
                    bucket.delete(item.key).options(write).into_future()
                };
                for deleted in crate::together::in_rounds(page.collect::<Vec<_>>(), delete).await {
                    deleted?;
                    cleared += 1;
                }
            }
            Ok(cleared)
        })
    }
}

/// The options of the read with which an update begins.
#[must_use]
pub fn update_options(write: &WriteOptions) -> ReadOptions {
    ReadOptions {
        consistency: write.consistency,
        r: None,
        timeout: write.timeout,
        sloppy: write.sloppy,
        event_loop: write.event_loop,
    }
}
