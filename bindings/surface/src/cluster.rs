//! Several real nodes in this process, for the tests of applications: the core's testing cluster behind handles.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringkeep::base::error::{Error, ErrorKind, Result};
use ringkeep::testing::{Cluster, ClusterOptions};

use crate::op::{Kind, Op, leak_if_forked};
use crate::scope::Scope;
use crate::store::StoreHandle;

/// A cluster of real nodes in this process. Cheap to clone; the last one that is dropped ends the nodes.
#[derive(Clone, Debug)]
pub struct ClusterHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scope: Arc<Scope>,
    // Present until the drop, which leaks it in a child of fork.
    cluster: Option<Cluster>,
    nodes: Mutex<Vec<StoreHandle>>,
}

impl Inner {
    fn cluster(&self) -> Result<&Cluster> {
        self.cluster.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "the cluster is gone"))
    }

    fn handle(&self, index: usize) -> Result<StoreHandle> {
        Ok(StoreHandle::over_node(Scope::new(0)?, self.cluster()?.node(index)?))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        leak_if_forked(&self.scope, self.cluster.take());
    }
}

impl ClusterHandle {
    /// Starts `size` nodes with `n` replicas for the default bucket, in memory or under a directory.
    pub fn start(size: usize, n: u32, path: Option<&str>) -> Op<Self> {
        let scope = match Scope::new(0) {
            Ok(scope) => scope,
            Err(error) => return Op::ready(Err(error)),
        };
        let options = ClusterOptions { size, n, path: path.map(PathBuf::from), ..ClusterOptions::default() };
        let own = Arc::clone(&scope);
        Op::new(&scope, Kind::Life, async move {
            let cluster = Some(Cluster::start(options).await?);
            let inner = Inner { scope: own, cluster, nodes: Mutex::default() };
            let nodes = (0..size).map(|index| inner.handle(index)).collect::<Result<_>>()?;
            *inner.nodes.lock() = nodes;
            Ok(Self(Arc::new(inner)))
        })
    }

    /// The nodes in their order; a node that was killed stays in its place, closed.
    #[must_use]
    pub fn nodes(&self) -> Vec<StoreHandle> {
        self.0.nodes.lock().clone()
    }

    /// A client of the cluster.
    pub fn client(&self) -> Op<StoreHandle> {
        self.op(|inner| async move {
            let client = inner.cluster()?.client().await?;
            Ok(StoreHandle::over_client(Scope::new(0)?, client))
        })
    }

    /// Ends a node as kill -9 would: nothing is flushed.
    pub fn kill(&self, index: usize) -> Op<()> {
        self.op(move |inner| async move { inner.cluster()?.kill(index).await })
    }

    /// Brings the same member back; its place in `nodes` then holds a new handle.
    pub fn restart(&self, index: usize) -> Op<()> {
        self.op(move |inner| async move {
            inner.cluster()?.restart(index).await?;
            let handle = inner.handle(index)?;
            if let Some(place) = inner.nodes.lock().get_mut(index) {
                *place = handle;
            }
            Ok(())
        })
    }

    /// Cuts the network between groups of nodes, given by index; nodes that no group names form one more together.
    pub fn partition(&self, groups: Vec<Vec<usize>>) -> Op<()> {
        self.op(move |inner| async move { inner.cluster()?.partition(&groups) })
    }

    /// Mends the network.
    pub fn heal(&self) -> Op<()> {
        self.op(|inner| async move {
            inner.cluster()?.heal();
            Ok(())
        })
    }

    /// Ends when nothing is left to repair.
    pub fn settle(&self, timeout: Duration) -> Op<()> {
        self.op(move |inner| async move { inner.cluster()?.settle(timeout).await })
    }

    /// Closes every node. Idempotent.
    pub fn close(&self) -> Op<()> {
        self.op(|inner| async move {
            let nodes = inner.nodes.lock().clone();
            for node in nodes {
                node.close(None).into_future().await?;
            }
            inner.cluster()?.close().await
        })
    }

    fn op<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Op<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        Op::new(&self.0.scope, Kind::Life, work(Arc::clone(&self.0)))
    }
}
