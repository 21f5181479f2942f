//! Quorums of three processes beside their floor: a plain map over the same transport, without versions, checksums of
//! records or durability. `ring [seconds] [threads] [filter]` prints one line per load, then the ratios of TARGETS.md.
//! The servers are children of this process; rounds of the stores are interleaved, and medians are printed.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads real clocks")]
#![expect(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringkeep::base::env::Env;
use ringkeep::base::ids::{Actor, BucketId, CopyNumber, Dot, Epoch, NodeNumber, PartitionId, Time};
use ringkeep::ring::Topology;
use ringkeep::wire::{Change, Expiry, Need, Request, Route};

#[path = "ring/floor.rs"]
mod floor;
#[path = "support/load.rs"]
mod load;
#[path = "ring/node.rs"]
mod node;
#[path = "support/process.rs"]
mod process;

use load::{Load, MakeRequest, Measured};
use process::Server;

const VALUE_BYTES: usize = 100;
const ROUTE: Route =
    Route { bucket: BucketId(0), partition: PartitionId(0), epoch: Epoch { era: 0, number: 1 } };
/// The dot of every write of the floor.
const DOT: Dot = Dot { time: Time(1), actor: Actor { node: NodeNumber(1), copy: CopyNumber(1) } };
/// Rounds over all stores; the median of each load is printed.
const ROUNDS: usize = 3;

/// Three servers and how requests to them are made.
struct Store {
    name: &'static str,
    servers: Vec<Server>,
    topology: Option<Arc<Topology>>,
}

/// One load of one store, over all rounds.
struct Line {
    store: &'static str,
    load: &'static str,
    shape: (usize, u64),
    rounds: Vec<(f64, f64, f64, f64)>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |at: usize| arguments.get(at).cloned().unwrap_or_default();
    match text(0).as_str() {
        "floor" => return floor::run(text(1).parse().unwrap()),
        "node" => return node::run(&text(1), text(2).parse().unwrap(), &text(3)),
        _ => {}
    }
    let seconds = Duration::from_secs_f64(text(0).parse().unwrap_or(2.0));
    let threads = text(1).parse::<u64>().unwrap_or(1);
    let runtime = runtime(usize::try_from(threads).unwrap());
    let env = Env::system(runtime.handle().clone()).unwrap();
    let stores = [
        start_floor(threads),
        start_ring(&runtime, "memory", threads),
        start_ring(&runtime, "interval", threads),
        start_ring(&runtime, "sync", threads),
    ];
    let mut lines: Vec<Line> = Vec::new();
    for _ in 0..ROUNDS {
        for store in &stores {
            for load in ["put", "get", "get r1"] {
                for shape in [(1, 1), (64, 1), (64, 16)] {
                    let name = format!("{} {load}", store.name);
                    if !name.contains(&text(2)) || (store.topology.is_none() && load == "get r1") {
                        continue;
                    }
                    let run =
                        Load { request: request(load, store), connections: shape.0, depth: shape.1, seconds };
                    let (measured, cpu_us) = measure(&runtime, &env, store, &run);
                    take(&mut lines, store.name, load, shape, &measured, cpu_us);
                }
            }
        }
    }
    print(&lines);
}

fn measure(runtime: &tokio::runtime::Runtime, env: &Env, store: &Store, load: &Load) -> (Measured, f64) {
    let addresses: Vec<&str> = store.servers.iter().map(|server| server.address.as_str()).collect();
    let before: f64 = store.servers.iter().map(Server::cpu_us).sum();
    let measured = runtime.block_on(load.run(env, &addresses));
    let cpu_us = store.servers.iter().map(Server::cpu_us).sum::<f64>() - before;
    (measured, cpu_us)
}

fn take(
    lines: &mut Vec<Line>,
    store: &'static str,
    load: &'static str,
    shape: (usize, u64),
    measured: &Measured,
    cpu_us: f64,
) {
    let round = (
        measured.per_second,
        f64::from(measured.p50_us),
        f64::from(measured.p99_us),
        cpu_us / measured.operations,
    );
    let same = |line: &&mut Line| line.store == store && line.load == load && line.shape == shape;
    match lines.iter_mut().find(same) {
        Some(line) => line.rounds.push(round),
        None => lines.push(Line { store, load, shape, rounds: vec![round] }),
    }
}

impl Line {
    fn median(&self, of: impl Fn(&(f64, f64, f64, f64)) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    }
}

fn print(lines: &[Line]) {
    println!(
        "{:<10}{:<8}{:>12}{:>12}{:>9}{:>9}{:>14}{:>16}{:>14}",
        "store",
        "load",
        "connections",
        "ops/s",
        "p50 µs",
        "p99 µs",
        "server µs/op",
        "ops/s ÷ floor",
        "CPU ÷ floor"
    );
    for line in lines {
        let base = if line.load == "get r1" { "get" } else { line.load };
        let floor = lines.iter().find(|l| l.store == "floor" && l.load == base && l.shape == line.shape);
        let ratio = |of: fn(&(f64, f64, f64, f64)) -> f64| {
            floor.map_or_else(String::new, |floor| format!("{:.2}", line.median(of) / floor.median(of)))
        };
        println!(
            "{:<10}{:<8}{:>12}{:>12.0}{:>9.0}{:>9.0}{:>14.2}{:>16}{:>14}",
            line.store,
            line.load,
            format!("{} × {}", line.shape.0, line.shape.1),
            line.median(|r| r.0),
            line.median(|r| r.1),
            line.median(|r| r.2),
            line.median(|r| r.3),
            ratio(|r| r.0),
            ratio(|r| r.3)
        );
    }
}

fn runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

fn start_floor(threads: u64) -> Store {
    let threads = threads.to_string();
    let servers: Vec<Server> = (0..3).map(|_| Server::start(&["floor", &threads])).collect();
    let addresses: Vec<&str> = servers.iter().map(|server| server.address.as_str()).collect();
    for server in &servers {
        server.join(&addresses.join(" "));
    }
    Store { name: "floor", servers, topology: None }
}

fn start_ring(runtime: &tokio::runtime::Runtime, name: &'static str, threads: u64) -> Store {
    let threads = threads.to_string();
    let mut servers: Vec<Server> = Vec::new();
    for _ in 0..3 {
        let seed = servers.first().map(|server| server.address.clone()).unwrap_or_default();
        servers.push(Server::start(&["node", name, &threads, &seed]));
    }
    let address = servers.first().unwrap().address.clone();
    let topology = runtime.block_on(node::seal(&address));
    Store { name, servers, topology: Some(topology) }
}

fn request(load: &str, store: &Store) -> MakeRequest {
    static VALUE: [u8; VALUE_BYTES] = [b'v'; VALUE_BYTES];
    let topology = store.topology.clone();
    let route = move |key: &[u8]| match &topology {
        None => ROUTE,
        Some(topology) => Route {
            bucket: BucketId(0),
            partition: topology.partition_of(BucketId(0), key),
            epoch: topology.epoch,
        },
    };
    let need = if load == "get r1" { Need::Count(1) } else { Need::Count(2) };
    match load {
        "put" => Arc::new(move |key| Request::Write {
            route: route(&key),
            key,
            change: Change::Value(Bytes::from_static(&VALUE)),
            expires: Expiry::Bucket,
            context: None,
            need,
            floor: Time(0),
            timeout_ms: 5_000,
        }),
        _ => Arc::new(move |key| Request::Read { route: route(&key), key, need, timeout_ms: 5_000 }),
    }
}
