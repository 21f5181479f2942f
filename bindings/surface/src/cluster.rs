//! Several nodes in this process, for the tests of applications.

use std::sync::Arc;
use std::time::Duration;

use ringkeep::base::env::Env;
use ringkeep::base::error::{Error, Result};
use ringkeep::base::settings::Settings;
use ringkeep::testing::Cluster;

use crate::op::{Kind, Op};
use crate::scope::Scope;
use crate::store::StoreHandle;

/// A cluster of real nodes in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClusterHandle {
    scope: Arc<Scope>,
    cluster: Arc<Cluster>,
    nodes: Arc<Vec<StoreHandle>>,
}

impl ClusterHandle {
    /// Starts `size` nodes with `n` replicas for the default bucket, in memory or under a directory.
    pub fn start(size: usize, n: u32, path: Option<&str>) -> Op<Self> {
        let scope = match Scope::new(0) {
            Ok(scope) => scope,
            Err(error) => return Op::ready(Err(error)),
        };
        let settings = Settings { n, path: path.map(Into::into), ..Settings::default() };
        let own = Arc::clone(&scope);
        Op::new(&scope, Kind::Life, async move {
            let env = Env::system(own.handle().clone())?;
            let cluster = Arc::new(Cluster::start(size, settings, env).await?);
            let nodes =
                cluster.nodes().iter().map(|node| Ok(StoreHandle::over_node(Scope::new(0)?, node.clone())));
            let nodes = Arc::new(nodes.collect::<Result<Vec<_>>>()?);
            Ok(Self { scope: own, cluster, nodes })
        })
    }

    /// The nodes, in the order of their numbers; a node that was killed stays in its place.
    #[must_use]
    pub fn nodes(&self) -> Vec<StoreHandle> {
        self.nodes.to_vec()
    }

    /// A client of the cluster.
    pub fn client(&self) -> Op<StoreHandle> {
        let cluster = Arc::clone(&self.cluster);
        Op::new(&self.scope, Kind::Life, async move {
            Ok(StoreHandle::over_client(Scope::new(0)?, cluster.client()?))
        })
    }

    /// Ends a node as kill -9 would: nothing is flushed.
    pub fn kill(&self, index: usize) -> Op<()> {
        Op::ready(Err(Error::invalid(format!("node {index} cannot be killed yet"))))
    }

    /// Brings the same member back. Its place in `nodes` then holds a new handle.
    pub fn restart(&self, index: usize) -> Op<()> {
        Op::ready(Err(Error::invalid(format!("node {index} cannot be restarted yet"))))
    }

    /// Cuts the network between groups of nodes.
    pub fn partition(&self, _groups: &[Vec<usize>]) -> Op<()> {
        Op::ready(Err(Error::not_in_this_version("partition")))
    }

    /// Mends the network.
    pub fn heal(&self) -> Op<()> {
        Op::ready(Err(Error::not_in_this_version("heal")))
    }

    /// Ends when nothing is left to repair.
    pub fn settle(&self, timeout: Duration) -> Op<()> {
        let cluster = Arc::clone(&self.cluster);
        Op::new(&self.scope, Kind::Life, async move { cluster.settle(timeout).await })
    }

    /// Closes every node. Idempotent.
    pub fn close(&self) -> Op<()> {
        let nodes = Arc::clone(&self.nodes);
        Op::new(&self.scope, Kind::Life, async move {
            for node in nodes.iter() {
                node.close(None).into_future().await?;
            }
            Ok(())
        })
    }
}
