//! A bucket handle: a name, looked up in the topology by each operation, and the operations themselves.

use std::sync::Arc;

use bytes::Bytes;

use super::context::{Context, Scope};
use super::entry::{Entry, Value};
use super::handle::StoreInner;
use super::operations::{Count, Delete, Get, GetMany, Put, PutMany, Read, Update};
use super::options::{ReadOptions, ScanOptions, WriteOptions, check_timeout, level};
use super::scan::Scan;
use crate::base::env::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{BucketId, Time};
use crate::causality::{Clock, ContextKey, Payload, Record};
use crate::client::{Caller, no_cluster};
use crate::ring::{BucketSpec, Consistency, Level, Resolver};

/// A named keyspace of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(crate) store: Arc<StoreInner>,
    pub(crate) name: Arc<str>,
}

impl Bucket {
    pub(crate) fn named(store: Arc<StoreInner>, name: &str) -> Self {
        Self { store, name: name.into() }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value that the resolver picks, or none.
    pub fn get(&self, key: impl Into<Bytes>) -> Get {
        Get::new(self.clone(), key.into())
    }

    /// Every live sibling and the context.
    pub fn read(&self, key: impl Into<Bytes>) -> Read {
        Read::new(self.clone(), key.into())
    }

    /// Stores a value.
    pub fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Put {
        Put::new(self.clone(), key.into(), value.into())
    }

    /// Deletes; without a context it covers what its coordinator has stored.
    pub fn delete(&self, key: impl Into<Bytes>) -> Delete {
        Delete::new(self.clone(), key.into())
    }

    /// Reads every live sibling, lets `merge` make one value of them (none deletes), and puts it with their context.
    pub fn update<F>(&self, key: impl Into<Bytes>, merge: F) -> Update<F>
    where
        F: FnOnce(&[Value]) -> Result<Option<Bytes>> + Send + 'static,
    {
        Update::new(self.clone(), key.into(), merge)
    }

    /// Reads several keys at once; each has its own result, in the order of the keys.
    pub fn get_many(&self, keys: impl IntoIterator<Item = impl Into<Bytes>>) -> GetMany {
        GetMany::new(self.clone(), keys.into_iter().map(Into::into).collect())
    }

    /// Stores several values at once; each has its own result, in the order of the items.
    pub fn put_many<K: Into<Bytes>, V: Into<Bytes>>(
        &self,
        items: impl IntoIterator<Item = (K, V)>,
    ) -> PutMany {
        PutMany::new(self.clone(), items.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// Streams entries in key order; not a snapshot.
    #[must_use]
    pub fn scan(&self, options: ScanOptions) -> Scan {
        Scan::new(self.clone(), options)
    }

    /// Counts the keys that a `get` would show.
    #[must_use]
    pub fn count(&self, options: ScanOptions) -> Count {
        Count::new(self.clone(), options)
    }

    /// The bucket's rules, if the store belongs to a cluster and the bucket exists.
    pub(crate) fn resolve(&self) -> Result<Resolved> {
        let topology = self.store.backend.topology().ok_or_else(no_cluster)?;
        let spec = topology.bucket_named(&self.name).ok_or_else(|| {
            Error::new(
                ErrorKind::NoSuchBucket,
                format!("bucket {:?} does not exist: create it first", self.name),
            )
        })?;
        Ok(Resolved {
            scope: Scope {
                secret: ContextKey(topology.context_key),
                cluster: topology.cluster,
                bucket: spec.id,
            },
            id: spec.id,
            resolver: spec.resolver,
            r: default_level(spec, spec.r),
            w: default_level(spec, spec.w),
            sloppy: (spec.id != BucketId(0)).then_some(spec.sloppy),
            n: u32::try_from(spec.n.total()).unwrap_or(u32::MAX),
        })
    }

    /// As `resolve`, but waits for a cluster, and asks once for a newer topology when the bucket is unknown.
    pub(crate) async fn resolve_or_wait(&self, deadline: Deadline) -> Result<Resolved> {
        let first = match self.resolve() {
            Ok(resolved) => return Ok(resolved),
            Err(error) => error,
        };
        if first.kind() == ErrorKind::NoSuchBucket {
            deadline.limit(Arc::clone(&self.store.backend).refresh(deadline)).await??;
        } else {
            deadline.limit(Arc::clone(&self.store.backend).ready()).await??;
        }
        self.resolve()
    }

    pub(crate) fn deadline(&self, timeout: Option<std::time::Duration>) -> Result<Deadline> {
        let backend = &self.store.backend;
        let timeout = match timeout.or(self.store.defaults.timeout) {
            Some(timeout) => check_timeout(timeout)?,
            None => backend.settings().timeout(),
        };
        Ok(backend.env().deadline(timeout))
    }

    pub(crate) fn check_key(&self, key: &[u8]) -> Result<()> {
        let most = self.store.backend.settings().key_bytes_max;
        if key.is_empty() {
            return Err(Error::invalid("the key is empty"));
        }
        if key.len() > most as usize {
            return Err(Error::invalid(format!("the key has {} bytes, more than {most}", key.len())));
        }
        Ok(())
    }

    pub(crate) fn check_value(&self, value: &[u8]) -> Result<()> {
        let most = self.store.backend.settings().value_bytes_max;
        if value.len() > most as usize {
            return Err(Error::invalid(format!("the value has {} bytes, more than {most}", value.len())));
        }
        Ok(())
    }

    /// The checks of a read's options that need no topology.
    pub(crate) fn check_read(options: &ReadOptions) -> Result<()> {
        level("r", options.consistency, options.r, u32::MAX).map(drop)
    }

    /// The checks of a write's options that need no topology.
    pub(crate) fn check_write(options: &WriteOptions) -> Result<()> {
        level("w", options.consistency, options.w, u32::MAX).map(drop)
    }
}

/// The level that a bucket states. The default bucket states none: it is nobody's own, so the store's defaults hold.
fn default_level(spec: &BucketSpec, level: Level) -> Option<Level> {
    (spec.id != BucketId(0)).then_some(level)
}

/// A bucket as the topology has it now.
pub(crate) struct Resolved {
    pub(crate) id: BucketId,
    pub(crate) resolver: Resolver,
    pub(crate) scope: Scope,
    r: Option<Level>,
    w: Option<Level>,
    sloppy: Option<bool>,
    pub(crate) n: u32,
}

impl Resolved {
    /// The level of a read: call, bucket, store, quorum.
    pub(crate) fn read_level(&self, options: &ReadOptions, store: Option<Consistency>) -> Result<Level> {
        let call = level("r", options.consistency, options.r, self.n)?;
        Ok(call
            .or(self.r)
            .or(store.map(Level::Consistency))
            .unwrap_or(Level::Consistency(Consistency::Quorum)))
    }

    /// The level of a write: call, bucket, store, quorum.
    pub(crate) fn write_level(&self, options: &WriteOptions, store: Option<Consistency>) -> Result<Level> {
        let call = level("w", options.consistency, options.w, self.n)?;
        Ok(call
            .or(self.w)
            .or(store.map(Level::Consistency))
            .unwrap_or(Level::Consistency(Consistency::Quorum)))
    }

    /// Whether a call at this level is sloppy: call, bucket, store, no.
    pub(crate) fn sloppy(&self, call: Option<bool>, store: Option<bool>, level: Level) -> Result<bool> {
        let sloppy = call.or(self.sloppy).or(store).unwrap_or(false);
        if sloppy {
            level.check_sloppy()?;
        }
        Ok(sloppy)
    }

    /// What a reader sees of a record.
    pub(crate) fn entry(&self, key: Bytes, record: Option<&Record>, now: u64) -> Entry {
        let mut siblings = Vec::new();
        let mut shown = None;
        if let Some(record) = record {
            let winner = record.shown(now).map(|sibling| sibling.dot);
            for sibling in record.live(now) {
                if let Payload::Value(bytes) = &sibling.payload {
                    if self.resolver == Resolver::Siblings || Some(sibling.dot) == winner {
                        shown = Some(siblings.len());
                    }
                    siblings.push(Value { bytes: bytes.clone(), expires: sibling.expires });
                }
            }
        }
        let clock = record.map_or_else(Clock::new, |record| record.clock.clone());
        let context = Context::seen(self.scope, key.clone(), clock);
        Entry { key, siblings, shown, resolver: self.resolver, context }
    }

    /// What `get` gives of a record.
    pub(crate) fn value(&self, key: Bytes, record: Option<&Record>, now: u64) -> Result<Option<Bytes>> {
        let Some(record) = record else { return Ok(None) };
        if self.resolver == Resolver::Siblings {
            return self.entry(key, Some(record), now).value().map(|value| value.map(|v| v.bytes.clone()));
        }
        Ok(record.shown(now).and_then(|sibling| match &sibling.payload {
            Payload::Value(bytes) => Some(bytes.clone()),
            Payload::Tombstone => None,
        }))
    }
}

pub(crate) fn caller(event_loop: bool) -> Caller {
    if event_loop { Caller::EventLoop } else { Caller::Thread }
}

/// The floor that a write carries: the greatest clock that this handle has been told.
pub(crate) fn floor(store: &StoreInner) -> Time {
    store.floor()
}
