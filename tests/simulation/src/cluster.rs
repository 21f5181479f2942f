//! The machines of a simulation: each has a disk, a wall clock and a place in the network, and runs the shipped node.
//! Processes are killed, machines lose power, links are cut; what the node does about it is its own affair.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use ringkeep::base::env::BoxFuture;
use ringkeep::base::settings::Durability;
use ringkeep::base::standstill::Standstill;
use ringkeep::base::{Env, Error};
use ringkeep::remote::ConnectOptions;
use ringkeep::storage::{MemoryDisk, MemoryEngine};
use ringkeep::wire::{Limits, MemoryNetwork};
use ringkeep::{Client, Node, NodeParts, Result, Settings, Store};

use crate::clock::{SkewedClock, Stopwatch};

/// What the machines of a cluster have in common.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// How many machines there are.
    pub nodes: u32,
    /// When writes are acknowledged.
    pub durability: Durability,
}

/// The partitions of the ring: few, so that each has several keys.
pub const PARTITIONS: u32 = 16;

/// A machine.
#[derive(Debug)]
struct Machine {
    disks: Mutex<Disks>,
    clock: Arc<SkewedClock>,
    running: Mutex<Running>,
}

/// What a machine's processes are started on.
#[derive(Debug, Default)]
struct Disks {
    own: MemoryDisk,
    /// An earlier state of it, for whoever wants to start that.
    image: Option<MemoryDisk>,
    /// The image that stands in for the disk.
    inserted: Option<MemoryDisk>,
    /// The id of the member that was lost with the disk before this one.
    gone: Option<String>,
}

impl Machine {
    fn disk(&self) -> MemoryDisk {
        let disks = self.disks.lock();
        disks.inserted.as_ref().unwrap_or(&disks.own).clone()
    }
}

#[derive(Debug, Default)]
struct Running {
    /// Rises when a process starts or ends, so that whoever waited for one can tell.
    session: u64,
    /// Rises when the power goes.
    boot: u64,
    process: Option<Process>,
    /// The id of the member that last ran here.
    member: Option<String>,
    /// Whether the process stands still.
    standstill: Standstill,
    /// Why the last start failed.
    failure: Option<String>,
}

#[derive(Clone, Debug)]
struct Process {
    node: Node,
    env: Env,
    engine: Arc<MemoryEngine>,
}

/// A node that runs, and the session it runs in.
#[derive(Clone, Debug)]
pub struct Live {
    /// The node.
    pub node: Node,
    /// Its session: another one means that it ended since.
    pub session: u64,
}

/// Where a client's operations go, and how that shows in the history.
#[derive(Clone, Debug)]
pub struct Place {
    /// The machine; one past the last for a process that is no member.
    pub machine: u32,
    /// The session of its process.
    pub session: u64,
    /// The operations.
    pub store: Store,
    /// The process stands still with everything in it.
    pub standstill: Standstill,
}

/// The machines and the network between them. Clones are the same cluster.
#[derive(Clone, Debug)]
pub struct Cluster(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    plan: Plan,
    env: Env,
    stopwatch: Stopwatch,
    network: MemoryNetwork,
    machines: Vec<Machine>,
}

pub(crate) fn host(machine: u32) -> String {
    format!("m{machine}")
}

fn address(machine: u32) -> String {
    format!("m{machine}:7400")
}

/// What a future gives at its first poll.
fn at_once<T>(future: BoxFuture<'static, T>) -> Option<T> {
    match std::pin::pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl Cluster {
    /// Machines that are off, and a network that delivers at once.
    #[must_use]
    pub fn new(plan: Plan, env: &Env, stopwatch: &Stopwatch) -> Self {
        let network = MemoryNetwork::new(env, plan.seed, Limits::default());
        let machine = |_| Machine {
            disks: Mutex::default(),
            clock: Arc::new(SkewedClock::new(stopwatch.clone())),
            running: Mutex::default(),
        };
        let machines = (0..plan.nodes).map(machine).collect();
        Self(Arc::new(Inner { plan, env: env.clone(), stopwatch: stopwatch.clone(), network, machines }))
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &MemoryNetwork {
        &self.0.network
    }

    /// The numbers of the machines.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.0.plan.nodes
    }

    /// The node on a machine, if one runs there.
    #[must_use]
    pub fn live(&self, machine: u32) -> Option<Live> {
        let running = self.machine(machine).running.lock();
        running.process.as_ref().map(|process| Live { node: process.node.clone(), session: running.session })
    }

    /// The engine of a node that runs.
    #[must_use]
    pub fn engine(&self, machine: u32) -> Option<Arc<MemoryEngine>> {
        self.machine(machine).running.lock().process.as_ref().map(|process| Arc::clone(&process.engine))
    }

    /// The place of a client that works in the process of a node.
    #[must_use]
    pub fn inside(&self, machine: u32) -> Option<Place> {
        let Live { node, session } = self.live(machine)?;
        let standstill = self.machine(machine).running.lock().standstill.clone();
        Some(Place { machine, session, store: node.store().clone(), standstill })
    }

    /// The place of a client in a process of its own, connected to the cluster.
    ///
    /// # Errors
    /// What connecting reports.
    pub async fn outside(&self, client: u32) -> Result<Place> {
        let addresses: Vec<_> = self.numbers().map(address).collect();
        let options = ConnectOptions::parse(&format!("ringkeep://{}", addresses.join(",")))?;
        let transport = self.0.network.transport(&format!("c{client}"));
        // Closing a client stops its environment, so each has its own.
        let clock = Arc::new(SkewedClock::new(self.0.stopwatch.clone()));
        let seed = self.0.plan.seed.wrapping_add(u64::from(client));
        let env = Env::new(self.0.env.handle().clone(), clock, seed, String::new());
        let client = Client::connect_with(options, Settings::default(), env, transport).await?;
        let (machine, store) = (self.0.plan.nodes, client.store().clone());
        Ok(Place { machine, session: 0, store, standstill: Standstill::default() })
    }

    /// Whether the process at this place has ended since.
    #[must_use]
    pub fn has_ended(&self, place: &Place) -> bool {
        place.machine < self.0.plan.nodes
            && self.machine(place.machine).running.lock().session != place.session
    }

    fn machine(&self, machine: u32) -> &Machine {
        let index = usize::try_from(machine).unwrap_or(usize::MAX);
        self.0.machines.get(index).expect("machines are numbered from 0")
    }

    /// Starts the process of a machine. The first machine founds the cluster, the others join by it.
    ///
    /// # Errors
    /// What opening the node reports.
    pub async fn start(&self, number: u32) -> Result<()> {
        let machine = self.machine(number);
        let (session, boot, standstill) = {
            let mut running = machine.running.lock();
            running.session += 1;
            (running.session, running.boot, running.standstill.clone())
        };
        let disk = machine.disk();
        let seed = self
            .0
            .plan
            .seed
            .wrapping_mul(31)
            .wrapping_add(u64::from(number))
            .wrapping_mul(31)
            .wrapping_add(session);
        let clock = Arc::clone(&machine.clock);
        let env = Env::new(self.0.env.handle().clone(), clock, seed, format!("m{number} boot {boot}"))
            .with_standstill(standstill.clone());
        let engine = Arc::new(MemoryEngine::open(&disk, self.0.plan.durability)?);
        let parts = NodeParts {
            settings: self.settings(number),
            env: env.clone(),
            engine: Arc::clone(&engine) as _,
            transport: self.0.network.transport(&host(number)),
        };
        let opened = standstill.hold(Node::open_with(parts)).await;
        let mut running = machine.running.lock();
        if running.session != session {
            // It was killed while it started.
            drop(running);
            env.stop();
            return opened.map(|node| node.kill());
        }
        match opened {
            Ok(node) => {
                running.member = Some(node.id().to_owned());
                running.process = Some(Process { node, env, engine });
            }
            Err(error) => {
                drop(running);
                env.stop();
                disk.kill();
                return Err(error);
            }
        }
        Ok(())
    }

    fn settings(&self, number: u32) -> Settings {
        let wiped = self.machine(number).disks.lock().gone.is_some();
        let seeds = match number {
            _ if wiped => self.numbers().filter(|other| *other != number).map(address).collect(),
            0 => Vec::new(),
            _ => vec![address(0)],
        };
        Settings {
            listen: Some(address(number)),
            seeds,
            create: number == 0 && !wiped,
            durability: self.0.plan.durability,
            partitions: PARTITIONS,
            // The network is in memory.
            insecure: true,
            ..Settings::default()
        }
    }

    /// Ends the process of a machine, if one runs.
    pub(crate) fn end(&self, number: u32) {
        let machine = self.machine(number);
        let mut running = machine.running.lock();
        running.session += 1;
        let process = running.process.take();
        let standstill = std::mem::take(&mut running.standstill);
        drop(running);
        if let Some(process) = &process {
            process.node.kill();
            process.env.stop();
        }
        // What is left of the process, a call of a client in it, ends instead of standing still for ever.
        standstill.end();
        machine.disk().kill();
    }

    /// Starts the process of a machine and does not wait for it.
    pub(crate) fn begin(&self, number: u32) {
        let cluster = self.clone();
        self.0.env.spawn(async move {
            // A node that does not come up is found when the cluster does not settle.
            let failure = cluster.start(number).await.err().map(|error| error.to_string());
            cluster.machine(number).running.lock().failure = failure;
        });
    }

    /// Takes the power of a machine away.
    pub(crate) fn crash(&self, number: u32, random: u64) {
        self.end(number);
        let machine = self.machine(number);
        machine.disk().crash(random);
        machine.running.lock().boot += 1;
    }

    /// Takes the disk of a machine away.
    pub(crate) fn wipe(&self, number: u32) {
        self.end(number);
        let machine = self.machine(number);
        let gone = machine.running.lock().member.clone();
        *machine.disks.lock() = Disks { gone, ..Disks::default() };
    }

    /// Copies the disk of a machine.
    pub(crate) fn take_image(&self, number: u32) {
        let mut disks = self.machine(number).disks.lock();
        disks.image = Some(disks.own.image());
    }

    /// Lets the next process of a machine have the image of its disk, if one was taken.
    pub(crate) fn insert_image(&self, number: u32) {
        let mut disks = self.machine(number).disks.lock();
        disks.inserted = disks.image.take();
    }

    /// Lets the next process of a machine have its own disk again; ends one that has an image of it.
    pub(crate) fn insert_own_disk(&self, number: u32) {
        if self.machine(number).disks.lock().inserted.is_some() {
            self.end(number);
            self.machine(number).disks.lock().inserted = None;
        }
    }

    /// Lets the process of a machine stand still.
    pub(crate) fn pause(&self, number: u32) {
        self.machine(number).running.lock().standstill.begin();
    }

    /// Lets the process of a machine continue.
    pub(crate) fn resume(&self, number: u32) {
        let standstill = self.machine(number).running.lock().standstill.clone();
        standstill.end();
    }

    /// Sets the wall clock of a machine.
    pub(crate) fn set_clock(&self, number: u32, ahead_ms: i64) {
        self.machine(number).clock.set_ahead_ms(ahead_ms);
    }

    /// The members whose machines lost their disks: they are gone for good.
    fn gone(&self) -> Vec<String> {
        self.0.machines.iter().filter_map(|machine| machine.disks.lock().gone.clone()).collect()
    }

    /// Whether any machine lost its disk.
    #[must_use]
    pub fn has_lost_disks(&self) -> bool {
        !self.gone().is_empty()
    }

    /// What a node still has to do, apart from what it owes to members that are gone: a machine that lost its disk comes
    /// back as another member, and nobody can pay the old one. None before it is a member.
    fn due(&self, live: &Live) -> Option<usize> {
        let status = at_once(live.node.status())?.ok()?;
        let gone = self.gone();
        let void = status.members.iter().filter(|member| gone.contains(&member.id));
        let void = void.map(|member| usize::try_from(member.hints_pending).unwrap_or(0)).sum();
        (!status.members.is_empty()).then(|| live.node.unsettled().saturating_sub(void))
    }

    /// Whether every machine runs a member that owes nothing and has compared its copies, as far as that can be.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.numbers().all(|number| self.live(number).is_some_and(|live| self.due(&live) == Some(0)))
    }

    /// What keeps the cluster from being settled, one line for each machine.
    #[must_use]
    pub fn unsettled(&self) -> String {
        let line = |number| match self.live(number) {
            Some(live) => format!("m{number} owes {:?}", self.due(&live)),
            None => format!("m{number} is down ({:?})", self.machine(number).running.lock().failure),
        };
        self.numbers().map(line).collect::<Vec<_>>().join(", ")
    }

    /// Ends every process.
    pub fn end_all(&self) {
        for number in self.numbers() {
            self.end(number);
        }
    }

    /// Starts every machine and waits until each is a member.
    ///
    /// # Errors
    /// What opening or joining reports.
    pub async fn start_all(&self) -> Result<()> {
        for number in self.numbers() {
            self.start(number).await?;
            let live = self.live(number).ok_or_else(|| Error::invalid(format!("m{number} did not start")))?;
            live.node.ready(Some(Duration::from_secs(60))).await?;
        }
        Ok(())
    }
}
