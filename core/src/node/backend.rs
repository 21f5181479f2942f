//! The node as the backend of its store: what it owns it coordinates itself, everything else goes to an owner.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::NodeCore;
use crate::base::env::{BoxFuture, Deadline, Env};
use crate::base::error::Result;
use crate::base::ids::{Epoch, Time};
use crate::base::settings::Settings;
use crate::client::{ReadRequest, ScanRequest, ScannedPage, TopologySource, WriteRequest, Written};
use crate::membership::chain::Change;
use crate::ring::{BucketSpec, Topology};
use crate::store::{Backend, Status};

impl Backend for NodeCore {
    fn env(&self) -> &Env {
        &self.env
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn topology(&self) -> Option<Arc<Topology>> {
        if self.serving.get().is_some() { self.topology.current() } else { None }
    }

    fn ready(self: Arc<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let _passage = self.gate.enter()?;
            self.joined().await
        })
    }

    fn read(self: Arc<Self>, request: ReadRequest) -> BoxFuture<'static, Result<(Option<Bytes>, Time)>> {
        Box::pin(async move {
            let _passage = self.gate.enter()?;
            self.read_anywhere(&request).await
        })
    }

    fn write(self: Arc<Self>, request: WriteRequest) -> BoxFuture<'static, Result<Written>> {
        Box::pin(async move {
            let _passage = self.gate.enter()?;
            self.write_anywhere(&request).await
        })
    }

    fn scan(self: Arc<Self>, request: ScanRequest) -> BoxFuture<'static, Result<ScannedPage>> {
        Box::pin(async move {
            let _passage = self.gate.enter()?;
            self.serving()?.coordinator.scan(&request).await
        })
    }

    fn create_bucket(
        self: Arc<Self>,
        spec: BucketSpec,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let _passage = self.gate.enter()?;
            self.joined().await?;
            self.propose(&Change::CreateBucket(spec), deadline).await.map(drop)
        })
    }

    fn refresh(self: Arc<Self>, deadline: Deadline) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let _passage = self.gate.enter()?;
            self.topology.refresh(Epoch::default(), deadline).await
        })
    }

    fn status(self: Arc<Self>, _deadline: Deadline) -> BoxFuture<'static, Result<Status>> {
        Box::pin(async move {
            let _passage = self.gate.enter()?;
            Ok(self.status_now())
        })
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        self.metrics_now()
    }

    fn close(self: Arc<Self>, timeout: Duration) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            if !self.gate.close() {
                return Ok(());
            }
            // Operations under way have this long; then their connections end and they fail.
            let _drained = self.env.deadline(timeout).limit(self.gate.empty()).await;
            self.peers.pool().close();
            self.env.stop();
            // What cannot be stored is owed all the same: the next start compares whole copies.
            let _stored = self.hints.store();
            self.engine.close()
        })
    }

    fn abandon(&self) {
        self.gate.close();
        self.env.stop();
    }
}

impl NodeCore {
    pub(super) async fn read_anywhere(&self, request: &ReadRequest) -> Result<(Option<Bytes>, Time)> {
        let coordinator = &self.serving()?.coordinator;
        if coordinator.owns(request.bucket, &request.key)? {
            return coordinator.get(request).await;
        }
        Box::pin(self.router.read(request)).await
    }

    pub(super) async fn write_anywhere(self: &Arc<Self>, request: &WriteRequest) -> Result<Written> {
        let serving = self.serving()?;
        if !self.topology.sealed() {
            // The first write fixes the owners: a member that joins later owns nothing until partitions can move.
            Box::pin(self.propose(&Change::Seal, request.deadline)).await?;
        }
        if serving.coordinator.owns(request.bucket, &request.key)? {
            match self.check_clock() {
                Ok(()) => return serving.coordinator.put(request).await,
                // Another owner may mint; without one, this is what is wrong.
                Err(skew) => {
                    let routed = Box::pin(self.router.write(request)).await;
                    return routed.map_err(|error| if error.maybe_applied() { error } else { skew });
                }
            }
        }
        Box::pin(self.router.write(request)).await
    }
}
