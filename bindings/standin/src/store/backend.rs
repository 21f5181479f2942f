//! The seam between a store's operations and what carries them out: a node's coordinator, or a client's routing.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::admin::{BucketInfo, Status};
use crate::base::env::{BoxFuture, Deadline, Env};
use crate::base::error::Result;
use crate::base::ids::{BucketId, Dot, Time};
use crate::base::settings::Settings;
use crate::causality::{Clock, Record};
use crate::ring::{BucketSpec, Level, Topology};
use crate::wire::message::{Change, Expiry};

/// Whose thread polls an operation first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caller {
    /// One that may wait for the disk.
    Thread,
    /// An event loop's: the first poll neither reads the disk nor waits for it.
    EventLoop,
}

/// A read, resolved against its bucket.
#[derive(Clone, Debug)]
pub(crate) struct ReadRequest {
    pub(crate) bucket: BucketId,
    pub(crate) key: Bytes,
    pub(crate) level: Level,
    pub(crate) deadline: Deadline,
    pub(crate) caller: Caller,
}

/// A write, resolved against its bucket.
#[derive(Clone, Debug)]
pub(crate) struct WriteRequest {
    pub(crate) bucket: BucketId,
    pub(crate) key: Bytes,
    pub(crate) change: Change,
    pub(crate) expiry: Expiry,
    pub(crate) context: Option<Clock>,
    pub(crate) level: Level,
    pub(crate) floor: Time,
    pub(crate) deadline: Deadline,
    pub(crate) caller: Caller,
}

/// What a write did.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) dot: Dot,
    pub(crate) clock: Clock,
    pub(crate) owners: u32,
    pub(crate) fallbacks: u32,
    pub(crate) now: Time,
}

/// One page of a scan.
#[derive(Clone, Debug)]
pub(crate) struct ScanRequest {
    pub(crate) bucket: BucketId,
    pub(crate) after: Bytes,
    pub(crate) inclusive: bool,
    pub(crate) prefix: Bytes,
    pub(crate) end: Bytes,
    pub(crate) items_max: u32,
    pub(crate) values: bool,
    pub(crate) level: Level,
    pub(crate) deadline: Deadline,
    pub(crate) caller: Caller,
}

/// The records of one page in key order; `more` says that another page may follow the last key.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScannedPage {
    pub(crate) items: Vec<(Bytes, Record)>,
    pub(crate) more: bool,
    pub(crate) last: Bytes,
}

/// What carries operations out.
pub(crate) trait Backend: Send + Sync + Debug + 'static {
    /// The environment that operations run in.
    fn env(&self) -> &Env;
    /// The settings with the limits that hold before a request leaves the caller's thread.
    fn settings(&self) -> &Settings;
    /// The topology, once there is one.
    fn topology(&self) -> Option<Arc<Topology>>;
    /// Waits until operations can be served.
    fn ready(self: Arc<Self>) -> BoxFuture<'static, Result<()>>;
    /// Reads the merged record of a key; none: never written, or removed.
    fn read(self: Arc<Self>, request: ReadRequest) -> BoxFuture<'static, Result<(Option<Record>, Time)>>;
    /// Writes a key.
    fn write(self: Arc<Self>, request: WriteRequest) -> BoxFuture<'static, Result<Written>>;
    /// Reads one page of a scan.
    fn scan(self: Arc<Self>, request: ScanRequest) -> BoxFuture<'static, Result<ScannedPage>>;
    /// Creates a bucket.
    fn create_bucket(self: Arc<Self>, spec: BucketSpec, deadline: Deadline)
    -> BoxFuture<'static, Result<()>>;
    /// Fetches the newest topology if a peer may have it; resolves quickly when none answers.
    fn refresh(self: Arc<Self>, deadline: Deadline) -> BoxFuture<'static, Result<()>>;
    /// The state of the cluster.
    fn status(self: Arc<Self>, deadline: Deadline) -> BoxFuture<'static, Result<Status>>;
    /// Counters and gauges by name.
    fn metrics(&self) -> Vec<(String, f64)>;
    /// Ends the work: waits for operations under way, at most so long. Idempotent.
    fn close(self: Arc<Self>, timeout: Duration) -> BoxFuture<'static, Result<()>>;
}

/// The buckets of a topology as administration shows them.
pub(crate) fn bucket_infos(topology: &Topology) -> Vec<BucketInfo> {
    topology.buckets.values().map(|bucket| BucketInfo::of(bucket)).collect()
}
