//! The floors that everything else is measured against: an echo over the transport, and a quorum of three processes
//! with a plain map each. No versions, no checksums of records, no durability: what the wire alone costs.
//! `floor [seconds] [threads]` prints one line per load; the servers are children of this process.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads real clocks")]
#![expect(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use ringkeep::base::env::Env;
use ringkeep::base::ids::{BucketId, Dot, Epoch, PartitionId, Time};
use ringkeep::wire::{
    Change, Connection, Expiry, Hello, Limits, Need, Request, Response, Route, TcpTransport,
};

#[path = "floor/server.rs"]
mod server;

const VALUE_BYTES: usize = 100;
const KEYS: u64 = 10_000;
const ROUTE: Route =
    Route { bucket: BucketId(0), partition: PartitionId(0), epoch: Epoch { era: 0, number: 1 } };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    if arguments.first().is_some_and(|mode| mode == "serve") {
        return server::run(usize::try_from(number(1).unwrap()).unwrap());
    }
    let seconds = Duration::from_secs(number(0).unwrap_or(3));
    let threads = number(1).unwrap_or(1);
    let only = arguments.get(2).cloned().unwrap_or_default();
    let runtime = runtime(usize::try_from(threads).unwrap());
    let env = Env::system(runtime.handle().clone()).unwrap();
    let servers: Vec<Server> = (0..3).map(|_| Server::start(threads)).collect();
    let addresses: Vec<&str> = servers.iter().map(|server| server.address.as_str()).collect();
    for server in &servers {
        server.join(&addresses.join(" "));
    }
    println!(
        "{:<8} {:>11} {:>12} {:>9} {:>9} {:>14}",
        "load", "connections", "ops/s", "p50 µs", "p99 µs", "server µs/op"
    );
    let loads = [("echo", 1), ("put", 3), ("get", 3)];
    for (name, spread) in loads.into_iter().filter(|(name, _)| name.contains(&only)) {
        for (connections, depth) in [(1, 1), (64, 1), (64, 16)] {
            let load = Load { name, connections, depth, seconds };
            let before: f64 = servers.iter().map(Server::cpu_us).sum();
            let measured = runtime.block_on(load.run(&env, addresses.get(..spread).unwrap()));
            let cpu_us = servers.iter().map(Server::cpu_us).sum::<f64>() - before;
            println!(
                "{name:<8} {:>11} {:>12.0} {:>9} {:>9} {:>14.2}",
                format!("{connections} × {depth}"),
                measured.per_second,
                measured.p50_us,
                measured.p99_us,
                cpu_us / measured.operations
            );
        }
    }
}

fn runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

/// A serving process; it ends when its standard input does.
struct Server {
    child: Child,
    output: Mutex<BufReader<ChildStdout>>,
    address: String,
}

impl Server {
    fn start(threads: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["serve", &threads.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut address = String::new();
        output.read_line(&mut address).unwrap();
        Self { child, output: Mutex::new(output), address: address.trim().to_owned() }
    }

    /// Says where all of them listen, and waits until it is connected to the others.
    fn join(&self, addresses: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{addresses}").unwrap();
        self.output.lock().read_line(&mut String::new()).unwrap();
    }

    /// User and system time so far, from the kernel's accounts of each thread.
    fn cpu_us(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).unwrap().parse::<f64>().unwrap();
        // The kernel counts in hundredths of a second.
        (ticks(11) + ticks(12)) * 10_000.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

struct Load {
    name: &'static str,
    connections: usize,
    depth: u64,
    seconds: Duration,
}

struct Measured {
    operations: f64,
    per_second: f64,
    p50_us: u32,
    p99_us: u32,
}

/// One connection with its requests in flight: each reply sends the next.
struct Lane {
    env: Env,
    connection: Arc<Connection>,
    name: &'static str,
    next: AtomicU64,
    stop: AtomicBool,
    latencies_us: Mutex<Vec<u32>>,
}

impl Lane {
    fn fire(self: &Arc<Self>) {
        let lane = Arc::clone(self);
        let began = Instant::now();
        let request = request(self.name, self.next.fetch_add(7_919, Ordering::Relaxed) % KEYS);
        let deadline = self.env.deadline(Duration::from_secs(10));
        self.connection.submit(
            &request,
            deadline,
            Box::new(move |result| {
                if lane.stop.load(Ordering::Relaxed) {
                    return;
                }
                if let Response::Failed(error) = result.unwrap() {
                    panic!("{error}");
                }
                let took = u32::try_from(began.elapsed().as_micros()).unwrap();
                lane.latencies_us.lock().push(took);
                lane.fire();
            }),
        );
    }
}

fn request(name: &str, key: u64) -> Request {
    static VALUE: [u8; VALUE_BYTES] = [b'v'; VALUE_BYTES];
    let value = Bytes::from_static(&VALUE);
    let key = Bytes::from(format!("key:{key:08}"));
    match name {
        "echo" => Request::Control(value),
        "put" => Request::Write {
            route: ROUTE,
            key,
            change: Change::Value(value),
            expires: Expiry::Bucket,
            context: None,
            need: Need::Default,
            floor: Time(0),
            timeout_ms: 5_000,
        },
        _ => Request::Read { route: ROUTE, key, need: Need::Default, timeout_ms: 5_000 },
    }
}

impl Load {
    async fn run(&self, env: &Env, addresses: &[&str]) -> Measured {
        let limits = Limits::default();
        let transport = TcpTransport::new(env, limits);
        let mut lanes = Vec::new();
        for number in 0..self.connections {
            let address = addresses.get(number % addresses.len()).unwrap();
            let deadline = env.deadline(Duration::from_secs(5));
            let dialed = Connection::dial(env, &transport, address, Hello::client(1), None, limits, deadline);
            lanes.push(Arc::new(Lane {
                env: env.clone(),
                connection: dialed.await.unwrap(),
                name: self.name,
                next: AtomicU64::new(u64::try_from(number).unwrap() * 1_009),
                stop: AtomicBool::new(false),
                latencies_us: Mutex::new(Vec::with_capacity(1 << 20)),
            }));
        }
        for _ in 0..self.depth {
            lanes.iter().for_each(Lane::fire);
        }
        // The first part warms caches and buffers.
        tokio::time::sleep(Duration::from_millis(300)).await;
        lanes.iter().for_each(|lane| lane.latencies_us.lock().clear());
        let began = Instant::now();
        tokio::time::sleep(self.seconds).await;
        let took = began.elapsed().as_secs_f64();
        let mut latencies_us: Vec<u32> = Vec::new();
        for lane in &lanes {
            lane.stop.store(true, Ordering::Relaxed);
            latencies_us.append(&mut lane.latencies_us.lock());
        }
        lanes.iter().for_each(|lane| lane.connection.close());
        latencies_us.sort_unstable();
        let operations = f64::from(u32::try_from(latencies_us.len()).unwrap());
        let at = |part: usize| latencies_us.get(latencies_us.len() * part / 100).copied().unwrap_or_default();
        Measured { operations, per_second: operations / took, p50_us: at(50), p99_us: at(99) }
    }
}

/// The dot of every write here.
const DOT: Dot = Dot {
    time: Time(1),
    actor: ringkeep::base::ids::Actor {
        node: ringkeep::base::ids::NodeNumber(1),
        copy: ringkeep::base::ids::CopyNumber(1),
    },
};
