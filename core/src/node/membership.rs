//! The node's side of agreeing on the topology: what is stored, what is current, and the changes that this node asks for.

use std::sync::Arc;

use tokio::sync::watch;

use super::NodeCore;
use crate::base::env::{BoxFuture, Deadline};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::Epoch;
use crate::client::TopologySource;
use crate::ring::{BucketSpec, Topology};
use crate::storage::key::meta_key;
use crate::storage::{Batch, Engine};
use crate::wire::control::{decode_topology, encode_topology};

const TOPOLOGY: &str = "topology/current";

/// The newest topology that this node has confirmed, and what leads to the next.
#[derive(Debug)]
pub(super) struct NodeTopology {
    engine: Arc<dyn Engine>,
    current: watch::Sender<Option<Arc<Topology>>>,
}

impl NodeTopology {
    pub(super) fn load(engine: Arc<dyn Engine>) -> Result<Self> {
        let stored = engine.get(&meta_key(TOPOLOGY))?.map(|bytes| decode_topology(&bytes)).transpose()?;
        Ok(Self { engine, current: watch::Sender::new(stored.map(Arc::new)) })
    }

    /// Stores a topology, then makes it current.
    pub(super) async fn confirm(&self, topology: Topology) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(meta_key(TOPOLOGY), encode_topology(&topology));
        let lsn = self.engine.apply(batch)?;
        self.engine.synced(lsn).await?;
        self.current.send_if_modified(|current| {
            let newer = current.as_ref().is_none_or(|current| current.epoch < topology.epoch);
            if newer {
                *current = Some(Arc::new(topology));
            }
            newer
        });
        Ok(())
    }

    pub(super) fn sealed(&self) -> bool {
        self.current.borrow().as_ref().is_some_and(|topology| topology.sealed)
    }

    pub(super) async fn seal(&self, _deadline: Deadline) -> Result<()> {
        let topology = self.current().ok_or_else(crate::client::no_cluster)?;
        self.confirm(topology.with_seal()).await
    }

    pub(super) async fn create_bucket(&self, spec: BucketSpec, _deadline: Deadline) -> Result<()> {
        let topology = self.current().ok_or_else(crate::client::no_cluster)?;
        match topology.bucket_named(&spec.name) {
            Some(known) if known.same_as(&spec) => Ok(()),
            Some(_) => Err(Error::invalid(format!("bucket {:?} exists with other rules", spec.name))),
            None => self.confirm(topology.with_bucket(spec)?).await,
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<Arc<Topology>>> {
        self.current.subscribe()
    }
}

impl TopologySource for NodeTopology {
    fn current(&self) -> Option<Arc<Topology>> {
        self.current.borrow().clone()
    }

    fn refresh(&self, _least: Epoch, _deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

impl NodeCore {
    /// Waits until this node is a member.
    pub(super) async fn joined(&self) -> Result<()> {
        let mut watch = self.topology.watch();
        while self.serving.get().is_none() {
            if self.closed() {
                return Err(Error::new(ErrorKind::Closed, "the store was closed"));
            }
            if watch.changed().await.is_err() {
                return Err(Error::new(ErrorKind::Closed, "the store was closed"));
            }
        }
        Ok(())
    }

    /// A peer told of an epoch: if it is newer, it is fetched in the background.
    #[expect(clippy::unused_self, reason = "the chain of epochs lands next")]
    pub(super) fn hear(&self, _epoch: Epoch) {}

    pub(super) async fn answer_control(
        self: &Arc<Self>,
        _bytes: bytes::Bytes,
        _from_member: bool,
    ) -> Result<bytes::Bytes> {
        Err(Error::not_in_this_version("control messages"))
    }
}
