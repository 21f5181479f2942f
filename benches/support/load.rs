//! The load that every store on our wire is measured with, floors and rings alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use ringkeep::base::env::Env;
use ringkeep::wire::{Connection, Hello, Limits, Request, Response, TcpTransport};

/// Keys that a load touches.
pub(crate) const KEYS: u64 = 10_000;

/// What a load sends to a key.
pub(crate) type MakeRequest = Arc<dyn Fn(Bytes) -> Request + Send + Sync>;

/// A closed-loop load: so many connections with so many requests in flight on each.
pub(crate) struct Load {
    pub(crate) request: MakeRequest,
    pub(crate) connections: usize,
    pub(crate) depth: u64,
    pub(crate) seconds: Duration,
}

/// What a load saw.
pub(crate) struct Measured {
    pub(crate) operations: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
}

/// One connection with its requests in flight: each reply sends the next.
struct Lane {
    env: Env,
    connection: Arc<Connection>,
    request: MakeRequest,
    next: AtomicU64,
    stop: AtomicBool,
    latencies_us: Mutex<Vec<u32>>,
}

impl Lane {
    fn fire(self: &Arc<Self>) {
        let lane = Arc::clone(self);
        let began = Instant::now();
        let key = format!("key:{:08}", self.next.fetch_add(7_919, Ordering::Relaxed) % KEYS);
        let request = (self.request)(Bytes::from(key));
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

impl Load {
    pub(crate) async fn run(&self, env: &Env, addresses: &[&str]) -> Measured {
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
                request: Arc::clone(&self.request),
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
