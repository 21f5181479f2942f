//! Floor 5: the node. Builds, wires, starts, drains and stops everything: engine, clock, copies, coordinator, membership,
//! connections. A node is a store; its operations run on the caller's thread as far as they need no network.

mod admission;
mod agreement;
mod backend;
mod clocks;
mod control;
mod gossip;
mod identity;
mod inquiry;
mod joining;
mod known;
mod membership;
mod open;
mod service;
mod status;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::base::env::{BoxFuture, Env};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::events::Events;
use crate::base::hlc::Hlc;
use crate::base::refusals::Refusals;
use crate::base::settings::Settings;
use crate::base::trusted::TrustedClock;
use crate::client::{Peers, Router, TopologySource};
use crate::coordinator::Coordinator;
use crate::membership::{Clocks, Founders};
use crate::repair::Settle;
use crate::replica::{Hints, Lease, Replica};
use crate::ring::Topology;
use crate::storage::Engine;
use crate::store::Store;
use crate::wire::Transport;
use admission::Admission;
use agreement::Seat;
use identity::Identity;
use known::KnownMembers;
use membership::NodeTopology;

/// A member of a cluster in this process. Derefs to [`Store`], which has the operations.
#[derive(Clone, Debug)]
pub struct Node {
    store: Store,
    core: Arc<NodeCore>,
}

/// What a node stands on: real parts for applications, simulated ones for tests.
#[derive(Debug)]
pub struct NodeParts {
    /// The settings, which `open_with` validates.
    pub settings: Settings,
    /// Time, randomness, tasks.
    pub env: Env,
    /// The disk.
    pub engine: Arc<dyn Engine>,
    /// The network.
    pub transport: Arc<dyn Transport>,
}

impl Node {
    /// Opens a node by its settings: with a path on disk, without one in memory; with `listen` on the network.
    /// Returns once it listens; until it belongs to a cluster operations wait, and `ready` waits for that.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of the settings; `Locked`, `Io`, `Corruption` for the directory; `Io` for the port.
    #[must_use]
    pub fn open(settings: Settings, env: Env) -> BoxFuture<'static, Result<Self>> {
        Box::pin(async move { open::open(settings, env).await.map_err(|error| error.during("open")) })
    }

    /// Opens a node over given parts.
    ///
    /// # Errors
    /// As for `open`.
    #[must_use]
    pub fn open_with(parts: NodeParts) -> BoxFuture<'static, Result<Self>> {
        Box::pin(async move { open::open_with(parts).await.map_err(|error| error.during("open")) })
    }

    /// The engine that settings ask for, for a node that is then opened over other parts of its own.
    #[cfg(feature = "testing")]
    pub(crate) fn engine_of(settings: &Settings, env: &Env) -> Result<Arc<dyn Engine>> {
        open::engine(settings, env)
    }

    /// The stable id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.core.identity.id
    }

    /// Where it is reached; none: it has no port.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.core.address.get().map(String::as_str)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Copies that this node still compares with their other owners, and debts to other owners that it still holds.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.core.unsettled()
    }

    /// The engine underneath.
    #[cfg(feature = "testing")]
    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.core.engine
    }

    /// Ends the node as `kill -9` would: nothing is flushed, no connection says goodbye.
    pub fn kill(&self) {
        self.core.gate.close();
        self.core.env.stop();
    }
}

impl Deref for Node {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// Everything that makes a node, shared by its store, its connections and its tasks.
pub(crate) struct NodeCore {
    env: Env,
    settings: Settings,
    engine: Arc<dyn Engine>,
    identity: Identity,
    hlc: Arc<Hlc>,
    lease: Arc<Lease>,
    topology: Arc<NodeTopology>,
    peers: Arc<Peers>,
    router: Router,
    hints: Arc<Hints>,
    events: Arc<Events>,
    refusals: Arc<Refusals>,
    serving: OnceLock<Serving>,
    address: OnceLock<String>,
    gate: Arc<Gate>,
    founders: Option<Founders>,
    seat: tokio::sync::Mutex<Seat>,
    proposing: tokio::sync::Mutex<()>,
    activating: tokio::sync::Mutex<()>,
    activated: watch::Sender<bool>,
    /// Where joiners that this node lets in say that they are reached, by id.
    joiners: Mutex<BTreeMap<String, String>>,
    known: Mutex<KnownMembers>,
    clock: Arc<TrustedClock>,
    clocks: Mutex<Clocks>,
    /// Milliseconds by which this node's clock is too far ahead of its peers'; 0: it is not.
    lead_ms: Arc<AtomicU64>,
    /// Told when this node's suspicions change.
    suspecting: Notify,
    gossip_bytes: AtomicU64,
    admission: Arc<Admission>,
}

/// What a node has once it is a member.
#[derive(Debug)]
struct Serving {
    replica: Arc<Replica>,
    coordinator: Coordinator,
    settle: Arc<Settle>,
}

impl std::fmt::Debug for NodeCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeCore").field("id", &self.identity.id).finish_non_exhaustive()
    }
}

impl NodeCore {
    fn topology(&self) -> Option<Arc<Topology>> {
        self.topology.current()
    }

    fn serving(&self) -> Result<&Serving> {
        self.serving.get().ok_or_else(crate::client::no_cluster)
    }

    fn closed(&self) -> bool {
        self.gate.closed.load(Ordering::Acquire)
    }
}

/// Counts operations under way, so that closing can wait for them.
#[derive(Debug, Default)]
struct Gate {
    closed: AtomicBool,
    /// Whether everything was brought to its end.
    ended: AtomicBool,
    /// Why this node must not go on: another process has its identity.
    fenced: OnceLock<Error>,
    under_way: AtomicUsize,
    left: Notify,
}

/// An operation under way.
struct Passage<'a>(&'a Gate);

impl Gate {
    fn enter(&self) -> Result<Passage<'_>> {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let passage = Passage(self);
        if self.closed.load(Ordering::Acquire) {
            return Err(self.reason());
        }
        Ok(passage)
    }

    /// The error of an operation after the end.
    fn reason(&self) -> Error {
        let closed = || Error::new(ErrorKind::Closed, "the store was closed");
        self.fenced.get().cloned().unwrap_or_else(closed)
    }

    /// Ends this node for a reason that operations then show; says whether it was the first.
    fn fence(&self, reason: Error) -> bool {
        let first = self.fenced.set(reason).is_ok();
        self.close();
        first
    }

    fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.under_way.load(Ordering::Acquire) == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::AcqRel) == 1 && self.0.closed.load(Ordering::Acquire) {
            self.0.left.notify_waiters();
        }
    }
}
