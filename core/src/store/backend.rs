//! The seam between a store's operations and what carries them out: a node's coordinator, or a client's routing.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::admin::{BucketInfo, Status};
use crate::base::env::{BoxFuture, Deadline, Env};
use crate::base::error::Result;
use crate::base::ids::Time;
use crate::base::settings::Settings;
use crate::client::{
    EventsPage, EventsRequest, ExplainRequest, Explanation, ReadRequest, ScanRequest, ScannedPage,
    WriteRequest, Written,
};
use crate::ring::{BucketSpec, Topology};

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
    /// Reads the merged record of a key, encoded; none: never written, or removed.
    fn read(self: Arc<Self>, request: ReadRequest) -> BoxFuture<'static, Result<(Option<Bytes>, Time)>>;
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
    /// Asks all replicas of a key.
    fn explain(self: Arc<Self>, request: ExplainRequest) -> BoxFuture<'static, Result<Explanation>>;
    /// Waits for the events after a number.
    fn events(self: Arc<Self>, request: EventsRequest) -> BoxFuture<'static, Result<EventsPage>>;
    /// Counters and gauges by name.
    fn metrics(&self) -> Vec<(String, f64)>;
    /// Ends the work: waits for operations under way, at most so long. Idempotent.
    fn close(self: Arc<Self>, timeout: Duration) -> BoxFuture<'static, Result<()>>;
    /// The last handle has gone without `close`: stops every task.
    fn abandon(&self);
}

/// The buckets of a topology as administration shows them.
pub(crate) fn bucket_infos(topology: &Topology) -> Vec<BucketInfo> {
    topology.buckets.values().map(BucketInfo::of).collect()
}
