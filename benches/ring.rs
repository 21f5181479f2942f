//! Quorums of three processes beside their floor and their peers in one run. The floor is a plain map over the same
//! transport, without versions, checksums of records or durability; the peers are redis and etcd, where installed
//! (`scripts/bench-setup`). `ring [seconds] [threads] [filter] [rounds]` prints one line per load, then the distance to
//! the targets; `ring storm` measures what a member that comes back costs the others
//! (`ring/storm.rs`), `ring overload` what ten times the load leaves of the goodput. The servers are children of this
//! process; rounds of the stores are interleaved, and medians are printed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads real clocks")]
#![expect(clippy::unwrap_used, reason = "a benchmark ends when its stores cannot be set up")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringkeep::base::env::Env;
use ringkeep::base::ids::{Actor, BucketId, CopyNumber, Dot, Epoch, NodeNumber, PartitionId, Time};
use ringkeep::ring::Topology;
use ringkeep::wire::Route;
use tokio::runtime::Runtime;

#[path = "ring/etcd.rs"]
mod etcd;
#[path = "ring/floor.rs"]
mod floor;
#[path = "support/load.rs"]
mod load;
#[path = "ring/node.rs"]
mod node;
#[path = "ring/overload.rs"]
mod overload;
#[path = "support/process.rs"]
mod process;
#[path = "ring/redis.rs"]
mod redis;
#[path = "ring/report.rs"]
mod report;
#[path = "ring/storm.rs"]
mod storm;
#[path = "ring/wire.rs"]
mod wire;

use load::{Measured, Shape};
use process::Server;
use report::{Report, SHAPES};

static VALUE: [u8; 100] = [b'v'; 100];
const ROUTE: Route = Route {
    bucket: BucketId(0),
    partition: PartitionId(0),
    epoch: Epoch { era: 0, number: 1 },
    sloppy: false,
};
/// The dot of every write of the floor.
const DOT: Dot = Dot { time: Time(1), actor: Actor { node: NodeNumber(1), copy: CopyNumber(1) } };
/// How long each store is written to before the first round, so that reads find what they ask for.
const FILL: (Shape, Duration) = (Shape { connections: 64, depth: 16 }, Duration::from_secs(1));

/// What a load does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Put,
    Get,
    /// A get that one owner answers by itself.
    GetOne,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::GetOne => "get r1",
        }
    }
}

enum Protocol {
    Floor,
    Ring(Arc<Topology>),
    Redis,
    Etcd,
}

/// Servers and how they are spoken to.
struct Store {
    name: &'static str,
    protocol: Protocol,
    servers: Vec<Server>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |at: usize| arguments.get(at).cloned().unwrap_or_default();
    match text(0).as_str() {
        "floor" => return floor::run(text(1).parse().unwrap()),
        "node" => return node::run(&text(1), text(2).parse().unwrap(), &text(3), (&text(4), &text(5))),
        "overload" => {
            return overload::run(text(1).parse().unwrap_or(3.0), text(2).parse().unwrap_or(1));
        }
        "storm" => {
            let (keys, seconds) = (text(1).parse().unwrap_or(100_000), text(2).parse().unwrap_or(1.0));
            return storm::run(keys, seconds, text(3).parse().unwrap_or(1));
        }
        _ => {}
    }
    let seconds = Duration::from_secs_f64(text(0).parse().unwrap_or(2.0));
    let threads = text(1).parse::<u64>().unwrap_or(1);
    let rounds = text(3).parse().unwrap_or(3);
    let runtime = runtime(usize::try_from(threads).unwrap());
    let env = Env::system(runtime.handle().clone()).unwrap();
    // Removed only after the servers that write there have ended: locals are dropped in reverse order.
    let directory = tempfile::tempdir().unwrap();
    let stores = start(&runtime, threads, directory.path(), &text(2));
    for store in &stores {
        let _warm = store.measure(&runtime, &env, Operation::Put, FILL.0, FILL.1);
    }
    let mut report = Report::default();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for store in &stores {
            for (operation, shape) in store.loads() {
                let measured = store.measure(&runtime, &env, operation, shape, seconds);
                report.take(store.name, operation, shape, measured);
            }
        }
    }
    report.print();
    println!("\nwhat a member that comes back costs the others: ring storm [keys] [seconds] [threads]");
}

/// Every store whose name contains the filter and that is installed.
fn start(runtime: &Runtime, threads: u64, directory: &Path, filter: &str) -> Vec<Store> {
    let ring = |members, kind| Some(start_ring(runtime, members, kind, threads));
    let mut stores = Vec::new();
    for name in [
        "floor",
        "memory",
        "interval",
        "sync",
        "sync single",
        "redis ×3",
        "redis AOF",
        "etcd no fsync",
        "etcd",
    ] {
        if !filter.is_empty() && !filter.split(',').any(|part| part == name) {
            continue;
        }
        let own = directory.join(name);
        let plain = |protocol, servers: Option<Vec<Server>>| servers.map(|servers| (protocol, servers));
        let started = match name {
            "floor" => Some((Protocol::Floor, start_floor(threads))),
            "sync single" => ring(1, "sync"),
            "redis ×3" => plain(Protocol::Redis, redis::start_replicated(runtime, &own)),
            "redis AOF" => plain(Protocol::Redis, redis::start_synced(&own)),
            "etcd no fsync" => plain(Protocol::Etcd, etcd::start(runtime, &own, &["--unsafe-no-fsync"])),
            "etcd" => plain(Protocol::Etcd, etcd::start(runtime, &own, &[])),
            kind => ring(3, kind),
        };
        match started {
            Some((protocol, servers)) => stores.push(Store { name, protocol, servers }),
            None => println!("{name}: not installed (scripts/bench-setup)"),
        }
    }
    stores
}

impl Store {
    /// What is measured: stores beside which only one figure is quoted are spared the rest.
    fn loads(&self) -> Vec<(Operation, Shape)> {
        let operations: &[Operation] = match (&self.protocol, self.servers.len()) {
            (_, 1) => &[Operation::Put],
            (Protocol::Ring(_), _) => &[Operation::Put, Operation::Get, Operation::GetOne],
            _ => &[Operation::Put, Operation::Get],
        };
        operations.iter().flat_map(|operation| SHAPES.map(|shape| (*operation, shape))).collect()
    }

    fn measure(
        &self,
        runtime: &Runtime,
        env: &Env,
        operation: Operation,
        shape: Shape,
        seconds: Duration,
    ) -> Measured {
        let cpu_us = || self.servers.iter().map(Server::cpu_us).sum();
        let addresses: Vec<&str> = self.servers.iter().map(|server| server.address.as_str()).collect();
        let asked = |topology| wire::Asked { operation, topology };
        let own = |topology| wire::run(env, &addresses, asked(topology), shape, seconds, cpu_us);
        match &self.protocol {
            Protocol::Floor => runtime.block_on(own(None)),
            Protocol::Ring(topology) => runtime.block_on(own(Some(Arc::clone(topology)))),
            Protocol::Redis => runtime.block_on(redis::run(&self.servers, operation, shape, seconds, cpu_us)),
            Protocol::Etcd => runtime.block_on(etcd::run(&self.servers, operation, shape, seconds, cpu_us)),
        }
    }
}

fn runtime(threads: usize) -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

fn start_floor(threads: u64) -> Vec<Server> {
    let threads = threads.to_string();
    let servers: Vec<Server> = (0..3).map(|_| Server::start(&["floor", &threads])).collect();
    let addresses: Vec<&str> = servers.iter().map(|server| server.address.as_str()).collect();
    for server in &servers {
        server.join(&addresses.join(" "));
    }
    servers
}

fn start_ring(runtime: &Runtime, members: u8, kind: &str, threads: u64) -> (Protocol, Vec<Server>) {
    let threads = threads.to_string();
    let mut servers: Vec<Server> = Vec::new();
    for _ in 0..members {
        let seed = servers.first().map(|server| server.address.clone()).unwrap_or_default();
        servers.push(Server::start(&["node", kind, &threads, &seed]));
    }
    let address = servers.first().unwrap().address.clone();
    let topology = runtime.block_on(node::seal(&address, members));
    (Protocol::Ring(topology), servers)
}
