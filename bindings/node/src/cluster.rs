//! A cluster of nodes in this process, as `node/lib/testing.js` holds it.

use std::rc::Rc;
use std::time::Duration;

use napi_derive::napi;
use ringkeep_surface::ClusterHandle;

use crate::arguments;
use crate::event_loop::Local;
use crate::store::Store;

/// How long `settle` waits unless it is told.
const SETTLE: Duration = Duration::from_secs(10);

/// Real nodes for tests.
#[napi]
pub struct Cluster {
    local: Rc<Local>,
    cluster: ClusterHandle,
}

impl Cluster {
    pub(crate) fn new(local: Rc<Local>, cluster: ClusterHandle) -> Self {
        Self { local, cluster }
    }
}

#[napi]
impl Cluster {
    /// The node in that place now.
    #[napi]
    pub fn node(&self, index: u32) -> Option<Store> {
        let node = self.cluster.nodes().into_iter().nth(place(index))?;
        Some(Store::new(Rc::clone(&self.local), node))
    }

    /// Connects a client.
    #[napi]
    pub fn client(&self, id: u32) -> i64 {
        self.local.start_elsewhere(id, || Ok(self.cluster.client()))
    }

    /// Ends a node as kill -9 would.
    #[napi]
    pub fn kill(&self, id: u32, index: u32) -> i64 {
        self.local.start_elsewhere(id, || Ok(self.cluster.kill(place(index))))
    }

    /// Brings the same member back.
    #[napi]
    pub fn restart(&self, id: u32, index: u32) -> i64 {
        self.local.start_elsewhere(id, || Ok(self.cluster.restart(place(index))))
    }

    /// Cuts the network between groups of nodes.
    #[napi]
    pub fn partition(&self, id: u32, groups: Vec<Vec<u32>>) -> i64 {
        let groups = groups.into_iter().map(|group| group.into_iter().map(place).collect()).collect();
        self.local.start_elsewhere(id, || Ok(self.cluster.partition(groups)))
    }

    /// Mends the network.
    #[napi]
    pub fn heal(&self, id: u32) -> i64 {
        self.local.start_elsewhere(id, || Ok(self.cluster.heal()))
    }

    /// Waits until nothing is left to repair.
    #[napi]
    pub fn settle(&self, id: u32, timeout_ms: Option<f64>) -> i64 {
        let settle = || Ok(self.cluster.settle(arguments::timeout(timeout_ms)?.unwrap_or(SETTLE)));
        self.local.start_elsewhere(id, settle)
    }

    /// Ends every node.
    #[napi]
    pub fn close(&self, id: u32) -> i64 {
        self.local.start_elsewhere(id, || Ok(self.cluster.close()))
    }
}

fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
