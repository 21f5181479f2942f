//! The load over our own wire, the same for the floor and for rings: each reply sends the next request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringkeep::base::Result;
use ringkeep::base::env::Env;
use ringkeep::base::error::ErrorKind;
use ringkeep::base::ids::{BucketId, Time};
use ringkeep::ring::Topology;
use ringkeep::wire::{
    Change, Connection, Expiry, Hello, Limits, Need, Request, Response, Route, TcpTransport,
};

use crate::load::{Lane, Measured, PAUSE, Shape, key, observe};
use crate::{Operation, ROUTE, VALUE};

/// How long a server may take for a request; the load itself waits twice as long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked of which store.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) operation: Operation,
    /// None for the floor, which has no partitions.
    pub(crate) topology: Option<Arc<Topology>>,
}

/// One connection with its requests in flight.
struct Caller {
    env: Env,
    number: usize,
    connection: Arc<Connection>,
    asked: Asked,
    next: AtomicU64,
    lane: Arc<Lane>,
}

impl Asked {
    fn request(&self, key: Bytes) -> Request {
        let route = self.topology.as_ref().map_or(ROUTE, |topology| Route {
            bucket: BucketId(0),
            partition: topology.partition_of(BucketId(0), &key),
            epoch: topology.epoch,
            sloppy: false,
        });
        let need = if self.operation == Operation::GetOne { Need::Count(1) } else { Need::Default };
        let timeout_ms = u32::try_from(TIMEOUT.as_millis()).unwrap();
        match self.operation {
            Operation::Put => Request::Write {
                route,
                key,
                change: Change::Value(Bytes::from_static(&VALUE)),
                expires: Expiry::Bucket,
                context: None,
                need,
                floor: Time(0),
                timeout_ms,
            },
            Operation::Get | Operation::GetOne => Request::Read { route, key, need, timeout_ms },
        }
    }
}

impl Caller {
    fn fire(self: &Arc<Self>) {
        let caller = Arc::clone(self);
        let began = Instant::now();
        let key = key(self.number, self.next.fetch_add(1, Ordering::Relaxed));
        let request = self.asked.request(Bytes::from(key));
        let deadline = self.env.deadline(TIMEOUT * 2);
        self.connection.submit(&request, deadline, Box::new(move |result| caller.take(began, result)));
    }

    fn take(self: &Arc<Self>, began: Instant, result: Result<Response>) {
        if self.lane.stopped() {
            return;
        }
        let error = match result.and_then(Response::into_result) {
            Ok(Response::Written { .. } | Response::Record { .. }) => {
                self.lane.succeeded(began);
                return self.fire();
            }
            Ok(other) => format!("{:?}", other),
            Err(error) if error.kind() == ErrorKind::Closed => return self.lane.failed(&error.to_string()),
            Err(error) => format!("{}: {error}", error.kind().code()),
        };
        self.lane.failed(&error);
        let caller = Arc::clone(self);
        self.env.spawn(async move {
            tokio::time::sleep(PAUSE).await;
            caller.fire();
        });
    }
}

/// Runs the load against these servers, each connection to one of them in turn.
pub(crate) async fn run(
    env: &Env,
    addresses: &[&str],
    asked: Asked,
    shape: Shape,
    seconds: Duration,
    cpu_us: impl Fn() -> f64,
) -> Measured {
    let limits = Limits::default();
    let transport = TcpTransport::new(env, limits);
    let mut callers = Vec::new();
    for number in 0..shape.connections {
        let address = addresses.get(number % addresses.len()).unwrap();
        let deadline = env.deadline(TIMEOUT);
        let dialed = Connection::dial(env, &transport, address, Hello::client(1), None, limits, deadline);
        callers.push(Arc::new(Caller {
            env: env.clone(),
            number,
            connection: dialed.await.unwrap(),
            asked: asked.clone(),
            next: AtomicU64::new(0),
            lane: Arc::default(),
        }));
    }
    for _ in 0..shape.depth {
        callers.iter().for_each(Caller::fire);
    }
    let lanes: Vec<Arc<Lane>> = callers.iter().map(|caller| Arc::clone(&caller.lane)).collect();
    let measured = observe(&lanes, seconds, cpu_us).await;
    callers.iter().for_each(|caller| caller.connection.close());
    measured
}
