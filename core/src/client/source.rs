//! Where the current topology comes from: a node's chain of epochs, or what a client has fetched.

use std::fmt::Debug;
use std::sync::Arc;

use crate::base::env::{BoxFuture, Deadline};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::Epoch;
use crate::ring::Topology;

/// The newest topology that is known here, and a way to ask for a newer one.
pub trait TopologySource: Send + Sync + Debug {
    /// The newest known topology, once there is one.
    fn current(&self) -> Option<Arc<Topology>>;

    /// Asks peers until the topology is at least this epoch, or nobody has it.
    fn refresh(&self, least: Epoch, deadline: Deadline) -> BoxFuture<'_, Result<()>>;
}

/// The newest topology, or the error of a store that has none yet.
///
/// # Errors
/// `QuorumUnavailable` before the store belongs to a cluster.
pub(crate) fn current(source: &dyn TopologySource) -> Result<Arc<Topology>> {
    source.current().ok_or_else(no_cluster)
}

/// The error of a store that has no topology yet.
pub(crate) fn no_cluster() -> Error {
    Error::new(ErrorKind::QuorumUnavailable, "this store does not belong to a cluster yet")
}
