//! A storm: one of three members is killed, many keys are written without it, it is started again; what foreground
//! requests take while it gets what it missed, beside what they take at rest. `ring storm [keys] [seconds] [threads]`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringkeep::Client;
use ringkeep::base::env::Env;
use ringkeep::ring::Topology;
use ringkeep::wire::control::{self, Kind, proto};
use ringkeep::wire::{Connection, Hello, Limits, Request, Response, TcpTransport};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::load::Shape;
use crate::process::Server;
use crate::{Operation, VALUE, node, wire};

/// What goes on beside the delivery: enough to keep every member at work, too little to be its own queue.
const FOREGROUND: Shape = Shape { connections: 8, depth: 1 };
/// Writers of the storm itself.
const WRITERS: u64 = 64;
/// The most that p99 may grow while the storm drains.
const RATIO_MAX: f64 = 2.0;
/// How often a ring at rest is measured, before and after.
const QUIET_WINDOWS: usize = 3;
/// How long a member may take to say what it owes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Ring {
    servers: Vec<Server>,
    topology: Arc<Topology>,
}

/// The slowest hundredth of puts and of gets, window by window.
#[derive(Default)]
struct Tails {
    put_us: Vec<f64>,
    get_us: Vec<f64>,
}

pub(crate) fn run(keys: u64, seconds: f64, threads: usize) {
    let runtime = crate::runtime(threads);
    let env = Env::system(runtime.handle().clone()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |index: usize| directory.path().join(format!("n{index}")).display().to_string();
    let start = |index: usize, seed: &str, listen: &str| {
        Server::start(&["node", "interval", &threads.to_string(), seed, &path(index), listen])
    };
    let mut servers = vec![start(0, "", "")];
    let seed = servers.first().unwrap().address.clone();
    servers.extend((1..3).map(|index| start(index, &seed, "")));
    let topology = runtime.block_on(node::seal(&seed, 3));
    let mut ring = Ring { servers, topology };
    let window = Duration::from_secs_f64(seconds);

    // Before the storm and after it, as a machine is seldom as quiet for a minute as it was at first.
    let mut quiet = Tails::default();
    for _ in 0..QUIET_WINDOWS {
        ring.measure(&runtime, &env, window, &mut quiet);
    }
    let away = ring.servers.pop().unwrap();
    let address = away.address.clone();
    away.kill();
    runtime.block_on(ring.write(keys));
    let owed = runtime.block_on(ring.owed(&env));
    let back = start(2, &seed, &address);
    let began = Instant::now();
    let mut draining = Tails::default();
    while runtime.block_on(ring.owed(&env)) > 0 {
        ring.measure(&runtime, &env, window, &mut draining);
    }
    let took = began.elapsed().as_secs_f64();
    ring.servers.push(back);
    for _ in 0..QUIET_WINDOWS {
        ring.measure(&runtime, &env, window, &mut quiet);
    }
    let per_second = f64::from(u32::try_from(owed).unwrap()) / took;
    println!(
        "storm: {keys} keys written without a member, {owed} owed; {per_second:.0} a second in {took:.1} s"
    );
    print("put", &mut quiet.put_us, &mut draining.put_us);
    print("get", &mut quiet.get_us, &mut draining.get_us);
}

/// The median of the windows; no window fits a storm that is over at once.
fn print(operation: &str, quiet_us: &mut [f64], draining_us: &mut [f64]) {
    let median = |windows: &mut [f64]| {
        windows.sort_by(f64::total_cmp);
        windows.get(windows.len() / 2).copied()
    };
    match (median(quiet_us), median(draining_us)) {
        (Some(quiet), Some(draining)) => {
            let ratio = draining / quiet;
            let verdict = if ratio <= RATIO_MAX { "met" } else { "missed" };
            println!(
                "foreground {operation}: p99 {quiet:.0} µs at rest, {draining:.0} µs while it drains: \
                 {ratio:.2} times, at most {RATIO_MAX} ({verdict})"
            );
        }
        _ => println!("foreground {operation}: nothing was left to drain; take more keys"),
    }
}

impl Ring {
    /// The members that stay, so that no connection breaks.
    fn staying(&self) -> Vec<&str> {
        self.servers.iter().take(2).map(|server| server.address.as_str()).collect()
    }

    fn measure(&self, runtime: &Runtime, env: &Env, window: Duration, tails: &mut Tails) {
        let measure = |operation| {
            let asked = wire::Asked { operation, topology: Some(Arc::clone(&self.topology)) };
            runtime.block_on(wire::run(env, &self.staying(), asked, FOREGROUND, window, || 0.0)).p99_us
        };
        tails.put_us.push(measure(Operation::Put));
        tails.get_us.push(measure(Operation::Get));
    }

    async fn write(&self, keys: u64) {
        // A client ends its environment when it ends.
        let env = Env::system(tokio::runtime::Handle::current()).unwrap();
        let client = Client::connect(&format!("ringkeep://{}", self.staying().join(",")), env);
        let client = client.await.unwrap();
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let bucket = client.default_bucket();
            writers.spawn(async move {
                for number in (writer..keys).step_by(usize::try_from(WRITERS).unwrap()) {
                    while let Err(error) = bucket.put(format!("storm:{number:08}"), &VALUE[..]).await {
                        assert!(error.retryable(), "{error}");
                    }
                }
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
    }

    /// How much the members that stay owe to others, as they say themselves.
    async fn owed(&self, env: &Env) -> u64 {
        let limits = Limits::default();
        let transport = TcpTransport::new(env, limits);
        let mut owed = 0;
        for address in self.staying() {
            let deadline = env.deadline(PATIENCE);
            let dialed = Connection::dial(env, &transport, address, Hello::client(1), None, limits, deadline);
            let connection = dialed.await.unwrap();
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let request = Request::Control(control::encode(Kind::Status(proto::Status {})));
            connection.submit(&request, deadline, Box::new(move |reply| drop(sender.send(reply))));
            let Ok(Response::Control(reply)) = receiver.await.unwrap() else { panic!("no status") };
            let Ok(Kind::StatusReply(status)) = control::decode(&reply) else { panic!("no status") };
            owed += status.members.iter().map(|member| member.hints_pending).sum::<u64>();
            connection.close();
        }
        owed
    }
}
