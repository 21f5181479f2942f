//! The node's topology: what is stored and current, how a newer one is learned, and the addresses that go with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::NodeCore;
use crate::base::env::{BoxFuture, Deadline, Env};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::events::{EventKind, Events};
use crate::base::ids::{Epoch, NodeNumber};
use crate::client::{Peers, TopologySource};
use crate::membership::Members;
use crate::membership::state::ADDRESS_BYTES_MAX;
use crate::ring::Topology;
use crate::storage::key::meta_key;
use crate::storage::{Batch, Engine};
use crate::wire::control::proto::{FetchTopology, Peer, TopologyReply};
use crate::wire::control::{self, Kind, decode_topology, encode_topology};
use crate::wire::{Request, Response};

/// How long a member's claim of an epoch that nobody has is not looked into again.
const DISBELIEF: Duration = Duration::from_secs(30);

const TOPOLOGY: &str = "topology/current";

/// The newest topology that this node has confirmed, and what it has heard of the members.
#[derive(Debug)]
pub(super) struct NodeTopology {
    env: Env,
    engine: Arc<dyn Engine>,
    peers: Arc<Peers>,
    events: Arc<Events>,
    current: watch::Sender<Option<Arc<Topology>>>,
    /// The members as this node sees them, once it is one itself.
    members: Mutex<Option<Members>>,
    /// Epochs that members claimed and nobody had.
    disbelieved: Mutex<BTreeMap<NodeNumber, (Epoch, Deadline)>>,
    fetching: AtomicBool,
    confirming: tokio::sync::Mutex<()>,
}

impl NodeTopology {
    /// The topology that an engine holds.
    ///
    /// # Errors
    /// `Corruption` for a damaged one, and what the engine reports.
    pub(super) fn stored(engine: &dyn Engine) -> Result<Option<Topology>> {
        let damaged = |error: Error| Error::corrupt(format!("the stored topology: {}", error.message()));
        let stored = engine.get(&meta_key(TOPOLOGY))?;
        stored.map(|bytes| decode_topology(&bytes).map_err(damaged)).transpose()
    }

    pub(super) fn new(
        env: Env,
        engine: Arc<dyn Engine>,
        peers: Arc<Peers>,
        events: Arc<Events>,
        stored: Option<Topology>,
    ) -> Arc<Self> {
        Arc::new(Self {
            env,
            engine,
            peers,
            events,
            current: watch::Sender::new(stored.map(Arc::new)),
            members: Mutex::default(),
            disbelieved: Mutex::default(),
            fetching: AtomicBool::new(false),
            confirming: tokio::sync::Mutex::default(),
        })
    }

    /// Stores a topology if it is newer, then makes it current.
    ///
    /// # Errors
    /// `InvalidArgument` for one of another cluster, and what the engine reports.
    pub(super) async fn confirm(&self, topology: Topology) -> Result<()> {
        // One at a time: an older one that arrives while a newer one is being synced must not overwrite it on disk, or
        // an acceptor would come back behind what it has voted on.
        let _turn = self.confirming.lock().await;
        if let Some(current) = self.current() {
            if current.cluster != topology.cluster {
                let text =
                    format!("this node belongs to cluster {}, not {}", current.cluster, topology.cluster);
                return Err(Error::invalid(text));
            }
            if current.epoch >= topology.epoch {
                return Ok(());
            }
        }
        let mut batch = Batch::new();
        batch.put(meta_key(TOPOLOGY), encode_topology(&topology));
        let lsn = self.engine.apply(batch)?;
        self.engine.synced(lsn).await?;
        let before = self.current.send_replace(Some(Arc::new(topology)));
        self.publish_change(before.as_deref());
        Ok(())
    }

    /// Says what a topology that has just been confirmed changes.
    fn publish_change(&self, before: Option<&Topology>) {
        let Some(topology) = self.current() else { return };
        let now = self.env.unix_ms();
        for (number, member) in &topology.members {
            if before.is_none_or(|before| !before.members.contains_key(number)) {
                self.events.publish(now, EventKind::MemberJoined, Some(*number), member.id.clone());
            }
        }
        let (members, buckets) = (topology.members.len(), topology.buckets.len());
        let detail = format!("epoch {}: {members} members, {buckets} buckets", topology.epoch);
        self.events.publish(now, EventKind::TopologyChanged, None, detail);
    }

    pub(super) fn sealed(&self) -> bool {
        self.current.borrow().as_ref().is_some_and(|topology| topology.sealed)
    }

    /// Starts to watch the members; `starts` are the start numbers that an earlier run saw.
    pub(super) fn meet(&self, mut members: Members, topology: &Topology, starts: Vec<(NodeNumber, u64)>) {
        let now = self.env.now();
        members.admit(topology.members.keys().copied(), now);
        for (node, start) in starts {
            members.recall(node, start, now);
        }
        *self.members.lock() = Some(members);
    }

    /// Does something with the members as this node sees them; none: it is no member yet.
    pub(super) fn with_members<T>(&self, act: impl FnOnce(&mut Members) -> T) -> Option<T> {
        self.members.lock().as_mut().map(act)
    }

    /// Takes where others say that a member is reached, unless the member has said so itself.
    pub(super) fn take_peer(&self, peer: &Peer) {
        let node = NodeNumber(peer.number);
        let known = self.current().is_some_and(|topology| topology.members.contains_key(&node));
        if !known || peer.address.is_empty() || peer.address.len() > ADDRESS_BYTES_MAX {
            return;
        }
        let heard = self.with_members(|members| {
            members.own().number == node || members.state(node).is_some_and(|state| state.start >= peer.start)
        });
        if heard != Some(true) || self.peers.address(node).is_none() {
            self.peers.locate(node, &peer.address);
        }
    }

    /// What this node knows of the others' addresses.
    pub(super) fn known_peers(&self) -> Vec<Peer> {
        let addresses = self.peers.addresses();
        let starts: BTreeMap<NodeNumber, u64> = self
            .with_members(|members| members.states().map(|state| (state.number, state.start)).collect())
            .unwrap_or_default();
        addresses
            .into_iter()
            .map(|(node, address)| Peer {
                number: node.0,
                address: address.to_string(),
                start: starts.get(&node).copied().unwrap_or(0),
            })
            .collect()
    }

    async fn fetch_from(&self, address: &str, deadline: Deadline) -> Result<()> {
        let ours = self.current();
        let fetch = Kind::FetchTopology(FetchTopology {
            cluster: ours.as_ref().map(|topology| topology.cluster.0.to_vec().into()).unwrap_or_default(),
            have: ours.map(|topology| topology.epoch.into()),
        });
        let request = Request::Control(control::encode(fetch));
        match self.peers.pool().call(address, request, deadline).await.and_then(Response::into_result)? {
            Response::Control(bytes) => match control::accept_reply(control::decode(&bytes)?)? {
                Kind::TopologyReply(reply) => self.take_reply(reply).await,
                _ => Err(control::unexpected_reply("a request for the topology")),
            },
            _ => Err(control::unexpected_reply("a request for the topology")),
        }
    }

    pub(super) async fn take_reply(&self, reply: TopologyReply) -> Result<()> {
        if let Some(topology) = reply.topology {
            self.confirm(Topology::try_from(topology)?).await?;
        }
        for peer in reply.peers {
            self.take_peer(&peer);
        }
        Ok(())
    }
}

impl TopologySource for NodeTopology {
    fn current(&self) -> Option<Arc<Topology>> {
        self.current.borrow().clone()
    }

    fn refresh(&self, least: Epoch, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let mut last_error = None;
            for (_, address) in self.peers.addresses() {
                if least > Epoch::default() && self.current().is_some_and(|topology| topology.epoch >= least)
                {
                    return Ok(());
                }
                let attempt = deadline.min(self.env.deadline(Duration::from_millis(500)));
                if let Err(error) = self.fetch_from(&address, attempt).await {
                    last_error = Some(error);
                }
            }
            match last_error {
                Some(error) if self.current().is_none_or(|topology| topology.epoch < least) => Err(error),
                _ => Ok(()),
            }
        })
    }
}

impl NodeCore {
    /// Waits until this node is a member.
    pub(super) async fn joined(&self) -> Result<()> {
        let mut watch = self.activated.subscribe();
        loop {
            if self.closed() {
                return Err(Error::new(ErrorKind::Closed, "the store was closed"));
            }
            if *watch.borrow_and_update() {
                return Ok(());
            }
            if watch.changed().await.is_err() {
                return Err(Error::new(ErrorKind::Closed, "the store was closed"));
            }
        }
    }

    /// A newer topology: stored, made current, and served under if it names this node.
    pub(super) async fn learn(self: &Arc<Self>, topology: Topology) -> Result<()> {
        self.topology.confirm(topology).await?;
        match self.topology.current() {
            Some(current) => self.activate(&current).await,
            None => Ok(()),
        }
    }

    /// A peer told of an epoch: if it is newer, it is fetched in the background. A claim of one that nobody has is not
    /// looked into again for a while.
    pub(super) fn hear(self: &Arc<Self>, epoch: Epoch, from: Option<NodeNumber>) {
        let newer = self.topology.current().is_none_or(|topology| topology.epoch < epoch);
        let disbelieved = from.is_some_and(|from| {
            let claims = self.topology.disbelieved.lock();
            claims.get(&from).is_some_and(|(claimed, until)| *claimed == epoch && !until.passed())
        });
        if !newer || disbelieved || self.topology.fetching.swap(true, Ordering::AcqRel) {
            return;
        }
        let core = Arc::clone(self);
        self.env.spawn(async move {
            let deadline = core.env.deadline(core.settings.timeout());
            // Nobody who has it may be reachable; the next gossip tries again.
            let _fetched = core.topology.refresh(epoch, deadline).await;
            core.topology.fetching.store(false, Ordering::Release);
            let behind = core.topology.current().is_none_or(|topology| topology.epoch < epoch);
            if let (true, Some(from)) = (behind, from) {
                let until = core.env.deadline(DISBELIEF);
                core.topology.disbelieved.lock().insert(from, (epoch, until));
                core.refused(
                    "gossip_epoch",
                    Some(from),
                    &format!("n{from} claims epoch {epoch}, which nobody has"),
                );
            }
            if let Some(topology) = core.topology.current() {
                let _activated = core.activate(&topology).await;
            }
        });
    }

    /// Fetches a topology that a request was made under, before the request is served.
    pub(super) async fn catch_up(&self, epoch: Epoch) {
        if self.topology.current().is_some_and(|topology| topology.epoch < epoch) {
            let deadline = self.env.deadline(Duration::from_millis(self.settings.peer_timeout_ms));
            // The request is then judged by what is known; its sender hears of a refusal.
            let _fetched = Box::pin(self.topology.refresh(epoch, deadline)).await;
        }
    }
}
