//! The machines of a simulation: each has a disk, a wall clock and a place in the network, and runs the shipped node.
//! Processes are killed, machines lose power, links are cut; what the node does about it is its own affair.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringkeep::base::settings::Durability;
use ringkeep::base::{Env, Error};
use ringkeep::remote::ConnectOptions;
use ringkeep::storage::{MemoryDisk, MemoryEngine};
use ringkeep::wire::{Limits, LinkQuality, MemoryNetwork};
use ringkeep::{Client, Node, NodeParts, Result, Settings, Store};

use crate::clock::{SkewedClock, Stopwatch};
use crate::faults::Fault;

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
    disk: MemoryDisk,
    clock: Arc<SkewedClock>,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// Rises when a process starts or ends, so that whoever waited for one can tell.
    session: u64,
    /// Rises when the power goes.
    boot: u64,
    process: Option<Process>,
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

fn host(machine: u32) -> String {
    format!("m{machine}")
}

fn address(machine: u32) -> String {
    format!("m{machine}:7400")
}

impl Cluster {
    /// Machines that are off, and a network that delivers at once.
    #[must_use]
    pub fn new(plan: Plan, env: &Env, stopwatch: &Stopwatch) -> Self {
        let network = MemoryNetwork::new(env, plan.seed, Limits::default());
        let machine = |_| Machine {
            disk: MemoryDisk::new(),
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
        Some(Place { machine, session, store: node.store().clone() })
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
        Ok(Place { machine: self.0.plan.nodes, session: 0, store: client.store().clone() })
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
        let (session, boot) = {
            let mut running = machine.running.lock();
            running.session += 1;
            (running.session, running.boot)
        };
        let seed = self
            .0
            .plan
            .seed
            .wrapping_mul(31)
            .wrapping_add(u64::from(number))
            .wrapping_mul(31)
            .wrapping_add(session);
        let clock = Arc::clone(&machine.clock);
        let env = Env::new(self.0.env.handle().clone(), clock, seed, format!("m{number} boot {boot}"));
        let engine = Arc::new(MemoryEngine::open(&machine.disk, self.0.plan.durability)?);
        let parts = NodeParts {
            settings: self.settings(number),
            env: env.clone(),
            engine: Arc::clone(&engine) as _,
            transport: self.0.network.transport(&host(number)),
        };
        let opened = Node::open_with(parts).await;
        let mut running = machine.running.lock();
        if running.session != session {
            // It was killed while it started.
            drop(running);
            env.stop();
            return opened.map(|node| node.kill());
        }
        match opened {
            Ok(node) => running.process = Some(Process { node, env, engine }),
            Err(error) => {
                drop(running);
                env.stop();
                machine.disk.kill();
                return Err(error);
            }
        }
        Ok(())
    }

    fn settings(&self, number: u32) -> Settings {
        Settings {
            listen: Some(address(number)),
            seeds: if number == 0 { Vec::new() } else { vec![address(0)] },
            create: number == 0,
            durability: self.0.plan.durability,
            partitions: PARTITIONS,
            // The network is in memory.
            insecure: true,
            ..Settings::default()
        }
    }

    /// Ends the process of a machine; says whether one ran.
    fn end(&self, number: u32) -> bool {
        let machine = self.machine(number);
        let mut running = machine.running.lock();
        running.session += 1;
        let process = running.process.take();
        drop(running);
        if let Some(process) = &process {
            process.node.kill();
            process.env.stop();
        }
        machine.disk.kill();
        process.is_some()
    }

    /// Lets a fault happen. A restart is started and not waited for.
    pub fn apply(&self, fault: &Fault) {
        let network = &self.0.network;
        match *fault {
            Fault::Links { delay_ms, jitter_ms, lost_per_million, reorder } => {
                network.set_usual(LinkQuality {
                    delay: Duration::from_millis(delay_ms),
                    jitter: Duration::from_millis(jitter_ms),
                    lost_per_million,
                    reorder,
                });
            }
            Fault::Cut { from, to } => network.cut(&host(from), &host(to)),
            Fault::Isolate { node } => {
                for other in self.numbers().filter(|other| *other != node) {
                    network.cut_both(&host(node), &host(other));
                }
            }
            Fault::Heal => network.heal_all(),
            Fault::Kill { node } => drop(self.end(node)),
            Fault::Crash { node, random } => {
                self.end(node);
                let machine = self.machine(node);
                machine.disk.crash(random);
                machine.running.lock().boot += 1;
            }
            Fault::Restart { node } => {
                let cluster = self.clone();
                self.0.env.spawn(async move {
                    // A node that does not come up is found when the cluster does not settle.
                    let failure = cluster.start(node).await.err().map(|error| error.to_string());
                    cluster.machine(node).running.lock().failure = failure;
                });
            }
            Fault::Skew { node, ahead_ms } => self.machine(node).clock.set_ahead_ms(ahead_ms),
        }
    }

    /// Whether every machine runs a node that owes nothing and has compared its copies.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.numbers().all(|number| self.live(number).is_some_and(|live| live.node.unsettled() == 0))
    }

    /// What keeps the cluster from being settled, one line for each machine.
    #[must_use]
    pub fn unsettled(&self) -> String {
        let line = |number| match self.live(number) {
            Some(live) => format!("m{number} owes {}", live.node.unsettled()),
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
