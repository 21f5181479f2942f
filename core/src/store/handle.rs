//! The store: a node or a client, cheap to clone. It carries the greatest clock that its replies have told it, so that
//! one program's writes win over its own earlier ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::admin::{BucketInfo, Status};
use super::backend::{Backend, bucket_infos};
use super::bucket::Bucket;
use super::options::check_timeout;
use crate::base::env::{BoxFuture, Env};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{PartitionId, Time};
use crate::client::no_cluster;
use crate::ring::bucket::BUCKET_DEFAULT;
use crate::ring::{BucketSpec, Consistency, Replicas};

/// What holds for every call of a store that says nothing else, and whose bucket says nothing either.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    /// The level of reads and writes.
    pub consistency: Option<Consistency>,
    /// Whether fallbacks count.
    pub sloppy: Option<bool>,
    /// The time limit; none: the settings' `timeout_ms`.
    pub timeout: Option<Duration>,
}

/// The operations of a node or client.
#[derive(Clone, Debug)]
pub struct Store(pub(crate) Arc<StoreInner>);

#[derive(Debug)]
pub(crate) struct StoreInner {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) defaults: Defaults,
    floor: AtomicU64,
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        self.backend.abandon();
    }
}

impl StoreInner {
    pub(crate) fn floor(&self) -> Time {
        Time(self.floor.load(Ordering::Acquire))
    }

    pub(crate) fn absorb(&self, now: Time) {
        self.floor.fetch_max(now.0, Ordering::AcqRel);
    }
}

impl Store {
    pub(crate) fn over(backend: Arc<dyn Backend>, defaults: Defaults) -> Self {
        Self(Arc::new(StoreInner { backend, defaults, floor: AtomicU64::new(0) }))
    }

    /// The environment in which operations run: a thread outside its runtime enters `env().handle()` before it polls one.
    #[must_use]
    pub fn env(&self) -> &Env {
        self.0.backend.env()
    }

    /// A bucket by name; that it exists is judged by each operation.
    #[must_use]
    pub fn bucket(&self, name: &str) -> Bucket {
        Bucket::named(Arc::clone(&self.0), name)
    }

    /// The default bucket.
    #[must_use]
    pub fn default_bucket(&self) -> Bucket {
        self.bucket(BUCKET_DEFAULT)
    }

    /// Waits until operations can be served.
    #[must_use]
    pub fn ready(&self, timeout: Option<Duration>) -> BoxFuture<'static, Result<()>> {
        let store = Arc::clone(&self.0);
        Box::pin(async move {
            let timeout = check_timeout(timeout.unwrap_or(store.backend.settings().timeout()))?;
            let deadline = store.backend.env().deadline(timeout);
            let ready = Arc::clone(&store.backend).ready();
            match deadline.limit(ready).await {
                Ok(result) => result,
                Err(_) => Err(Error::new(
                    ErrorKind::Timeout,
                    "this node does not belong to a cluster yet: no seed has let it in",
                )),
            }
            .map_err(|error| error.during("ready"))
        })
    }

    /// The topology that operations are routed by, once there is one.
    #[must_use]
    pub fn topology(&self) -> Option<Arc<crate::ring::Topology>> {
        self.0.backend.topology()
    }

    /// Creates a bucket. Creating one that exists with the same rules does nothing.
    #[must_use]
    pub fn create_bucket(&self, spec: BucketSpec) -> BoxFuture<'static, Result<()>> {
        let store = Arc::clone(&self.0);
        Box::pin(async move {
            spec.validate().map_err(|error| error.during("create_bucket"))?;
            let timeout = store.defaults.timeout.unwrap_or(store.backend.settings().timeout());
            let deadline = store.backend.env().deadline(timeout);
            let created = Arc::clone(&store.backend).create_bucket(spec, deadline);
            deadline
                .limit(created)
                .await
                .and_then(|result| result)
                .map_err(|error| error.during("create_bucket"))
        })
    }

    /// The buckets by number.
    ///
    /// # Errors
    /// `QuorumUnavailable` before the store belongs to a cluster.
    pub fn buckets(&self) -> Result<Vec<BucketInfo>> {
        let topology = self.0.backend.topology().ok_or_else(no_cluster)?;
        Ok(bucket_infos(&topology))
    }

    /// The ids of each partition's owners in the default bucket, in order of preference.
    ///
    /// # Errors
    /// `QuorumUnavailable` before the store belongs to a cluster.
    pub fn ring(&self) -> Result<Vec<Vec<String>>> {
        let topology = self.0.backend.topology().ok_or_else(no_cluster)?;
        let replicas = topology.buckets.first_key_value().map_or(Replicas::Count(3), |(_, b)| b.n.clone());
        let id = |number: &_| topology.members.get(number).map_or_else(String::new, |m| m.id.clone());
        let partitions = u16::try_from(topology.partitions).unwrap_or(u16::MAX);
        Ok((0..partitions)
            .map(|partition| topology.owners(PartitionId(partition), &replicas).iter().map(id).collect())
            .collect())
    }

    /// The state of the cluster as this store sees it.
    #[must_use]
    pub fn status(&self) -> BoxFuture<'static, Result<Status>> {
        let store = Arc::clone(&self.0);
        Box::pin(async move {
            let deadline = store.backend.env().deadline(store.backend.settings().timeout());
            let status = Arc::clone(&store.backend).status(deadline);
            deadline.limit(status).await.and_then(|result| result).map_err(|error| error.during("status"))
        })
    }

    /// Counters and gauges by name.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        self.0.backend.metrics().into_iter().collect()
    }

    /// Ends the work of the store: waits for operations under way, at most so long. Idempotent.
    #[must_use]
    pub fn close(&self, timeout: Option<Duration>) -> BoxFuture<'static, Result<()>> {
        let backend = Arc::clone(&self.0.backend);
        let timeout = timeout.unwrap_or(Duration::from_millis(backend.settings().close_timeout_ms));
        Box::pin(async move { backend.close(timeout).await.map_err(|error| error.during("close")) })
    }
}
