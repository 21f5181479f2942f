//! The operations as builders that are futures.
//! Awaiting one resolves its bucket, checks its options, asks the backend, and says which operation failed.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::bucket::{Bucket, Resolved, caller, floor};
use super::context::Context;
use super::entry::{Entry, Receipt, Value};
use super::options::{ReadOptions, ScanOptions, Ttl, WriteOptions};
use crate::base::env::BoxFuture;
use crate::base::error::Result;
use crate::causality::{Record, encoding};
use crate::client::{ReadRequest, WriteRequest, Written};
use crate::ring::Consistency;
use crate::wire::{Change, Expiry};

macro_rules! read_options {
    ($name:ident) => {
        impl $name {
            /// Takes all options at once.
            #[must_use]
            pub fn options(mut self, options: ReadOptions) -> Self {
                self.options = options;
                self
            }

            /// A named level.
            #[must_use]
            pub fn consistency(mut self, level: Consistency) -> Self {
                self.options.consistency = Some(level);
                self
            }

            /// Owners that must answer.
            #[must_use]
            pub fn r(mut self, owners: u32) -> Self {
                self.options.r = Some(owners);
                self
            }

            /// Whether fallbacks count for owners that are away.
            #[must_use]
            pub fn sloppy(mut self, sloppy: bool) -> Self {
                self.options.sloppy = Some(sloppy);
                self
            }

            /// How long it may take.
            #[must_use]
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.options.timeout = Some(timeout);
                self
            }
        }
    };
}

macro_rules! write_options {
    ($name:ident $(<$generic:ident>)?) => {
        impl $(<$generic>)? $name $(<$generic>)? {
            /// Takes all options at once.
            #[must_use]
            pub fn options(mut self, options: WriteOptions) -> Self {
                self.options = options;
                self
            }

            /// A named level.
            #[must_use]
            pub fn consistency(mut self, level: Consistency) -> Self {
                self.options.consistency = Some(level);
                self
            }

            /// Owners that must have stored it.
            #[must_use]
            pub fn w(mut self, owners: u32) -> Self {
                self.options.w = Some(owners);
                self
            }

            /// Whether fallbacks count for owners that are away.
            #[must_use]
            pub fn sloppy(mut self, sloppy: bool) -> Self {
                self.options.sloppy = Some(sloppy);
                self
            }

            /// How long it may take.
            #[must_use]
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.options.timeout = Some(timeout);
                self
            }

            /// When the value expires; zero means never.
            #[must_use]
            pub fn ttl(mut self, ttl: Duration) -> Self {
                self.options.ttl = Some(if ttl.is_zero() { Ttl::Never } else { Ttl::After(ttl) });
                self
            }

            /// What the writer has seen.
            #[must_use]
            pub fn context(mut self, context: &Context) -> Self {
                self.options.context = Some(context.clone());
                self
            }
        }
    };
}

/// See [`Bucket::get`].
#[derive(Debug)]
pub struct Get {
    bucket: Bucket,
    key: Bytes,
    options: ReadOptions,
}

/// See [`Bucket::read`].
#[derive(Debug)]
pub struct Read {
    bucket: Bucket,
    key: Bytes,
    options: ReadOptions,
}

/// See [`Bucket::put`].
#[derive(Debug)]
pub struct Put {
    bucket: Bucket,
    key: Bytes,
    value: Bytes,
    options: WriteOptions,
}

/// See [`Bucket::delete`].
#[derive(Debug)]
pub struct Delete {
    bucket: Bucket,
    key: Bytes,
    options: WriteOptions,
}

/// See [`Bucket::update`].
#[derive(Debug)]
pub struct Update<F> {
    bucket: Bucket,
    key: Bytes,
    merge: F,
    options: WriteOptions,
}

/// See [`Bucket::get_many`].
#[derive(Debug)]
pub struct GetMany {
    bucket: Bucket,
    keys: Vec<Bytes>,
    options: ReadOptions,
}

/// See [`Bucket::put_many`].
#[derive(Debug)]
pub struct PutMany {
    bucket: Bucket,
    items: Vec<(Bytes, Bytes)>,
    options: WriteOptions,
}

/// See [`Bucket::count`].
#[derive(Debug)]
pub struct Count {
    bucket: Bucket,
    options: ScanOptions,
}

read_options!(Get);
read_options!(Read);
read_options!(GetMany);
write_options!(Put);
write_options!(Delete);
write_options!(Update<F>);
write_options!(PutMany);

impl Get {
    pub(super) fn new(bucket: Bucket, key: Bytes) -> Self {
        Self { bucket, key, options: ReadOptions::default() }
    }
}

impl Read {
    pub(super) fn new(bucket: Bucket, key: Bytes) -> Self {
        Self { bucket, key, options: ReadOptions::default() }
    }
}

impl Put {
    pub(super) fn new(bucket: Bucket, key: Bytes, value: Bytes) -> Self {
        Self { bucket, key, value, options: WriteOptions::default() }
    }
}

impl Delete {
    pub(super) fn new(bucket: Bucket, key: Bytes) -> Self {
        Self { bucket, key, options: WriteOptions::default() }
    }
}

impl<F> Update<F> {
    pub(super) fn new(bucket: Bucket, key: Bytes, merge: F) -> Self {
        Self { bucket, key, merge, options: WriteOptions::default() }
    }
}

impl GetMany {
    pub(super) fn new(bucket: Bucket, keys: Vec<Bytes>) -> Self {
        Self { bucket, keys, options: ReadOptions::default() }
    }
}

impl PutMany {
    pub(super) fn new(bucket: Bucket, items: Vec<(Bytes, Bytes)>) -> Self {
        Self { bucket, items, options: WriteOptions::default() }
    }
}

impl Count {
    pub(super) fn new(bucket: Bucket, options: ScanOptions) -> Self {
        Self { bucket, options }
    }
}

/// Reads the record of a key.
async fn fetch(bucket: &Bucket, key: &Bytes, options: &ReadOptions) -> Result<(Resolved, Option<Record>)> {
    bucket.check_key(key)?;
    Bucket::check_read(options)?;
    let deadline = bucket.deadline(options.timeout)?;
    let resolved = match bucket.resolve() {
        Ok(resolved) => resolved,
        Err(_) => bucket.resolve_or_wait(deadline).await?,
    };
    let level = resolved.read_level(options, bucket.store.defaults.consistency)?;
    let request = ReadRequest {
        bucket: resolved.id,
        key: key.clone(),
        level,
        sloppy: resolved.sloppy(options.sloppy, bucket.store.defaults.sloppy, level)?,
        deadline,
        caller: caller(options.event_loop),
    };
    let (record, now) = Arc::clone(&bucket.store.backend).read(request).await?;
    bucket.store.absorb(now);
    let record = record.map(|bytes| encoding::decode(&bytes)).transpose()?;
    Ok((resolved, record))
}

/// Writes a key and makes the receipt.
async fn store(bucket: &Bucket, key: Bytes, change: Change, options: &WriteOptions) -> Result<Receipt> {
    bucket.check_key(&key)?;
    if let Change::Value(value) = &change {
        bucket.check_value(value)?;
    }
    Bucket::check_write(options)?;
    let deadline = bucket.deadline(options.timeout)?;
    let resolved = match bucket.resolve() {
        Ok(resolved) => resolved,
        Err(_) => bucket.resolve_or_wait(deadline).await?,
    };
    let context = match &options.context {
        Some(context) => Some(context.open(&resolved.scope, &key)?),
        None => None,
    };
    let level = resolved.write_level(options, bucket.store.defaults.consistency)?;
    let request = WriteRequest {
        bucket: resolved.id,
        key: key.clone(),
        change,
        expiry: expiry(options.ttl),
        context,
        level,
        sloppy: resolved.sloppy(options.sloppy, bucket.store.defaults.sloppy, level)?,
        floor: floor(&bucket.store),
        deadline,
        caller: caller(options.event_loop),
    };
    let Written { clock, owners, fallbacks, now, .. } =
        Arc::clone(&bucket.store.backend).write(request).await?;
    bucket.store.absorb(now);
    Ok(Receipt { context: Context::seen(resolved.scope, key, clock), owners, fallbacks })
}

fn expiry(ttl: Option<Ttl>) -> Expiry {
    match ttl {
        None => Expiry::Bucket,
        Some(Ttl::Never) => Expiry::Never,
        Some(Ttl::After(after)) => {
            let whole = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            let partial = u64::from(after.subsec_nanos() % 1_000_000 != 0);
            Expiry::AfterMs(whole.saturating_add(partial).max(1))
        }
    }
}

impl Get {
    async fn run(self) -> Result<Option<Bytes>> {
        let (resolved, record) = fetch(&self.bucket, &self.key, &self.options).await?;
        let now = self.bucket.store.backend.env().unix_ms();
        resolved.value(self.key, record.as_ref(), now)
    }
}

impl Read {
    async fn run(self) -> Result<Entry> {
        let (resolved, record) = fetch(&self.bucket, &self.key, &self.options).await?;
        let now = self.bucket.store.backend.env().unix_ms();
        Ok(resolved.entry(self.key, record.as_ref(), now))
    }
}

impl<F> Update<F>
where
    F: FnOnce(&[Value]) -> Result<Option<Bytes>> + Send + 'static,
{
    async fn run(self) -> Result<Option<Bytes>> {
        let read = ReadOptions {
            consistency: self.options.consistency,
            timeout: self.options.timeout,
            sloppy: self.options.sloppy,
            event_loop: self.options.event_loop,
            r: None,
        };
        let (resolved, record) = fetch(&self.bucket, &self.key, &read).await?;
        let now = self.bucket.store.backend.env().unix_ms();
        let entry = resolved.entry(self.key.clone(), record.as_ref(), now);
        let value = (self.merge)(entry.siblings())?;
        let change = value.clone().map_or(Change::Tombstone, Change::Value);
        let options = WriteOptions { context: Some(entry.context().clone()), ..self.options };
        store(&self.bucket, self.key, change, &options).await?;
        Ok(value)
    }
}

/// Runs futures together; each result stands where its future stood.
async fn together<T>(futures: Vec<BoxFuture<'static, Result<T>>>) -> Vec<Result<T>> {
    let mut waiting: Vec<_> = futures.into_iter().map(Some).collect();
    let mut results: Vec<Option<Result<T>>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        let mut open = 0;
        for (future, result) in waiting.iter_mut().zip(results.iter_mut()) {
            if let Some(pending) = future {
                match pending.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => {
                        *result = Some(value);
                        *future = None;
                    }
                    std::task::Poll::Pending => open += 1,
                }
            }
        }
        if open > 0 {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(results.iter_mut().filter_map(Option::take).collect())
    })
    .await
}

/// How many items of a batch are under way at once: enough to fill a connection, few enough to poll together cheaply.
const TOGETHER: usize = 64;

async fn in_rounds<I, T>(
    items: Vec<I>,
    mut start: impl FnMut(I) -> BoxFuture<'static, Result<T>>,
) -> Vec<Result<T>> {
    let mut results = Vec::with_capacity(items.len());
    let mut items = items.into_iter();
    loop {
        let round: Vec<_> = items.by_ref().take(TOGETHER).map(&mut start).collect();
        if round.is_empty() {
            return results;
        }
        results.extend(together(round).await);
    }
}

impl IntoFuture for Get {
    type Output = Result<Option<Bytes>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.run().await.map_err(|error| error.during("get")) })
    }
}

impl IntoFuture for Read {
    type Output = Result<Entry>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.run().await.map_err(|error| error.during("read")) })
    }
}

impl IntoFuture for Put {
    type Output = Result<Receipt>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let put = store(&self.bucket, self.key, Change::Value(self.value), &self.options);
            put.await.map_err(|error| error.during("put"))
        })
    }
}

impl IntoFuture for Delete {
    type Output = Result<Receipt>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let delete = store(&self.bucket, self.key, Change::Tombstone, &self.options);
            delete.await.map_err(|error| error.during("delete"))
        })
    }
}

impl<F> IntoFuture for Update<F>
where
    F: FnOnce(&[Value]) -> Result<Option<Bytes>> + Send + 'static,
{
    type Output = Result<Option<Bytes>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.run().await.map_err(|error| error.during("update")) })
    }
}

impl IntoFuture for GetMany {
    type Output = Vec<Result<Option<Bytes>>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { bucket, keys, options } = self;
            let start = |key: Bytes| bucket.get(key).options(options.clone()).into_future();
            in_rounds(keys, start).await
        })
    }
}

impl IntoFuture for PutMany {
    type Output = Vec<Result<Receipt>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { bucket, items, options } = self;
            let start =
                |(key, value): (Bytes, Bytes)| bucket.put(key, value).options(options.clone()).into_future();
            in_rounds(items, start).await
        })
    }
}

impl IntoFuture for Count {
    type Output = Result<u64>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut scan = self.bucket.scan(self.options);
            let mut count = 0;
            while let Some(item) = scan.next().await.map_err(|error| error.during("count"))? {
                // A conflict counts: the key is there.
                count += u64::from(!item.entry.siblings().is_empty());
            }
            Ok(count)
        })
    }
}
