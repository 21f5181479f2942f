//! Starting a node, in order: settings, engine, identity, clock, topology, copies, network, tasks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use super::admission::Admission;
use super::agreement::Seat;
use super::identity::Identity;
use super::membership::NodeTopology;
use super::service::Service;
use super::{Gate, Node, NodeCore, NodeParts, Serving};
use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::events::Events;
use crate::base::hlc::Hlc;
use crate::base::ids::{ClusterId, NodeNumber, PartitionId};
use crate::base::settings::Settings;
use crate::base::trusted::TrustedClock;
use crate::client::{Check, Introduce, Peers, Pool, Router, TopologySource};
use crate::coordinator::{Coordinator, Parts};
use crate::membership::Founders;
use crate::repair::{Drain, Exchange, Handoff, Settle};
use crate::replica::{HintLimits, Hints, Lease, Limits, Replica};
use crate::ring::bucket::BUCKET_DEFAULT;
use crate::ring::topology::Member;
use crate::ring::{BucketSpec, Location, Replicas, Topology};
use crate::storage::{DiskEngine, DiskSettings, Engine, MemoryDisk, MemoryEngine};
use crate::store::{Defaults, Store};
use crate::wire::{Hello, Listener, Role, TcpTransport, Transport, VersionRange, serve};

pub(super) async fn open(settings: Settings, env: Env) -> Result<Node> {
    settings.validate()?;
    let engine = engine(&settings, &env)?;
    let transport = Arc::new(TcpTransport::new(&env, crate::wire::Limits::of(&settings)));
    open_with(NodeParts { settings, env, engine, transport }).await
}

/// The engine that settings ask for: on disk at their path, else in memory.
pub(super) fn engine(settings: &Settings, env: &Env) -> Result<Arc<dyn Engine>> {
    Ok(match &settings.path {
        Some(path) => Arc::new(DiskEngine::open(path, DiskSettings::new(settings, env.boot()))?),
        None => Arc::new(MemoryEngine::open(&MemoryDisk::new(), settings.durability)?),
    })
}

pub(super) async fn open_with(parts: NodeParts) -> Result<Node> {
    let NodeParts { settings, env, engine, transport } = parts;
    settings.validate()?;
    let listener = match &settings.listen {
        Some(address) => Some(transport.listen(address).await?),
        None => None,
    };
    let core = build(settings, env, Arc::clone(&engine), transport).await?;
    if let Err(error) = core.start(listener).await {
        core.env.stop();
        // What stopped the start is the error to show.
        let _closed = engine.close();
        return Err(error);
    }
    let store = Store::over(Arc::clone(&core) as Arc<dyn crate::store::Backend>, Defaults::default());
    Ok(Node { store, core })
}

async fn build(
    settings: Settings,
    env: Env,
    engine: Arc<dyn Engine>,
    transport: Arc<dyn Transport>,
) -> Result<Arc<NodeCore>> {
    // Without a port there is nobody to agree or disagree with the wall clock.
    let jump_ms_max = if settings.listen.is_some() { settings.clock_skew_max_ms } else { u64::MAX };
    let clock = Arc::new(TrustedClock::new(Arc::clone(env.wall()), env.clone(), jump_ms_max));
    let env = env.with_wall(Arc::clone(&clock) as Arc<dyn crate::base::env::WallClock>);
    let hlc = Arc::new(Hlc::above(Lease::load(engine.as_ref())?));
    let ahead = Duration::from_millis(settings.clock_lease_ms);
    let lease = Arc::new(Lease::new(Arc::clone(&engine), Arc::clone(&hlc), ahead));
    lease.extend(hlc.read(env.unix_ms()).next()).await?;
    let identity = Identity::start(engine.as_ref(), &env).await?;
    let seat = Seat::load(engine.as_ref())?;
    let events = Arc::<Events>::default();
    let limits = HintLimits::of(&settings);
    let hints = Arc::new(Hints::load(Arc::clone(&engine), limits, env.clone(), Arc::clone(&events))?);
    let stored = NodeTopology::stored(engine.as_ref())?;
    let own: Vec<&str> =
        [&settings.listen, &settings.advertise].into_iter().flatten().map(String::as_str).collect();
    let founders = Founders::of(&settings.seeds, &own);
    let peer_timeout = Duration::from_millis(settings.peer_timeout_ms);
    let core = Arc::new_cyclic(|weak: &std::sync::Weak<NodeCore>| {
        let peers = reach(weak, &settings, &env, transport);
        let topology = NodeTopology::new(
            env.clone(),
            Arc::clone(&engine),
            Arc::clone(&peers),
            Arc::clone(&events),
            stored,
        );
        let source: Arc<dyn TopologySource> = Arc::clone(&topology) as Arc<dyn TopologySource>;
        let data_centre = Location::parse(&settings.location).ok().map(|l| l.data_centre().to_owned());
        let router = Router::new(env.clone(), Arc::clone(&peers), source, data_centre, peer_timeout);
        let admission = Arc::new(Admission::new(&settings));
        NodeCore {
            env,
            settings,
            engine,
            identity,
            hlc,
            lease,
            topology,
            peers,
            router,
            hints,
            events,
            refusals: Arc::default(),
            serving: OnceLock::new(),
            address: OnceLock::new(),
            gate: Arc::new(Gate::default()),
            founders,
            seat: tokio::sync::Mutex::new(seat),
            proposing: tokio::sync::Mutex::default(),
            activating: tokio::sync::Mutex::default(),
            activated: watch::Sender::new(false),
            joiners: parking_lot::Mutex::default(),
            known: parking_lot::Mutex::default(),
            clock,
            clocks: parking_lot::Mutex::default(),
            lead_ms: Arc::default(),
            suspecting: tokio::sync::Notify::new(),
            gossip_bytes: std::sync::atomic::AtomicU64::new(0),
            admission,
        }
    });
    Ok(core)
}

/// The way to the other members: who this node says it is, whom it turns away, and whom it tells what requests show.
fn reach(
    weak: &std::sync::Weak<NodeCore>,
    settings: &Settings,
    env: &Env,
    transport: Arc<dyn Transport>,
) -> Arc<Peers> {
    let me = weak.clone();
    let introduce: Introduce =
        Arc::new(move || me.upgrade().map_or_else(|| Hello::client(0), |core| core.introduce()));
    let me = weak.clone();
    // What this node turns away itself must not look like being turned away: that would stop it.
    let foreign = |error: Error| Error::new(ErrorKind::Io, error.message().to_owned());
    let check: Check =
        Arc::new(move |hello| me.upgrade().map_or(Ok(()), |core| core.check_hello(hello).map_err(foreign)));
    let pool = Pool::new(
        env.clone(),
        transport,
        introduce,
        check,
        Some(Arc::new(Service { core: weak.clone() })),
        crate::wire::Limits::of(settings),
        Duration::from_millis(settings.connect_timeout_ms),
    );
    let peers = Arc::new(Peers::new(env.clone(), pool));
    let me = weak.clone();
    peers.observe(Box::new(move |node, sight, error| {
        if let Some(core) = me.upgrade() {
            core.sight(node, sight);
            // A member turned this node away: another process has its identity.
            if let Some(error) = error.filter(|error| error.kind() == ErrorKind::Locked) {
                core.fence(error);
            }
        }
    }));
    peers
}

impl NodeCore {
    async fn start(self: &Arc<Self>, listener: Option<Box<dyn Listener>>) -> Result<()> {
        if let Some(listener) = listener {
            let bound = listener.address();
            let address = self.settings.advertise.clone().unwrap_or(bound);
            // Set once, here.
            let _first = self.address.set(address);
            let service = Arc::new(Service { core: Arc::downgrade(self) });
            serve(&self.env, listener, service, crate::wire::Limits::of(&self.settings));
        }
        let lease = Arc::clone(&self.lease);
        let env = self.env.clone();
        self.env.spawn(async move { lease.keep(env).await });
        let alone = self.settings.create || self.settings.listen.is_none();
        if self.topology.current().is_none() {
            if alone {
                let sealed = self.settings.listen.is_none();
                self.topology.confirm(self.first_topology(vec![self.member()?], sealed)?).await?;
            } else if self.settings.seeds.is_empty() {
                return Err(Error::invalid(
                    "this directory belongs to no cluster: give create to found one, or seeds to join one",
                ));
            }
        }
        self.load_peers()?;
        if let Some(topology) = self.topology.current() {
            self.activate(&topology).await?;
        }
        if self.settings.listen.is_some() {
            let core = Arc::clone(self);
            self.env.spawn(async move { core.gossip().await });
        }
        if self.serving.get().is_none() {
            let core = Arc::clone(self);
            self.env.spawn(async move { core.become_member().await });
        }
        Ok(())
    }

    /// The first topology of a new cluster. Without a port nobody can join later, so the owners are fixed at once.
    pub(super) fn first_topology(&self, members: Vec<Member>, sealed: bool) -> Result<Topology> {
        let mut cluster = [0; 16];
        let mut key = [0; 16];
        for bytes in [&mut cluster, &mut key] {
            let (low, high) = bytes.split_at_mut(8);
            low.copy_from_slice(&self.env.random().to_le_bytes());
            high.copy_from_slice(&self.env.random().to_le_bytes());
        }
        Topology::found(
            ClusterId(cluster),
            key,
            self.settings.partitions,
            self.default_bucket(),
            members,
            sealed,
        )
    }

    pub(super) fn default_bucket(&self) -> BucketSpec {
        let n = u8::try_from(self.settings.n).unwrap_or(u8::MAX);
        BucketSpec::named(BUCKET_DEFAULT, Replicas::Count(n))
    }

    /// This node as a member, without a number.
    pub(super) fn member(&self) -> Result<Member> {
        Ok(Member {
            number: NodeNumber(0),
            id: self.identity.id.clone(),
            location: Location::parse(&self.settings.location)?,
            capacity: self.settings.capacity,
            durable: self.settings.path.is_some(),
        })
    }

    /// Starts to serve, once the topology names this node.
    pub(super) async fn activate(self: &Arc<Self>, topology: &Topology) -> Result<()> {
        let Some(member) = topology.member_with_id(&self.identity.id) else { return Ok(()) };
        let _turn = self.activating.lock().await;
        if self.serving.get().is_some() {
            return Ok(());
        }
        let replica = Arc::new(Replica::open(
            Arc::clone(&self.engine),
            self.env.clone(),
            Arc::clone(&self.hlc),
            member.number,
            topology.partitions,
            Limits::of(&self.settings),
        )?);
        if self.engine.opening().may_have_forgotten() {
            self.renew(&replica, topology).await?;
            self.engine.accept_opening()?;
        }
        let coordinator = Coordinator::new(Parts {
            env: self.env.clone(),
            replica: Arc::clone(&replica),
            peers: Arc::clone(&self.peers),
            source: Arc::clone(&self.topology) as Arc<dyn TopologySource>,
            hints: Arc::clone(&self.hints),
            lease: Arc::clone(&self.lease),
            peer_timeout: Duration::from_millis(self.settings.peer_timeout_ms),
            clock_skew_max_ms: self.settings.clock_skew_max_ms,
        });
        let settle = self.settle(&replica)?;
        self.topology.meet(super::gossip::members_of(self, replica.number()), topology, self.known_starts());
        // Set once: activations take turns.
        let _first = self.serving.set(Serving { replica, coordinator, settle });
        self.activated.send_replace(true);
        // The others are told at once that this node is here.
        self.suspecting.notify_one();
        Ok(())
    }

    /// Starts to pay debts, the first of which is to learn what this node missed while it was away, and to drain what it
    /// holds for others.
    fn settle(&self, replica: &Arc<Replica>) -> Result<Arc<Settle>> {
        let source = Arc::clone(&self.topology) as Arc<dyn TopologySource>;
        let (env, peers) = (|| self.env.clone(), || Arc::clone(&self.peers));
        let exchange = Exchange::new(
            env(),
            Arc::clone(replica),
            peers(),
            Arc::clone(&source),
            Arc::clone(&self.lease),
            Duration::from_millis(self.settings.peer_timeout_ms),
        );
        let (own, to) = (Arc::clone(replica), Arc::clone(&source));
        let drain = Drain::new(env(), exchange.clone(), own, peers(), to, Arc::clone(&self.events));
        self.env.spawn(drain.run());
        let hints = Arc::clone(&self.hints);
        let (own, to) = (Arc::clone(replica), Arc::clone(&source));
        let handoff = Handoff::new(env(), own, peers(), to, Arc::clone(&hints), &self.settings);
        let own = Arc::clone(replica);
        let settle = Arc::new(Settle::new(env(), exchange, handoff, own, peers(), source, hints));
        settle.note_all()?;
        self.env.spawn(Arc::clone(&settle).run());
        self.env.spawn(Arc::clone(&self.hints).keep());
        Ok(settle)
    }

    /// New actor numbers for all copies, on disk before any of them mints.
    async fn renew(&self, replica: &Replica, topology: &Topology) -> Result<()> {
        let me = replica.number();
        let owns = |partition: &PartitionId| {
            topology.buckets.values().any(|bucket| topology.owners(*partition, &bucket.n).contains(&me))
        };
        loop {
            match replica.renew_copies(topology.partition_ids().filter(owns)) {
                Ok(()) => break,
                Err(refusal) => self.lease.extend(refusal.lease()?).await?,
            }
        }
        let barrier = self.engine.apply(crate::storage::Batch::new())?;
        self.engine.synced(barrier).await
    }

    pub(super) fn introduce(&self) -> Hello {
        let topology = self.topology.current();
        let number = self.serving.get().map(|serving| serving.replica.number());
        Hello {
            versions: VersionRange::SUPPORTED,
            role: if number.is_some() { Role::Member } else { Role::Joiner },
            cluster: topology.as_ref().map(|topology| topology.cluster),
            number,
            start: self.identity.start,
            nonce: self.identity.nonce,
            address: self.address.get().cloned().unwrap_or_default(),
            epoch: topology.map(|topology| topology.epoch).unwrap_or_default(),
            now: self.hlc.read(self.env.unix_ms()),
            id: self.identity.id.clone(),
        }
    }
}
