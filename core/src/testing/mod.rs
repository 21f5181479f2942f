//! Floor 6: a cluster of real nodes in one process, for applications' tests and for this project's own. Real sockets on
//! loopback; without a path each node's disk is in memory with the crash model.

mod cluster;
pub mod crowd;

pub use cluster::{Cluster, ClusterOptions};
