//! The node as the backend of its store: what it owns it coordinates itself, everything else goes to an owner.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::{NodeCore, Serving};
use crate::base::env::{BoxFuture, Deadline, Env};
use crate::base::error::Result;
use crate::base::ids::{Epoch, Time};
use crate::base::settings::Settings;
use crate::client::{
    EventsPage, EventsRequest, ExplainRequest, Explanation, ReadRequest, Routed, ScanRequest, ScannedPage,
    TopologySource, WriteRequest, Written,
};
use crate::membership::chain::Change;
use crate::replica::Holder;
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
            self.read_anywhere(&request, false).await
        })
    }

    fn write(self: Arc<Self>, request: WriteRequest) -> BoxFuture<'static, Result<Written>> {
        Box::pin(async move {
            let _passage = self.gate.enter()?;
            self.write_anywhere(&request, false).await
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

    fn explain(self: Arc<Self>, request: ExplainRequest) -> BoxFuture<'static, Result<Explanation>> {
        Box::pin(async move {
            let _passage = self.gate.enter()?;
            self.explain_now(&request).await
        })
    }

    fn events(self: Arc<Self>, request: EventsRequest) -> BoxFuture<'static, Result<EventsPage>> {
        Box::pin(async move {
            // No passage beyond the check: a close ends this wait instead of waiting for it.
            drop(self.gate.enter()?);
            self.events_page(&request).await
        })
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        self.metrics_now()
    }

    fn close(self: Arc<Self>, timeout: Duration) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            self.gate.close();
            // A node that was fenced is closed already and not ended yet.
            if self.gate.ended.swap(true, Ordering::AcqRel) {
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
    /// Coordinates a read, or has it coordinated. A fallback does it itself when a member sent it here, who has judged
    /// the owners, and else when its turn comes.
    pub(super) async fn read_anywhere(
        &self,
        request: &ReadRequest,
        from_member: bool,
    ) -> Result<(Option<Bytes>, Time)> {
        let Serving { coordinator, replica, .. } = self.serving()?;
        let holder = coordinator.holds(request.bucket, &request.key, request.sloppy)?;
        if coordinates(holder, from_member) {
            return coordinator.get(request).await;
        }
        match Box::pin(self.router.read(request, holder.map(|_| replica.number()))).await? {
            Routed::Answered(answer) => Ok(answer),
            Routed::Mine => Box::pin(coordinator.get(request)).await,
        }
    }

    /// Coordinates a write, or has it coordinated, as for `read_anywhere`.
    pub(super) async fn write_anywhere(
        self: &Arc<Self>,
        request: &WriteRequest,
        from_member: bool,
    ) -> Result<Written> {
        let serving = self.serving()?;
        if !self.topology.sealed() {
            // The first write fixes the owners: a member that joins later owns nothing until partitions can move.
            Box::pin(self.propose(&Change::Seal, request.deadline)).await?;
        }
        let Serving { coordinator, replica, .. } = serving;
        let holder = coordinator.holds(request.bucket, &request.key, request.sloppy)?;
        let clock = self.check_clock();
        if coordinates(holder, from_member) && clock.is_ok() {
            return coordinator.put(request).await;
        }
        let me = holder.filter(|_| clock.is_ok()).map(|_| replica.number());
        match (Box::pin(self.router.write(request, me)).await, clock) {
            (Ok(Routed::Answered(written)), _) => Ok(written),
            (Ok(Routed::Mine), _) => Box::pin(coordinator.put(request)).await,
            // Another member may mint; without one, this is what is wrong.
            (Err(error), Err(skew)) if holder.is_some() && !error.maybe_applied() => Err(skew),
            (Err(error), _) => Err(error),
        }
    }
}

/// Whether a node coordinates a request at once.
fn coordinates(holder: Option<Holder>, from_member: bool) -> bool {
    match holder {
        Some(Holder::Owner) => true,
        Some(Holder::Fallback) => from_member,
        None => false,
    }
}
